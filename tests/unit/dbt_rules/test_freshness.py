"""How old a source is: dbt's rules, and what setup makes of the recording."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from cosmos_async.dbt.planner.freshness import plan_sources
from cosmos_async.dbt_rules.freshness import NEVER, last_modified, measured, message_of, read_row, timed
from cosmos_async.plan.model import JobOperation, Level, dump_node, load_node

NOW = datetime(2024, 3, 1, 12, 0, 0, 250_000, tzinfo=timezone.utc)
LIMITS = {
    "warn_after": {"count": 6, "period": "hour"},
    "error_after": {"count": 1, "period": "day"},
    "filter": None,
}
SOURCE = "source.shop.till.orders"


def answer(*cells: tuple[str, Any]) -> dict[str, Any]:
    """Return a query's answer of one row, given types and values."""
    fields = [{"name": f"c{at}", "type": kind} for at, (kind, _) in enumerate(cells)]
    return {"schema": {"fields": fields}, "rows": [{"f": [{"v": value} for _, value in cells]}]}


ASKED = ("TIMESTAMP", "1709294400250000")


@pytest.mark.parametrize(
    ("cell", "loaded"),
    [
        (("TIMESTAMP", "1709294400000001"), datetime(2024, 3, 1, 12, 0, 0, 1, tzinfo=timezone.utc)),
        (("TIMESTAMP", None), NEVER),
        (("DATETIME", "2024-03-01T12:00:00"), datetime(2024, 3, 1, 12, tzinfo=timezone.utc)),
        (("DATETIME", "2024-03-01T12:00:00.5"), datetime(2024, 3, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)),
    ],
)
def test_a_row_tells_two_points_in_time(cell: tuple[str, Any], loaded: datetime) -> None:
    """To the microsecond, as Google's client reads them; a civil time is UTC to dbt, and none was very long ago."""
    assert read_row(answer(cell, ASKED)) == (loaded, NOW)


@pytest.mark.parametrize(
    "odd",
    [
        answer(("DATE", "2024-03-01"), ASKED),
        answer(("STRING", "2024-03-01 12:00:00"), ASKED),
        answer(ASKED, ("TIMESTAMP", None)),
        answer(ASKED),
        {**answer(ASKED, ASKED), "rows": []},
        {**answer(ASKED, ASKED), "rows": [{"f": [{"v": "1"}, {"v": "1"}]}] * 2},
    ],
    ids=["a date", "text", "asked never", "one column", "no row", "two rows"],
)
def test_any_other_row_is_left_to_dbt(odd: dict[str, Any]) -> None:
    """Some of them dbt converts, others it refuses in its own words."""
    with pytest.raises(ValueError, match="query"):
        read_row(odd)


@pytest.mark.parametrize(
    ("hours", "limits", "status"),
    [
        (6, LIMITS, "pass"),
        (6.001, LIMITS, "warn"),
        (24, LIMITS, "warn"),
        (24.001, LIMITS, "error"),
        (25, {**LIMITS, "error_after": {"count": None, "period": None}}, "warn"),
        (25, {**LIMITS, "warn_after": None}, "error"),
        (1, {"warn_after": None, "error_after": {"count": 59, "period": "minute"}}, "error"),
        (1000, {"warn_after": None, "error_after": None}, "pass"),
        (0.1, {**LIMITS, "warn_after": {"count": 0, "period": "hour"}}, "warn"),
    ],
)
def test_a_limit_is_exceeded_by_what_is_older(hours: float, limits: dict[str, Any], status: str) -> None:
    """The worst limit counts, and one without a count or a period is none."""
    found = measured(SOURCE, limits, NOW - timedelta(hours=hours), NOW, {})

    assert found["status"] == status
    assert found["max_loaded_at_time_ago_in_s"] == pytest.approx(hours * 3600)
    assert found["criteria"] == limits


