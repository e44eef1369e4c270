"""What lists the tables and routines of a dataset, or the datasets of a project: read now, and compared later."""

from __future__ import annotations

from typing import Any

from . import answers
from .calls import Call
from .journal import RUN
from .node_context import NodeContext

#: What is listed → the field that names one, and the one that tells its type.
_FIELDS = {
    "tables": ("tableReference", "tableId", "type"),
    "routines": ("routineReference", "routineId", "routineType"),
    "datasets": ("datasetReference", "datasetId", ""),
}


class Listings:
    """
    Answers listings.

    Args:
        context: Of the node that asks.
    """

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._journal = context.journal
        self._overlay = context.overlay
        self._pages: dict[
            tuple[Any, ...], dict[str, str]
        ] = {}  # what is known of a listing, by its next page

    def answer(self, call: Call) -> Any:
        """Return BigQuery's answer to a listing, after noting it."""
        unique_id, what = self._context.node(), str(call.parts[-1])
        path = tuple(call.parts[1:4:2])
        if unique_id == RUN:
            return self._begins(call, what, path)
        why = self._overlay.why_no_listing(path, reader=unique_id) if what != "datasets" else None
        if why is not None:
            (self._context.leave_for_later if why.late else self._context.leave_to_dbt)(why.reason)
        answer = call.forward()
        if answer.status_code >= 300 and answer.status_code != 404:
            self._context.leave_to_dbt(f"It lists the {what} of {'.'.join(path)}, and BigQuery refuses.")
        document = answer.json() if answer.status_code < 300 else {}
        made = self._made(path) if what == "datasets" else []
        if made and "nextPageToken" not in document:
            document[what] = [*(document.get(what) or []), *(_dataset(*one) for one in made)]
            answer = answers.reply(document, url=call.url)
        token = call.query.get("pageToken")
        found = self._pages.pop((unique_id, path, what, token), None) if token else None
        if found is None:
            ignored = [one[1] for one in made] if what == "datasets" else self._others(path, unique_id)
            found = {}
            self._journal.add(
                unique_id, "listing", what=what, path=list(path), answer=found, ignored=sorted(set(ignored))
            )
        found.update(_named(what, document))
        if document.get("nextPageToken"):
            self._pages[(unique_id, path, what, document["nextPageToken"])] = found
        return answer

    def _begins(self, call: Call, what: str, path: tuple[str, ...]) -> Any:
        answer = call.forward()
        kept = {"tables": self._journal.listings, "routines": self._journal.routines}.get(what)
        if kept is not None and answer.status_code < 300:
            kept.setdefault(".".join(path), {}).update(_named(what, answer.json()))
        return answer

    def _made(self, path: tuple[str, ...]) -> list[tuple[str, str]]:
        """Return the datasets that this run makes, and so are there when dbt looks."""
        return sorted(one for one in self._overlay.created_datasets if one[0] == path[0])  # type: ignore[misc]

    def _others(self, path: tuple[str, ...], unique_id: str) -> list[str]:
        """Return the relations that other nodes may be making while this one is planned: dbt sees them or not."""
        if not self._overlay.late:
            return []
        return [
            one[2] for one, owner in self._overlay.project.items() if one[:2] == path and owner != unique_id
        ]


def _named(what: str, document: dict[str, Any]) -> dict[str, str]:
    reference, name, kind = _FIELDS[what]
    usual = "TABLE" if what == "tables" else ""
    return {one[reference][name]: one.get(kind) or usual for one in document.get(what) or []}


def _dataset(project: str, dataset: str) -> dict[str, Any]:
    return {
        "kind": "bigquery#dataset",
        "id": f"{project}:{dataset}",
        "datasetReference": {"projectId": project, "datasetId": dataset},
    }
