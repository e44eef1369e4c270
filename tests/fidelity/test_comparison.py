"""
The comparison itself: what it takes for equal, what it finds, and what it does not claim.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.fidelity.comparison import Build, compare
from tests.fidelity.normal import Names, Span
from tests.fidelity.ours import below, in_order
from tests.fidelity.writes import RUN, Write, writes_of

BEGUN = datetime(2026, 3, 4, 12, 0, tzinfo=timezone.utc)
MODEL = "model.shop.orders"


def names(dataset: str = "fi001d") -> Names:
    return Names((dataset,), [Span(BEGUN, BEGUN + timedelta(seconds=30), "11111111-aaaa")])


def build(who: str = "dbt", dataset: str = "fi001d", **changes: Any) -> Build:
    result = {"unique_id": MODEL, "status": "success", "message": "CREATE TABLE (1.0 rows)"}
    facts: dict[str, Any] = {
        "who": who,
        "case": "shop",
        "step": "empty",
        "names": names(dataset),
        "results": {MODEL: result},
        "writes": {MODEL: [Write(f"query {{}}\ncreate table {dataset}.orders as select 1")]},
        "state": {"<dataset>.orders": {"type": "TABLE", "rows": [{"id": "1"}]}},
        "levels": {MODEL: ("S", "")},
        "output": "",
    }
    return Build(**{**facts, **changes})


def ours(**changes: Any) -> Build:
    return build("us", "fi001u", **changes)


def request(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    facts = {
        "operation": "jobs.insert",
        "method": "POST",
        "path": "/bigquery/v2/projects/p/jobs",
        "query": {},
        "content_type": "application/json",
        "node": None,
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
    }
    return {**facts, **changes}


def job(sql: str, job_id: str = "j1") -> dict[str, Any]:
    reference = {"projectId": "p", "jobId": job_id, "location": "US"}
    return {"jobReference": reference, "configuration": {"query": {"query": sql, "useLegacySql": False}}}


def test_two_builds_that_differ_in_their_dataset_alone_are_the_same() -> None:
    """And only then."""
    comparison = compare(build(), ours())

    assert comparison.verdict == "same", comparison.told()
    assert comparison.levels == {"S": 1}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"writes": {}}, "only dbt wrote"),
        ({"writes": {MODEL: [Write("query {}\ncreate table fi001u.orders as select 2")]}}, "write 1"),
        ({"state": {}}, "is there after dbt only"),
        ({"state": {"<dataset>.orders": {"type": "TABLE", "rows": [{"id": "2"}]}}}, "rows"),
        ({"state": {"<dataset>.orders": {"type": "VIEW", "rows": [{"id": "1"}]}}}, "type"),
        ({"results": {}}, "only dbt have a result"),
        ({"results": {MODEL: {"status": "success", "message": "OK"}}}, "message"),
        ({"writes": {**build("us", "fi001u").writes, "model.shop.other": [Write("x")]}}, "model.shop.other"),
        ({"complaints": ("setup changed the warehouse",)}, "setup changed"),
        ({"refusal": "We will not."}, "only we refuse"),
    ],
)
def test_every_kind_of_difference_is_found(changes: dict[str, Any], told: str) -> None:
    """Writes, relations, rows, results, and what is wrong by itself."""
    comparison = compare(build(), ours(**changes))

    assert comparison.verdict == "different"
    assert told in comparison.told()


def test_a_node_that_the_stand_in_cannot_run_counts_as_nothing() -> None:
    """Its writes are compared; equal errors of a stand-in prove no more."""
    failed = {MODEL: {"status": "error", "message": "Not implemented: BIGLAKE"}}

    assert compare(build(results=failed), ours(results=failed)).verdict == "not compared"
    assert compare(build(results=failed), ours(results=failed), errors=["orders"]).verdict == "same"
    assert compare(build(results=failed), ours(results=failed, writes={})).verdict == "different"


def test_partitions_may_be_copied_in_any_order_and_nothing_else() -> None:
    """dbt asks BigQuery for them without an order."""
    copies = [
        Write(f'copy {{"copy": {{"sourceTables": [{{"tableId": "t$2024010{day}"}}]}}}}') for day in (1, 2, 3)
    ]
    drop = Write("query {}\ndrop table if exists t")

    def against(*writes: Write) -> str:
        return compare(build(writes={MODEL: [*copies, drop]}), ours(writes={MODEL: list(writes)})).verdict

    assert against(*copies[::-1], drop) == "same"
    assert against(*copies[1:], drop) == "different"
    assert against(drop, *copies) == "different"


def test_dbts_words_begin_where_it_says_that_it_encountered_an_error() -> None:
    """A warning before may speak of errors, too, such as an attempt to connect that was made again."""
    said = "12:00:00  WARNING: NameResolutionError, again\n12:00:00  Encountered an error:\nNo such model"
    theirs = build(results={}, writes={}, state={}, refusal=said)

    one = ours(results={}, writes={}, state={}, refusal="dbt said: No such model")
    other = ours(results={}, writes={}, state={}, refusal="dbt said: nothing")

    assert compare(theirs, one).verdict == "same"
    assert compare(theirs, other).differences == ["our error does not say: No such model"]


def test_a_refusal_has_dbts_words() -> None:
    """Where nothing can be run, the message is all there is."""
    theirs = build(
        results={}, writes={}, state={}, refusal="12:00:00  Encountered an error:\n12:00:00  No such model"
    )
    refused = {"results": {}, "writes": {}, "state": {}}

    assert compare(theirs, ours(refusal="dbt says: No such model", **refused)).verdict == "same"
    assert "No such model" in compare(theirs, ours(refusal="dbt failed", **refused)).told()


def test_only_times_within_a_run_are_taken_out() -> None:
    """A microbatch's window is not."""
    text = (
        "a 2026-03-04 12:00:10.123456+00:00 b 2026-03-03T00:00:00Z fi001d.x__dbt_tmp120010123 11111111-aaaa"
    )

    assert (
        names().text(text) == "a <time of run 1> b 2026-03-03T00:00:00Z <dataset>.x__dbt_tmp <invocation 1>"
    )


