"""Each kind of step in words."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.cli.steps import Described, describe, sql_lines
from cosmos_async.plan.model import (
    CallOperation,
    Guard,
    GuardKind,
    JobOperation,
    NativeKind,
    NativeOperation,
    Step,
)

ID = {"name": "id", "type": "INTEGER", "mode": "NULLABLE"}


def job(**configuration: Any) -> JobOperation:
    """Return a job of the project acme."""
    return JobOperation("main", "acme", None, configuration)


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Guard(GuardKind.TARGET_STATE, "p.d.t", {}, "MATERIALIZED_VIEW"), "p.d.t is a materialized view"),
        (Guard(GuardKind.TABLE, "p.d.t", {}, None), "p.d.t is absent"),
        (Guard(GuardKind.TABLE, "p.d.t", {}, {"schema": [ID]}), "p.d.t has columns id INTEGER"),
        (
            Guard(GuardKind.SCHEMA, "select 1", {}, [ID], predicted=True),
            "columns of select 1: id INTEGER (foretold)",
        ),
        (Guard(GuardKind.DATASET, "p.d", {}, {"location": "EU"}), "dataset p.d is in EU"),
        (
            Guard(GuardKind.LISTING, "the tables of p.d", {}, {"a": "TABLE", "b": "VIEW"}),
            "the tables of p.d: a, b",
        ),
        (Guard(GuardKind.LISTING, "the tables of p.d", {}, {}), "the tables of p.d: none"),
        (Guard(GuardKind.ROWS, "select a", {}, [["x"]]), 'rows of select a: [["x"]]'),
        (
            job(
                load={
                    "sourceFormat": "CSV",
                    "destinationTable": {"projectId": "p", "datasetId": "d", "tableId": "t"},
                }
            ),
            "load CSV into p.d.t, by acme",
        ),
        (
            job(
                copy={
                    "sourceTables": [{"projectId": "p", "datasetId": "d", "tableId": "s"}],
                    "destinationTable": {"projectId": "p", "datasetId": "d", "tableId": "t"},
                    "writeDisposition": "WRITE_TRUNCATE",
                }
            ),
            "copy p.d.s to p.d.t (WRITE_TRUNCATE), by acme",
        ),
        (
            CallOperation("drop", "DELETE", "projects/p/datasets/d/tables/t", missing_ok=True),
            "delete table p.d.t, if it is there",
        ),
        (CallOperation("describe", "PATCH", "projects/p/datasets/d"), "change dataset p.d"),
    ],
)
def test_a_step_says_what_it_reads_or_changes(step: Step, text: str) -> None:
    """In the words of dbt and BigQuery rather than in REST's."""
    assert describe(step).text == text


def test_a_job_shows_the_options_that_are_not_everybodys() -> None:
    """Labels, priority, bytes, reservation and timeout are the user's."""
    described = describe(
        job(
            labels={"dbt_invocation_id": "i", "team": "shop"},
            jobTimeoutMs="120000",
            reservation="projects/p/locations/EU/reservations/r",
            query={"query": "select 1", "priority": "BATCH", "maximumBytesBilled": "1000"},
        )
    )

    assert described.notes == (
        "labels team=shop; priority BATCH; maximum bytes billed 1000; timeout 120 s; "
        "reservation projects/p/locations/EU/reservations/r",
    )


def test_a_native_step_shows_the_query_it_begins_with() -> None:
    """The statements it makes of the answer are not known yet."""
    find = {"project": "acme", "configuration": {"query": {"query": "select distinct day"}}}
    table = {"project": "p", "dataset": "d", "table": "t"}
    step = NativeOperation(NativeKind.COPY_PARTITIONS, table, {"find": find, "pattern": "%Y%m%d"})

    assert describe(step) == Described(
        "native", "copy partitions: p.d.t", ('{"pattern": "%Y%m%d"}',), ("select distinct day",)
    )


def test_what_every_job_has_is_not_shown() -> None:
    """dbt's own label, the usual priority and its timeout of a day say nothing."""
    plain = job(
        labels={"dbt_invocation_id": "i"},
        jobTimeoutMs="86400000",
        query={"query": "select 1", "priority": "INTERACTIVE"},
    )

    assert describe(plain) == Described("job", "main, by acme", (), ("select 1",))


def test_a_comment_of_the_users_own_is_part_of_the_statement() -> None:
    """Only the one that dbt adds by itself is left out."""
    assert sql_lines("/* run by shop */\nselect 1\n\n\n\n  as id  \n\n") == (
        "/* run by shop */",
        "select 1",
        "",
        "  as id",
    )
