"""OpenLineage's events of tasks that begin or end in the triggerer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from cosmos_async.airflow.compat import (
    AIRFLOW_VERSION,
    ENDS_IN_TRIGGERER,
    FAILS_IN_TRIGGERER,
    HAS_ON_KILL,
)
from cosmos_async.plan.lineage import Lineage, NodeLineage, RunLineage, TaskLineage
from cosmos_async.plan.model import Index, Level, NodePlan
from cosmos_async.plan.outcome import Outcome, Status
from cosmos_async.triggers.execution import lineage
from cosmos_async.triggers.google.session import shared_session
from cosmos_async.triggers.jobs.warehouse import warehouse_of
from cosmos_async.triggers.teardown import TeardownTrigger
from tests.unit.triggers.bench import (
    SETUP,
    Bench,
    FakeClock,
    FakeOpenLineage,
    cancelled,
    data_test,
    event_of,
    job,
    model,
    target_state,
    test_row,
)
from tests.unit.triggers.ends import is_success

USER_ACTION = "__airflow_user_action__"  # as Airflow 3.3 cancels

pytestmark = pytest.mark.skipif(not ENDS_IN_TRIGGERER, reason="every task ends on a worker")

TASK = "shop.orders.run"
AT = "2026-03-04T00:00:00+00:00"
RUN = RunLineage("2026-03-04T00:00:00+00:00", {}, (None, None), (), {})
NODES = {
    "source.shop.raw.orders": NodeLineage(
        (), "p.shop.raw_orders", "As delivered", {"id": ("int64", "the id")}
    ),
    "model.shop.orders": NodeLineage(("source.shop.raw.orders",), "p.shop.orders"),
    "test.shop.not_null": NodeLineage(("model.shop.orders",), test=("not_null", "id")),
    "test.shop.unique": NodeLineage(("model.shop.orders",), test=("unique", "id")),
    "unit_test.shop.orders.u": NodeLineage(("model.shop.orders",)),
}
LINEAGE = Lineage(RUN, {TASK: TaskLineage(("ann",), None, None, {})}, NODES)


@pytest.fixture
def provider(bench: Bench) -> FakeOpenLineage:
    """The provider, switched on."""
    bench.openlineage.active = True
    return bench.openlineage


async def test_a_task_that_no_worker_sees_has_a_start_and_an_end(
    bench: Bench, provider: FakeOpenLineage
) -> None:
    """Its listener would have sent both on a worker."""
    await bench.plan(model("orders"), lineage=LINEAGE)

    assert is_success(await bench.run())

    assert provider.told == [(TASK, "START"), (TASK, "COMPLETE")]
    start, end = provider.events
    assert start.at <= end.at
    assert (end.dag_id, end.map_index, end.try_number, end.run) == ("shop_dag", -1, 1, RUN)


async def test_the_end_tells_of_the_tables(bench: Bench, provider: FakeOpenLineage) -> None:
    """What dbt says is read, what BigQuery says besides, the new table's columns, its rows and its job."""
    bench.google.add_table("p", "shop", "raw_orders", schema=[{"name": "id", "type": "INTEGER"}])
    other = {"projectId": "p", "datasetId": "other", "tableId": "rates"}
    bench.google.on_query(
        "create or replace table",
        rows=[{"id": 1}, {"id": 2}],
        statistics={"query": {"referencedTables": [other]}},
    )
    provider.sources = {
        "ID": [("p.shop.raw_orders", "id"), ("p.shop.never_read", "x")],
        "gone": [("p.shop.raw_orders", "id")],
    }
    await bench.plan(model("orders"), lineage=LINEAGE)

    await bench.run()

    tables = provider.events[-1].tables
    rates, raw = tables.inputs
    (orders,) = tables.outputs
    assert (rates.name, raw.name, orders.name) == ("p.other.rates", "p.shop.raw_orders", "p.shop.orders")
    assert rates.columns == ()  # there is no such table; nobody fails for that
    assert [(one.name, one.type, one.description) for one in raw.columns] == [("id", "INTEGER", "the id")]
    assert raw.description == "As delivered"
    assert [one.name for one in orders.columns] == ["id"]
    assert orders.sources == {"id": [("p.shop.raw_orders", "id")]}
    assert orders.rows == 2
    assert tables.sql == "select 1 as id"
    assert tables.job is not None
    assert tables.job["jobReference"]["jobId"] == bench.google.inserted_jobs[0].job_id


