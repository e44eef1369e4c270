"""A task that goes on in the triggerer after a worker has planned some of its nodes anew."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace

import pytest

from cosmos_async.plan.ids import TaskKey, job_id
from cosmos_async.plan.model import Guard, GuardKind, Level, NodePlan, dump_node
from cosmos_async.plan.outcome import Outcome, Status, dump_outcome
from cosmos_async.plan.store import late_objects, late_plan_object, outcome_object
from cosmos_async.triggers.storage.documents import write_objects
from tests.unit.triggers.bench import (
    NONCE,
    Bench,
    cancelled,
    data_test,
    event_of,
    job,
    model,
    target_state,
    test_row,
)
from tests.unit.triggers.ends import is_failure, is_success

ORDERS = "model.shop.orders"
KEY = TaskKey("shop_dag", "run1", "shop.orders.run", -1, 1, nonce=NONCE)


async def plan_late(bench: Bench, plan: NodePlan, *, try_number: int = 1) -> str:
    """Store a late plan as a worker does, and return its digest."""
    data = dump_node(plan)
    digest = hashlib.sha256(data).hexdigest()
    pins = f"{late_objects(KEY.with_try(try_number))}0.json"
    await store(bench, late_plan_object(plan.unique_id, digest), data)
    await store(bench, pins, json.dumps({plan.unique_id: digest}).encode())
    return digest


async def store(bench: Bench, name: str, data: bytes) -> None:
    """Put an object into the run's folder."""
    assert bench.address is not None
    await write_objects(bench.address, {name: data}, identity=bench.identity)


def outcome(unique_id: str, status: Status, message: str | None = None) -> Outcome:
    """What became of a node earlier in the try."""
    at = "2026-03-04T00:00:00+00:00"
    return Outcome(unique_id, status, message, Level.DBT, at, at, 1)


async def test_a_node_that_was_planned_anew_is_executed_here(bench: Bench) -> None:
    """By its new plan; what it was planned for before has no say any more."""
    await bench.plan(model("orders", level=Level.LATE, reason="It reads rows.", compiled_code=None))
    late = model("orders", target_state("orders"), job("create table `p`.`shop`.`orders` as select 2 as id"))
    digest = await plan_late(bench, replace(late, reason="It reads rows."))

    event = await bench.run(resume={"position": 0, "plans": {ORDERS: digest}})

    assert is_success(event), bench.log.text
    assert [made.spec.sql for made in bench.google.inserted_jobs] == [
        "create table `p`.`shop`.`orders` as select 2 as id"
    ]
    assert bench.outcome().level is Level.LATE
    assert bench.outcome().reason == "It reads rows."


async def test_the_second_plan_does_not_adopt_the_first_ones_jobs(bench: Bench) -> None:
    """The same position of the same node in the same try: the first plan's job is not the second's."""
    first = model("orders", target_state("orders"), job("create table `p`.`shop`.`orders` as select 1 as id"))
    await bench.plan(first)
    await bench.run()
    again = model(
        "orders",
        target_state("orders", "TABLE"),
        job("create or replace table `p`.`shop`.`orders` as select 2"),
    )
    digest = await plan_late(bench, again)

    event = await bench.run(resume={"position": 0, "plans": {ORDERS: digest}})

    assert is_success(event), bench.log.text
    ids = [made.job_id for made in bench.google.inserted_jobs]
    assert len(set(ids)) == 2
    assert ids[1] == job_id(replace(KEY, late=digest), ORDERS, 1)


