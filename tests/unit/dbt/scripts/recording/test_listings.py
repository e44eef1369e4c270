"""
What lists a dataset or a project while dbt is recorded: what is kept of it, and when it has to wait.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cosmos_async.dbt.scripts.recording import answers
from cosmos_async.dbt.scripts.recording.calls import Call
from cosmos_async.dbt.scripts.recording.journal import RUN, Journal
from cosmos_async.dbt.scripts.recording.listings import Listings
from cosmos_async.dbt.scripts.recording.node_context import NodeContext
from cosmos_async.dbt.scripts.recording.overlay import Overlay

ROOT = "https://bigquery.googleapis.com/bigquery/v2/projects/p"
READER = "model.shop.reader"
REFERENCES = {
    "tables": ("tableReference", "tableId"),
    "routines": ("routineReference", "routineId"),
    "datasets": ("datasetReference", "datasetId"),
}


class Left(Exception):
    """The node is left to dbt, or for later."""


class Seam:
    """The recorder's listings before a BigQuery that knows some names, two on a page."""

    def __init__(self, what: str, *names: str, late: bool = False, status: int = 200) -> None:
        self.journal = Journal()
        self.overlay = Overlay("p", late=late)
        self.what = what
        self.names = names
        self.status = status
        self.node = READER
        self._listings = Listings(
            NodeContext(
                self.journal,
                self.overlay,
                node=lambda: self.node,
                leave_to_dbt=self._leave("dbt"),
                leave_for_later=self._leave("late"),
            )
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was noted."""
        return self.journal.events.get(self.node, [])

    def list(self, path: str) -> list[str]:
        """List as Google's client does, page by page, and return the names that dbt gets."""
        found: list[str] = []
        token = ""
        while True:
            url = f"{ROOT}{path}/{self.what}?maxResults=2" + (f"&pageToken={token}" if token else "")
            answer = self._listings.answer(Call(self._send, "GET", url, (), {}))
            document = answer.json() if answer.status_code == 200 else {}
            reference, key = REFERENCES[self.what]
            found += [each[reference][key] for each in document.get(self.what) or []]
            token = document.get("nextPageToken", "")
            if not token:
                return found

    def _send(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        if self.status != 200:
            return answers.reply({"error": {}}, status=self.status, url=url)
        begin = int(parse_qs(urlsplit(url).query).get("pageToken", ["0"])[0])
        reference, key = REFERENCES[self.what]
        page = [{reference: {key: name}, "type": "VIEW"} for name in self.names[begin : begin + 2]]
        more = begin + 2 < len(self.names)
        document = {self.what: page, **({"nextPageToken": str(begin + 2)} if more else {})}
        return answers.reply(json.loads(json.dumps(document)), url=url)

    def _leave(self, way: str) -> Any:
        def leave(reason: str) -> None:
            raise Left(f"{way}: {reason}")

        return leave


def test_a_listing_is_kept_whole() -> None:
    """All its pages are one read."""
    seam = Seam("tables", "a", "b", "c")

    assert seam.list("/datasets/raw") == ["a", "b", "c"]
    (event,) = seam.events
    assert (event["event"], event["what"], event["path"]) == ("listing", "tables", ["p", "raw"])
    assert event["answer"] == {"a": "VIEW", "b": "VIEW", "c": "VIEW"}
    assert event["ignored"] == []


def test_two_listings_are_two_reads() -> None:
    """A node that lists twice is compared twice."""
    seam = Seam("routines", "f")

    seam.list("/datasets/raw")
    seam.list("/datasets/raw")

    assert [event["answer"] for event in seam.events] == [{"f": ""}, {"f": ""}]


def test_what_a_run_lists_at_its_beginning_is_the_runs() -> None:
    """dbt looks there for what exists; no node depends on it but by its own guards."""
    seam = Seam("tables", "a", "b", "c")
    seam.node = RUN

    seam.list("/datasets/raw")

    assert seam.events == []
    assert seam.journal.listings == {"p.raw": {"a": "VIEW", "b": "VIEW", "c": "VIEW"}}


def test_a_dataset_that_is_not_there_is_empty_to_dbt() -> None:
    """And so it is to the guard."""
    seam = Seam("tables", status=404)

    assert seam.list("/datasets/raw") == []
    assert [event["answer"] for event in seam.events] == [{}]


@pytest.mark.parametrize(("writer", "way"), [("model.shop.other", "late"), (READER, "dbt")])
def test_a_dataset_that_the_run_changes_is_not_listed_before_it(writer: str, way: str) -> None:
    """After the nodes before; but never what the node itself has changed."""
    seam = Seam("tables", "a")
    seam.overlay.note(("p", "raw", "made"), by=writer)

    with pytest.raises(
        Left, match=rf"{way}: It lists what the dataset p\.raw contains, which this run changes"
    ):
        seam.list("/datasets/raw")

    assert seam.list("/datasets/elsewhere") == ["a"]


def test_what_others_may_be_building_meanwhile_is_no_part_of_a_late_listing() -> None:
    """dbt sees it or not; the node's own relation counts."""
    seam = Seam("tables", "a", late=True)
    seam.overlay.built[("p", "raw", "mine")] = READER
    seam.overlay.project.update(
        {
            ("p", "raw", "mine"): READER,
            ("p", "raw", "theirs"): "model.shop.x",
            ("p", "far", "y"): "model.shop.y",
        }
    )

    seam.list("/datasets/raw")

    assert [event["ignored"] for event in seam.events] == [["theirs"]]


def test_datasets_that_the_run_makes_are_there_when_dbt_looks() -> None:
    """They are not there yet; when the guard looks they may be."""
    seam = Seam("datasets", "a", "b", "c")
    seam.overlay.created_datasets |= {("p", "made"), ("q", "not_here")}

    assert seam.list("") == ["a", "b", "c", "made"]
    (event,) = seam.events
    assert event["path"] == ["p"]
    assert event["ignored"] == ["made"]


def test_a_listing_that_bigquery_refuses_is_left_to_dbt() -> None:
    """It has its own way with missing permissions."""
    with pytest.raises(Left, match=r"dbt: It lists the tables of p\.raw, and BigQuery refuses"):
        Seam("tables", status=403).list("/datasets/raw")


def test_a_hook_comes_before_what_nodes_build() -> None:
    """And after what hooks before it have made."""
    seam = Seam("tables", "a")
    seam.overlay.built[("p", "raw", "mine")] = READER
    with pytest.raises(Left, match="late"):
        seam.list("/datasets/raw")

    seam.node = "operation.shop.shop-on-run-start-1"
    assert seam.list("/datasets/raw") == ["a"]

    seam.overlay.note(("p", "raw", "made"), by="operation.shop.shop-on-run-start-0")
    with pytest.raises(Left, match="late"):
        seam.list("/datasets/raw")