async def test_tests_tell_what_they_have_found_of_a_table(bench: Bench, provider: FakeOpenLineage) -> None:
    """As dbt-ol does, and with the job that people look for."""
    bench.google.on_query("not_null", **test_row(0))
    bench.google.on_query("unique", **test_row(2))
    nodes = (data_test("not_null"), data_test("unique"))
    owner = "model.shop.orders"
    await bench.plan(*nodes, owners={node.unique_id: owner for node in nodes}, lineage=LINEAGE)

    await bench.run(work="tests", fails_in_triggerer=True)

    if not FAILS_IN_TRIGGERER:
        assert provider.told == [(TASK, "START")]
        return
    assert provider.told == [(TASK, "START"), (TASK, "FAIL")]
    (orders,) = provider.events[-1].tables.inputs
    assert orders.name == "p.shop.orders"
    found = [(one.name, one.column, one.success) for one in orders.assertions]
    assert found == [("not_null", "id", True), ("unique", "id", False)]
    assert "unique" in (provider.events[-1].error or "")


@pytest.mark.parametrize(
    ("arguments", "states"),
    [
        pytest.param({"deferred_by_worker": True}, ["COMPLETE"], id="begins on a worker"),
        pytest.param({"succeeds_in_triggerer": False}, ["START"], id="ends on a worker"),
    ],
)
async def test_nothing_is_sent_twice(
    bench: Bench, provider: FakeOpenLineage, arguments: dict[str, Any], states: list[str]
) -> None:
    """What happens on a worker, the provider's listener sends from there."""
    await bench.plan(model("orders"), lineage=LINEAGE)

    await bench.run(**arguments)

    assert [state for _, state in provider.told] == states


async def test_a_task_of_which_no_events_are_wanted_has_none(bench: Bench, provider: FakeOpenLineage) -> None:
    """Setup has asked the provider's settings; the task ends in the triggerer all the same."""
    await bench.plan(model("orders"), lineage=Lineage(RUN, {TASK: None}, NODES))

    assert is_success(await bench.run())
    assert provider.events == []


@pytest.mark.parametrize("known", [None, Lineage(RUN, {}, NODES)], ids=["nothing", "other tasks"])
async def test_without_what_setup_knows_the_task_ends_on_a_worker(
    bench: Bench, provider: FakeOpenLineage, known: Lineage | None
) -> None:
    """As where an earlier release has planned the run, or a task is mapped: the listener sends the events then."""
    await bench.plan(model("orders"), lineage=known)

    event = await bench.run()

    assert type(event) is TriggerEvent
    assert event.payload["status"] == "success"
    assert "ends on a worker" in bench.log.text