async def test_a_second_life_of_the_second_pass_adopts_its_jobs(bench: Bench) -> None:
    """The plan is pinned, so its jobs have the same ids after a crash."""
    await bench.plan(model("orders", level=Level.LATE, reason="r"))
    digest = await plan_late(bench, model("orders"))
    resume = {"position": 0, "plans": {ORDERS: digest}}

    await bench.run(resume=resume)
    event = await bench.run(resume=resume)

    assert is_success(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 1


async def test_a_new_plan_that_differs_already_goes_to_real_dbt(bench: Bench) -> None:
    """It would differ again; the log says which read it was and what happens next."""
    bench.google.add_table("p", "shop", "orders", rows=[{"id": 1}])
    await bench.plan(model("orders", level=Level.LATE, reason="r"))
    digest = await plan_late(bench, model("orders"))

    event = await bench.run(resume={"position": 0, "plans": {ORDERS: digest}})

    assert event.payload["status"] == "dbt"
    assert event.payload["dbt"][0]["way"] == "dbt"
    assert "planned 'absent', found 'TABLE'" in bench.log.text
    assert "Real dbt runs the node on a worker." in bench.log.text
    assert bench.google.inserted_jobs == []


def coloured(*colours: str) -> Guard:
    """A query whose rows come in the order of something that is not among its columns."""
    sql = "select colour from `p`.`shop`.`raw` group by colour order by count(*) desc"
    request = {"project": "p", "location": "US", "configuration": {"query": {"query": sql}}, "ordered": True}
    return Guard(GuardKind.ROWS, sql, request, [[colour] for colour in colours])


@pytest.mark.parametrize(("found", "executed"), [(("red", "blue"), True), (("red", "green"), False)])
async def test_rows_that_tie_may_come_otherwise_to_a_plan_made_now(
    bench: Bench, found: tuple[str, ...], executed: bool
) -> None:
    """dbt asks once, at the node's turn, and goes on with the order that it got; other rows are a difference."""
    bench.google.on_query("select colour", rows=[{"colour": colour} for colour in found])
    await bench.plan(model("orders", level=Level.LATE, reason="r"))
    plan = model("orders", coloured("blue", "red"), job("create table `p`.`shop`.`orders` as select 1"))

    event = await bench.run(resume={"position": 0, "plans": {ORDERS: await plan_late(bench, plan)}})

    assert is_success(event) is executed, bench.log.text


async def test_rows_in_another_order_than_before_the_run_are_asked_for_by_dbt(bench: Bench) -> None:
    """They may come of other data, whose order dbt would see."""
    bench.google.on_query("select colour", rows=[{"colour": "red"}, {"colour": "blue"}])
    await bench.plan(
        model("orders", coloured("blue", "red"), job("create table `p`.`shop`.`orders` as select 1"))
    )

    event = await bench.run()

    assert event.payload["dbt"][0]["way"] == "late"


async def test_what_ended_before_is_part_of_the_end(bench: Bench) -> None:
    """One test failed before the worker came, another one was planned anew and passes: the task fails."""
    bench.google.on_query("/\\* good \\*/", **test_row(0))
    tests = [data_test("bad"), data_test("good", level=Level.LATE, reason="r", steps=())]
    await bench.plan(*tests, owners={test.unique_id: ORDERS for test in tests})
    bad = outcome("test.shop.bad", Status.FAIL, "Got 1 result, configured to fail if != 0")
    await store(bench, outcome_object("test.shop.bad"), dump_outcome(bad))
    digest = await plan_late(bench, data_test("good"))

    event = await bench.run(work="tests", resume={"position": 0, "plans": {"test.shop.good": digest}})

    assert is_failure(event)
    assert bench.outcome("test.shop.good").status is Status.PASS
    assert "PASS=1 WARN=0 ERROR=1 SKIP=0 DBT=0 TOTAL=2" in bench.log.text


async def test_the_message_tells_of_what_failed_before(bench: Bench) -> None:
    """Also where a worker ends the task."""
    tests = [data_test("bad")]
    await bench.plan(*tests, owners={test.unique_id: ORDERS for test in tests})
    bad = outcome("test.shop.bad", Status.FAIL, "Got 1 result, configured to fail if != 0")
    await store(bench, outcome_object("test.shop.bad"), dump_outcome(bad))

    event = await bench.run(work="tests", resume={"position": 0, "plans": {}}, fails_in_triggerer=False)

    assert event.payload["status"] == "failed"
    assert "test.shop.bad: Got 1 result" in event.payload["message"]


async def test_the_groups_after_it_follow(bench: Bench) -> None:
    """In one task the tests wait for their model, whoever has built it; those that need a worker ask for it then."""
    tests = [data_test("quick"), data_test("slow", level=Level.LATE, reason="It reads columns.", steps=())]
    bench.google.on_query("/\\* quick \\*/", **test_row(0))
    await bench.plan(
        model("orders", level=Level.DBT, reason="r"),
        *tests,
        owners={test.unique_id: ORDERS for test in tests},
    )
    await store(bench, outcome_object(ORDERS), dump_outcome(outcome(ORDERS, Status.SUCCESS)))

    event = await bench.run(work="build", resume={"position": 0, "plans": {}})

    assert event.payload["status"] == "late"
    assert [(node["unique_id"], node["way"]) for node in event.payload["dbt"]] == [("test.shop.slow", "late")]
    assert (event.payload["position"], event.payload["rest"]) == (1, 0)
    assert bench.outcome("test.shop.quick").status is Status.PASS


async def test_nothing_follows_what_failed_on_the_worker(bench: Bench) -> None:
    """As in dbt build: tests of a model that is not there are skipped."""
    test = data_test("quick")
    await bench.plan(model("orders", level=Level.DBT, reason="r"), test, owners={test.unique_id: ORDERS})
    await store(bench, outcome_object(ORDERS), dump_outcome(outcome(ORDERS, Status.ERROR, "Syntax error")))

    event = await bench.run(work="build", resume={"position": 0, "plans": {}})

    assert is_failure(event)
    assert bench.google.inserted_jobs == []


async def test_an_outcome_that_is_lost_is_no_success(bench: Bench) -> None:
    """Nobody knows what became of the node."""
    await bench.plan(model("orders", level=Level.DBT, reason="r"))

    event = await bench.run(resume={"position": 0, "plans": {}}, fails_in_triggerer=False)

    assert event.payload["status"] == "failed"
    assert "what became of model.shop.orders" in event.payload["message"]


@pytest.mark.parametrize("level", [Level.LATE, Level.STATIC])
async def test_a_new_try_ends_the_jobs_of_an_earlier_ones_new_plan(bench: Bench, level: Level) -> None:
    """It begins with setup's plan, and finds what the earlier try had planned anew."""
    held = bench.google.on_query("select 2", held=True, times=1)
    await bench.plan(model("orders", level=level, reason="r"))
    digest = await plan_late(
        bench, model("orders", job("create or replace table `p`.`shop`.`orders` as select 2"))
    )
    first = asyncio.create_task(event_of(bench.trigger(resume={"position": 0, "plans": {ORDERS: digest}})))
    await held.started()
    await cancelled(first)

    await bench.run(try_number=2)

    assert bench.google.inserted_jobs[0].error.reason == "stopped"
    assert "left by an earlier try" in bench.log.text


async def test_who_was_given_up_finds_a_later_try_by_its_new_plan(bench: Bench) -> None:
    """Its jobs have ids that nobody can compute; what the worker left in the store tells of it."""
    temporary = job("create or replace table `p`.`shop`.`orders__tmp` as select 1", main=False)
    await bench.plan(
        model("orders", temporary, job("create or replace table `p`.`shop`.`orders` as select 1"))
    )
    held = bench.google.on_query("orders__tmp", held=True)
    trigger = bench.trigger()
    task = asyncio.create_task(event_of(trigger))
    await held.started()
    (run,) = trigger._runs
    await plan_late(bench, model("orders"), try_number=2)
    run.warehouse.bigquery.session.suspension._last -= 60  # this triggerer stood still for a minute

    held.release()

    assert is_failure(await task)
    assert "a later try of the task has begun" in bench.log.text
    assert len(bench.google.inserted_jobs) == 1


async def test_the_hooks_of_the_run_come_before_a_node_that_needs_a_worker(bench: Bench) -> None:
    """What real dbt or a late plan reads may be what on-run-start makes."""
    hook = job(
        "insert into `p`.`shop`.`log` select 1", purpose="on-run-start", main=False, shared="on_run_start:0"
    )
    bench.google.add_table("p", "shop", "log", schema=[{"name": "n", "type": "INTEGER"}])
    await bench.plan(model("orders", level=Level.DBT, reason="r", steps=()), prelude=(hook,))

    await bench.run()

    assert [made.spec.sql for made in bench.google.inserted_jobs] == ["insert into `p`.`shop`.`log` select 1"]