def test_a_message_names_the_limit() -> None:
    """For the task's log."""
    found = measured(SOURCE, LIMITS, NOW - timedelta(hours=7), NOW, {})

    assert message_of(found) == (
        "WARN: last loaded at 2024-03-01T05:00:00.250000+00:00, 25200 s before it was measured; the limit is 6 hours"
    )


def test_an_entry_has_dbts_times() -> None:
    """UTC with a Z, as in dbt's own files."""
    found = timed({}, NOW, NOW + timedelta(seconds=2), "triggerer")

    assert found["timing"][1] == {
        "name": "execute",
        "started_at": "2024-03-01T12:00:00.250000Z",
        "completed_at": "2024-03-01T12:00:02.250000Z",
    }
    assert (found["execution_time"], found["thread_id"]) == (2.0, "triggerer")


def test_bigquery_tells_milliseconds() -> None:
    """As text; a resource without them tells nothing."""
    assert last_modified({"lastModifiedTime": "1709294400250"}) == NOW
    with pytest.raises(ValueError, match="does not tell"):
        last_modified({})


# -- what setup makes of the recording ---------------------------------------------------------------------------------

QUERY = {
    "event": "job",
    "job_id": "j",
    "project": "p",
    "location": "EU",
    "configuration": {"query": {"query": "select max(at), current_timestamp() from t"}},
    "kind": "SELECT",
    "rows": True,
    "dataset": None,
    "macros": [],
}


def recording(*events: dict[str, Any], status: str = "pass", **changes: Any) -> dict[str, Any]:
    """Return what the recorder wrote of one source."""
    node = {
        "unique_id": SOURCE,
        "resource_type": "source",
        "relation": ["p", "raw", "orders"],
        "fqn": ["shop", "till", "orders"],
        "file": "models/till.yml",
        "status": status,
        "message": "dbt's words",
        "main_job": "j",
        "depends_on": [],
        "freshness": LIMITS,
    }
    return {"nodes": {SOURCE: node}, "events": {SOURCE: list(events)}, "flags": {}, **changes}


def test_a_query_becomes_the_plan() -> None:
    """Whatever dbt would have said of the row that it was shown; the plan survives the store."""
    plan = plan_sources(recording(QUERY, status="error"), [SOURCE])[SOURCE]

    assert (plan.level, plan.reason, plan.name, plan.file) == (
        Level.STATIC,
        "",
        "till.orders",
        "models/till.yml",
    )
    (step,) = plan.steps
    assert isinstance(step, JobOperation)
    assert (step.purpose, step.rows, step.project, step.location) == ("freshness", True, "p", "EU")
    assert plan.freshness is not None
    assert (plan.freshness.criteria, plan.freshness.table) == (LIMITS, None)
    assert load_node(dump_node(plan)) == plan


def test_a_table_becomes_the_plan() -> None:
    """Its time of change is asked for, and no job is needed."""
    event = {"event": "last_modified", "path": ["p", "raw", "orders"], "macros": []}
    plan = plan_sources(recording(event), [SOURCE])[SOURCE]

    assert plan.steps == ()
    assert plan.freshness is not None
    assert plan.freshness.table == {"project": "p", "dataset": "raw", "table": "orders"}
    assert load_node(dump_node(plan)) == plan


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (recording(QUERY, QUERY), "by one query"),
        (recording(), "by one query"),
        (recording({**QUERY, "rows": False}), "by one query"),
        (recording(QUERY, status="runtime error"), "dbt's words"),
        (recording(QUERY, flags={SOURCE: "A macro of its own."}), "A macro of its own"),
        (recording(QUERY, flags={"": "It lists something."}), "It lists something"),
        ({**recording(QUERY), "nodes": {}}, "did not measure"),
    ],
    ids=["two", "none", "a write", "an error", "flagged", "the run", "missing"],
)
def test_what_is_not_one_question_is_left_to_dbt(made: dict[str, Any], reason: str) -> None:
    """With the reason, and nothing to execute."""
    plan = plan_sources(made, [SOURCE])[SOURCE]

    assert plan.level is Level.DBT
    assert plan.steps == ()
    assert plan.freshness is None
    assert reason in plan.reason