async def test_settings_that_make_no_sense_fail_no_task(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The provider itself refuses them as well, where a worker asks it."""

    def is_active() -> bool:
        raise ValueError("OpenLineage transport `[]` is not a dict")

    monkeypatch.setattr("cosmos_async.airflow.openlineage.is_active", is_active)

    assert not await lineage.OpenLineage().is_active()
    assert "is not a dict" in caplog.text


async def test_a_unit_test_reads_no_table(bench: Bench, provider: FakeOpenLineage) -> None:
    """It runs in its model's own task, which does not read itself."""
    await bench.plan(model("orders"), lineage=LINEAGE)
    unit = Outcome("unit_test.shop.orders.u", Status.PASS, None, Level.STATIC, AT, AT, 1)
    async with shared_session(bench.identity) as session:
        asked = await lineage.tables_of(
            LINEAGE,
            [unit],
            (),
            Index(None, {}),  # type: ignore[arg-type]
            provider,  # type: ignore[arg-type]
            session,
            warehouse_of(session).bigquery,
        )

    assert asked.inputs == ()


@pytest.mark.parametrize("fault", ["error", "hangs"])
async def test_lineage_never_fails_a_task(
    bench: Bench, provider: FakeOpenLineage, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A warning says what was not sent, and what to do."""
    monkeypatch.setattr(lineage, "PATIENCE", 0.2)
    await bench.plan(model("orders"), lineage=LINEAGE)
    if fault == "error":
        provider.error = RuntimeError("no such host")
    else:
        provider.hangs = True

    assert is_success(await bench.run())

    warnings = [line for level, line in bench.log.lines if level == "warning"]
    assert [("START" in line, "COMPLETE" in line) for line in warnings] == [(True, False), (False, True)]
    assert all("AIRFLOW__OPENLINEAGE__DISABLED" in line for line in warnings)


async def test_a_refused_permission_leaves_out_what_it_hides(bench: Bench, provider: FakeOpenLineage) -> None:
    """Whoever may run a model need not be allowed to look at its sources."""
    bench.google.fail("tables.get", 403, times=None, when=lambda request: "raw_orders" in request.path)
    await bench.plan(model("orders"), lineage=LINEAGE)

    assert is_success(await bench.run())

    (raw,) = provider.events[-1].tables.inputs
    assert [(one.name, one.type) for one in raw.columns] == [("id", "int64")]  # as dbt's project has it


@pytest.mark.parametrize(
    ("state", "ends"),
    [
        (None, ["FAIL"]),  # cleared
        ("skipped", ["FAIL"]),  # the DAG run's time is over
        # Since Airflow 3 the API server tells listeners of what a person has set.
        ("failed", [] if AIRFLOW_VERSION >= (3, 0) else ["FAIL"]),
        ("success", [] if AIRFLOW_VERSION >= (3, 0) else ["COMPLETE"]),
    ],
)
async def test_no_run_stays_open_when_a_task_is_killed(
    bench: Bench, provider: FakeOpenLineage, state: str | None, ends: list[str]
) -> None:
    """Its start has been sent, and nobody else would send an end."""
    bench.airflow.task_state = state

    await stop(bench)

    assert [told for _, told in provider.told] == ["START", *ends]


async def test_a_triggerer_that_goes_leaves_the_run_open(bench: Bench, provider: FakeOpenLineage) -> None:
    """Another one takes the task over, and sends its end."""
    await stop(bench)

    assert provider.told == [(TASK, "START")]


async def stop(bench: Bench) -> None:
    """End a trigger in the middle of its job, as Airflow does."""
    held = bench.google.on_query("create or replace table", held=True)
    await bench.plan(model("orders"), lineage=LINEAGE)
    trigger = bench.trigger()
    running = asyncio.create_task(event_of(trigger))
    await held.started()
    await cancelled(running, USER_ACTION)
    if HAS_ON_KILL:
        await trigger.on_kill()


async def test_a_plan_that_is_not_there_fails_the_task_where_the_listener_hears_of_it(
    bench: Bench, provider: FakeOpenLineage
) -> None:
    """There is nothing to make an event of."""
    await bench.plan(model("orders"), lineage=LINEAGE)

    event = await bench.run("model.shop.never_planned")

    if FAILS_IN_TRIGGERER:
        assert provider.told == [(TASK, "START"), (TASK, "FAIL")]
    else:
        assert type(event) is TriggerEvent


@pytest.mark.parametrize("by_worker", [False, True])
async def test_teardown_ends_where_it_began(bench: Bench, provider: FakeOpenLineage, by_worker: bool) -> None:
    """It has no events of ours, so a start that a worker's listener has told of needs an end from there."""
    await bench.plan(model("orders"), lineage=LINEAGE)
    trigger = TeardownTrigger(SETUP, bench.identity, deferred_by_worker=by_worker)
    trigger.task_instance = bench.trigger().task_instance
    trigger.airflow, trigger._log = bench.airflow, bench.log  # type: ignore[assignment]
    trigger.openlineage, trigger.clock = provider, FakeClock()  # type: ignore[assignment]

    (event,) = [event async for event in trigger.run()]

    assert (type(event) is TriggerEvent) is by_worker


def plan_of_view() -> NodePlan:
    """Return a view, whose job has no rows."""
    sql = "create or replace view `p`.`shop`.`orders` as select 1 as id"
    return model("orders", target_state("orders"), job(sql), materialized="view")


async def test_a_view_has_no_rows(bench: Bench, provider: FakeOpenLineage) -> None:
    """OpenLineage's statistics are of what was written."""
    await bench.plan(plan_of_view(), lineage=LINEAGE)

    await bench.run()

    (orders,) = provider.events[-1].tables.outputs
    assert (orders.rows, orders.size) == (None, None)
