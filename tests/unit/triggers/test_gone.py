"""A task whose run's plan is gone, as it was cleared without its setup after the run's teardown."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import Any

import pytest

from cosmos_async.airflow.compat import RETURNS_AT_ONCE
from cosmos_async.plan.ids import TaskKey, job_id
from cosmos_async.plan.model import Index, IndexEntry, Level, NodePlan, RunInfo, dump_index, dump_node
from cosmos_async.plan.node_plans import pack
from cosmos_async.plan.store import PlanAddress, late_objects, late_plan_object
from cosmos_async.triggers.base import WORKER_ENDS
from cosmos_async.triggers.storage import node_plans
from cosmos_async.triggers.storage.documents import upload_part, write_objects
from tests.unit.triggers.bench import (
    FOLDER,
    SETUP,
    Bench,
    FakeClock,
    cancelled,
    data_test,
    event_of,
    job,
    model,
    test_row,
)
from tests.unit.triggers.ends import is_failure, is_success

ORDERS = "model.shop.orders"
KEY = TaskKey("shop_dag", "run1", "shop.orders.run", -1, 1)


def delete(bench: Bench, part: str = "") -> None:
    """Delete what the run's folder holds below *part*; everything that is there of the run, as its teardown does."""
    objects = bench.google.objects.find("plans").objects
    below = f"{FOLDER.split('/', 3)[3]}/{part}" if part else "shop/dag/run1/"
    for name in [name for name in objects if name.startswith(below)]:
        del objects[name]


async def part_of(bench: Bench, *plans: NodePlan, owners: dict[str, str] | None = None) -> dict[str, Any]:
    """Store a plan for one task as a worker does: all nodes are planned at their turn. Return its address."""
    stored, entries = {}, {}
    for plan in plans:
        stored[plan.unique_id] = dump_node(
            NodePlan(plan.unique_id, plan.name, plan.resource_type, Level.LATE, "gone")
        )
        owner = (owners or {}).get(plan.unique_id)
        entries[plan.unique_id] = IndexEntry(plan.name, plan.resource_type, Level.LATE, "gone", owner=owner)
    run = RunInfo(
        "shop_dag", "run1", "2026-03-04T00:00:00+00:00", "h", "shop", "prod", "i", "1.11", "1.12", "0.1"
    )
    index, objects = pack(Index(run, entries), stored)
    address = await upload_part(
        PlanAddress(FOLDER, "", ""), objects=objects, index=dump_index(index), identity=bench.identity
    )
    return address.to_json()


async def late(bench: Bench, plan: NodePlan) -> dict[str, str]:
    """Store the plan that a worker made of a node; return its digest."""
    data = dump_node(plan)
    digest = hashlib.sha256(data).hexdigest()
    await write_objects(
        PlanAddress(FOLDER, "", ""),
        {late_plan_object(plan.unique_id, digest): data},
        identity=bench.identity,
    )
    return {plan.unique_id: digest}


@pytest.mark.parametrize("what", ["the folder", "plans of nodes", "the address"])
async def test_a_task_whose_plan_is_gone_asks_for_a_worker(bench: Bench, what: str) -> None:
    """Whatever of it was deleted. Nothing is sent, and nothing has failed."""
    await bench.plan(model("orders"))
    if what == "the address":
        del bench.airflow.xcoms[SETUP, "dbt_plan"]
    delete(bench, {"the folder": "", "plans of nodes": "plan/nodes-", "the address": ""}[what])

    event = await bench.run(try_number=2)

    assert event.payload["status"] == "late"
    assert event.payload["gone"]
    assert event.payload["dbt"] == []
    assert bench.google.inserted_jobs == []
    assert "A worker plans this task alone now" in bench.log.text


@pytest.mark.parametrize("by_worker", [True, False])
async def test_a_worker_is_asked_for_when_the_one_before_has_ended(bench: Bench, by_worker: bool) -> None:
    """Where Airflow would else take the first one's end, of which it hears late, for that of the second."""
    trigger = bench.trigger(try_number=2, deferred_by_worker=by_worker)
    trigger.clock = clock = FakeClock()

    event = await event_of(trigger)

    assert event.payload["status"] == "late"
    assert clock.slept == ([] if RETURNS_AT_ONCE or not by_worker else [WORKER_ENDS])


async def test_a_task_that_ends_well_waits_for_no_worker(bench: Bench) -> None:
    """It needs none; where it does, as before Airflow 2.10, it may have it at once."""
    await bench.plan(model("orders"))
    trigger = bench.trigger(deferred_by_worker=True)
    trigger.clock = clock = FakeClock()

    assert is_success(await event_of(trigger)), bench.log.text
    assert clock.slept == []