def test_writes_are_those_of_the_node_that_sent_them() -> None:
    """In order; a job that is sent again is the same job, and what changes nothing is no write."""
    sent = [
        request(job("create table a as select 1"), node=MODEL),
        request(job("create table a as select 1"), node=MODEL),
        request(job("select 1", "j2"), node=MODEL),
        request({**job("create table b as select 1", "j3"), "configuration": {"dryRun": True}}, node=MODEL),
        request({"description": "x"}, operation="tables.patch", method="PATCH", node=MODEL),
        request(job("create schema if not exists s", "cosmos_create_schema_s_0011223344"), node=None),
        request(job("insert into log", "j4"), node="operation.shop.shop-on-run-start-0"),
    ]

    writes = writes_of(sent, MODEL)

    assert [write.line.split()[0] for write in writes[MODEL] if not write.read] == ["query", "PATCH"]
    assert [write.read for write in writes[MODEL]] == [False, True, False]
    assert len(writes[RUN]) == 2


def test_parents_come_first_and_else_the_wish_counts() -> None:
    """As dbt's queue has it."""
    graph = {"source": ["b"], "a": ["c"], "b": ["c"], "c": []}

    assert [node for node in in_order(graph, ["c", "b", "a"]) if node != "source"] == ["b", "a", "c"]
    assert below(graph, "source") == {"b", "c"}


def test_a_message_may_name_the_job_that_failed() -> None:
    """Google's client puts it into the message of a hook's error, where two builds cannot agree."""
    said = "409 GET http://h/bigquery/v2/projects/p/queries/{0}?maxResults=0: Already Exists: Table a Job ID: {0}"

    assert names().text(said.format("c1248b53-e3f0")) == names().text(said.format("bbf70765-55f5"))
    assert names().text(said.format("c1")) != names().text(said.format("c1").replace("Table a", "Table b"))


def test_a_column_that_a_build_is_written_into_is_left_out_by_name_alone() -> None:
    """A package that keeps run results writes threads and durations into tables; all other columns count."""
    told = names()
    told.volatile = r"thread_id|\w*runtime"

    assert told.is_volatile("thread_id")
    assert told.is_volatile("total_node_runtime")
    assert not told.is_volatile("thread_id_of_another")
    assert not names().is_volatile("thread_id")


def inserted(*rows: str) -> str:
    return f"query {{}}\n/* {{}} */ insert into fi001d.runs (id, `took`, said) values {', '.join(rows)}"


def keeping(text: str, sender: str, volatile: str = "took") -> Build:
    built = build(writes={sender: [Write(text)]})
    built.names.volatile = volatile
    return built


ONE, OTHER = "('a', 1.5, safe_cast('x, y' as string))", "('b', 2, null)"


def test_what_a_build_tells_of_itself_is_compared_but_for_its_own_columns() -> None:
    """How long a node took is of one build, and nodes end in an order of their own; the rest is not left out."""
    theirs = keeping(inserted(ONE, OTHER), RUN)
    assert compare(theirs, keeping(inserted(OTHER.replace("2", "3"), ONE), RUN)).verdict == "same"
    assert compare(theirs, keeping(inserted(OTHER, ONE.replace("x", "z")), RUN)).verdict == "different"
    assert compare(theirs, keeping(inserted(ONE), RUN)).verdict == "different"
    assert (
        compare(theirs, keeping(inserted(OTHER.replace("2", "3"), ONE), RUN, "said")).verdict == "different"
    )


def test_the_rows_that_a_node_inserts_have_an_order() -> None:
    """It is dbt's own; only the run's results come as nodes end."""
    theirs = keeping(inserted(ONE, OTHER), MODEL)
    assert compare(theirs, keeping(inserted(ONE.replace("1.5", "7"), OTHER), MODEL)).verdict == "same"
    assert compare(theirs, keeping(inserted(OTHER, ONE), MODEL)).verdict == "different"
