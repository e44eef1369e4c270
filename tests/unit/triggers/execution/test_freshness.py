"""A source measured by the trigger: one question, dbt's verdict, and what is left to dbt."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from cosmos_async.plan.model import FreshnessRule, Level, NodePlan
from cosmos_async.plan.outcome import Status
from tests.unit.triggers.bench import Bench, job
from tests.unit.triggers.ends import is_failure, is_success

SOURCE = "source.shop.till.orders"
NOW = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)
LIMITS = {
    "warn_after": {"count": 6, "period": "hour"},
    "error_after": {"count": 1, "period": "day"},
    "filter": None,
}
TABLE = {"project": "p", "dataset": "shop", "table": "till"}


def source(*, table: dict[str, str] | None = None) -> NodePlan:
    """Return a source's plan: a query tells its age, or a table."""
    query = job(
        "select max(at) as max_loaded_at, current_timestamp()", purpose="freshness", rows=True, main=False
    )
    return NodePlan(
        unique_id=SOURCE,
        name="till.orders",
        resource_type="source",
        level=Level.STATIC,
        file="models/till.yml",
        steps=() if table else (query,),
        freshness=FreshnessRule(LIMITS, table),
    )


def loaded(bench: Bench, hours: float | None, kind: str = "TIMESTAMP") -> None:
    """Let the query find a source loaded so many hours ago, or without rows."""
    fields = [{"name": "max_loaded_at", "type": kind}, {"name": "snapshotted_at", "type": "TIMESTAMP"}]
    at = None if hours is None else NOW - timedelta(hours=hours)
    row = {"max_loaded_at": at if kind == "TIMESTAMP" else "yesterday", "snapshotted_at": NOW}
    bench.google.on_query("max_loaded_at", rows=[row], schema=fields)


async def measure(bench: Bench, plan: NodePlan, **kwargs: Any) -> Any:
    """Run the task of a source."""
    await bench.plan(plan)
    return await bench.run(SOURCE, work="freshness", **kwargs)


@pytest.mark.parametrize(
    ("hours", "status", "said"),
    [
        (1, Status.PASS, "PASS freshness of till.orders"),
        (7, Status.WARN, "WARN freshness of till.orders"),
        (25, Status.ERROR, "ERROR STALE freshness of till.orders"),
        (None, Status.ERROR, "ERROR STALE freshness of till.orders"),
    ],
)
async def test_a_source_is_measured_without_a_worker(
    bench: Bench, hours: float | None, status: Status, said: str
) -> None:
    """The task fails where dbt says error, and the outcome has the entry of ``sources.json``."""
    loaded(bench, hours)

    event = await measure(bench, source())

    assert (is_failure if status is Status.ERROR else is_success)(event), bench.log.text
    outcome = bench.outcome(SOURCE)
    assert (outcome.status, outcome.level) == (status, Level.STATIC)
    assert outcome.freshness is not None
    assert outcome.freshness["status"] == status.value
    assert outcome.freshness["snapshotted_at"] == NOW.isoformat()
    assert outcome.adapter_response["job_id"] == outcome.jobs[0].job_id
    assert said in bench.log.text
    assert (f"{SOURCE} (models/till.yml): {outcome.message}" in bench.log.text) is (status is not Status.PASS)
    assert len(bench.google.inserted_jobs) == 1


async def test_bigquery_tells_of_a_table_without_a_job(bench: Bench) -> None:
    """As dbt asks where a source has no column for it."""
    bench.google.add_table("p", "shop", "till", rows=[{"id": 1}])

    event = await measure(bench, source(table=TABLE))

    assert is_success(event), bench.log.text
    outcome = bench.outcome(SOURCE)
    assert outcome.freshness is not None
    assert outcome.freshness["max_loaded_at_time_ago_in_s"] < 60
    assert outcome.freshness["adapter_response"] == {}
    assert bench.google.inserted_jobs == []


async def test_a_table_that_is_not_there_fails_the_task(bench: Bench) -> None:
    """dbt leaves it out of ``sources.json``."""
    event = await measure(bench, source(table=TABLE))

    assert is_failure(event)
    outcome = bench.outcome(SOURCE)
    assert (outcome.status, outcome.freshness) == (Status.ERROR, None)
    assert "no table p.shop.till" in (outcome.message or "")


async def test_a_query_that_bigquery_refuses_fails_the_task(bench: Bench) -> None:
    """In dbt's words, and with what mends it."""
    bench.google.on_query("max_loaded_at", error=("invalidQuery", "Unrecognized name: at at [1:12]"))

    event = await measure(bench, source())

    assert is_failure(event)
    outcome = bench.outcome(SOURCE)
    assert (outcome.status, outcome.freshness) == (Status.ERROR, None)
    assert outcome.message == (
        "Database Error in source till.orders (models/till.yml)\n  Unrecognized name: at at [1:12]"
    )


async def test_an_answer_that_dbt_converts_is_left_to_dbt(bench: Bench) -> None:
    """The log says why; nothing was decided here."""
    loaded(bench, 1, kind="STRING")

    event = await measure(bench, source())

    assert event.payload["status"] == "dbt"
    (left,) = event.payload["dbt"]
    assert (left["unique_id"], left["way"]) == (SOURCE, "dbt")
    assert "STRING" in left["reason"]
    assert left["reason"] in bench.log.text


async def test_a_source_is_measured_anew_at_a_new_try(bench: Bench) -> None:
    """Its age has changed, so the job of the earlier try is not adopted; that of the same try is."""
    loaded(bench, 25)
    await measure(bench, source())
    await bench.run(SOURCE, work="freshness")
    assert len(bench.google.inserted_jobs) == 1

    await bench.run(SOURCE, work="freshness", try_number=2)

    assert len(bench.google.inserted_jobs) == 2