@pytest.fixture
def seen_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was read of a plan, it was some time before a task begins."""
    monkeypatch.setattr(node_plans, "FRESH", 0.0)


@pytest.mark.usefixtures("seen_long_ago")
async def test_a_plan_that_this_triggerer_has_read_before_is_gone_all_the_same(bench: Bench) -> None:
    """The index is kept in memory while other tasks of the run go on."""
    held = bench.google.on_query("other", held=True)
    await bench.plan(model("orders"), model("other", job("create table `p`.`shop`.`other` as select 1")))
    other = asyncio.create_task(event_of(bench.trigger("model.shop.other", task_id="shop.other.run")))
    await held.started()
    delete(bench)

    event = await bench.run(try_number=2)

    assert event.payload["status"] == "late"
    assert event.payload["gone"]
    await cancelled(other)


async def test_it_goes_on_by_the_plan_that_the_worker_has_made(bench: Bench) -> None:
    """By jobs of their own; the address in Airflow still leads nowhere."""
    await bench.plan(model("orders"))
    delete(bench)
    address = await part_of(bench, model("orders"))
    plans = await late(bench, model("orders"))

    event = await bench.run(try_number=2, resume={"position": 0, "plans": plans, "address": address})

    assert is_success(event), bench.log.text
    (made,) = bench.google.inserted_jobs
    assert made.job_id == job_id(replace(KEY, try_number=2, late=plans[ORDERS]), ORDERS, 1)
    assert bench.outcome().try_number == 2


async def test_what_comes_later_in_the_task_is_planned_at_its_turn(bench: Bench) -> None:
    """What a test reads is there by then; the worker is told where this task's plan is."""
    test = data_test("quick")
    address = await part_of(bench, model("orders"), test, owners={test.unique_id: ORDERS})
    plans = await late(bench, model("orders"))

    event = await bench.run(
        work="build", try_number=2, resume={"position": 0, "plans": plans, "address": address}
    )

    assert event.payload["status"] == "late"
    assert event.payload["gone"] is None
    assert event.payload["address"] == address
    assert (event.payload["position"], event.payload["rest"]) == (1, 0)
    assert [(node["unique_id"], node["way"]) for node in event.payload["dbt"]] == [
        ("test.shop.quick", "late")
    ]
    assert len(bench.google.inserted_jobs) == 1


async def test_a_plan_that_goes_once_more_fails_the_task(bench: Bench) -> None:
    """Somebody deletes what is in use; another worker would help no more."""
    address = await part_of(bench, model("orders"))
    plans = await late(bench, model("orders"))
    delete(bench)

    event = await bench.run(
        resume={"position": 0, "plans": plans, "address": address}, fails_in_triggerer=False
    )

    assert event.payload["status"] == "failed"
    assert "deleted by its teardown task" in event.payload["message"]


@pytest.mark.usefixtures("seen_long_ago")
async def test_nothing_is_done_a_second_time_where_the_plan_goes_in_the_middle(bench: Bench) -> None:
    """A task that has built its model does not begin again because the plans of its tests are deleted."""
    test = data_test("quick")
    sql = "create or replace table `p`.`shop`.`orders` as select 1 as id"
    bench.google.on_query("/\\* quick \\*/", **test_row(0))
    held = bench.google.on_query("create or replace", held=True, times=1)
    await bench.plan(model("orders", job(sql)), test, owners={test.unique_id: ORDERS})
    task = asyncio.create_task(event_of(bench.trigger(work="build")))
    await held.started()
    delete(bench, "plan/nodes-")

    held.release()

    assert is_failure(await task), bench.log.text
    assert len(bench.google.inserted_jobs) == 1


async def test_a_new_try_ends_what_the_workers_plan_led_to(bench: Bench) -> None:
    """The worker leaves word of it as of every late plan."""
    held = bench.google.on_query("select 2", held=True, times=1)
    address = await part_of(bench, model("orders"))
    plans = await late(bench, model("orders", job("create table `p`.`shop`.`orders` as select 2")))
    pins = f"{late_objects(KEY)}0.json"
    await write_objects(
        PlanAddress(FOLDER, "", ""),
        {pins: b'{"%s": "%s"}' % (ORDERS.encode(), plans[ORDERS].encode())},
        identity=bench.identity,
    )
    first = asyncio.create_task(
        event_of(bench.trigger(resume={"position": 0, "plans": plans, "address": address}))
    )
    await held.started()
    await cancelled(first)
    again = await late(bench, model("orders"))

    event = await bench.run(try_number=2, resume={"position": 0, "plans": again, "address": address})

    assert is_success(event), bench.log.text
    assert bench.google.inserted_jobs[0].error.reason == "stopped"
