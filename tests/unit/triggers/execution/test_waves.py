"""Late nodes of several tasks: one task asks for a worker, which plans them all; no task ever needs that."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.dbt.planner.late import LatePlans
from cosmos_async.operators.run_plan import RunPlan
from cosmos_async.operators.wave import Wave
from cosmos_async.plan.ids import TaskKey, job_id
from cosmos_async.plan.model import Guard, GuardKind, Level, NodePlan, dump_node
from cosmos_async.plan.outcome import Status
from cosmos_async.plan.store import late_plan_object
from cosmos_async.plan.waves import Claim, Owner, Pin, Request, pin_object, request_objects, wave_objects
from cosmos_async.triggers.execution import fail_fast, waves
from cosmos_async.triggers.google.credentials import Credentials
from cosmos_async.triggers.google.session import Session
from cosmos_async.triggers.storage.documents import folder_at
from tests.unit.triggers.bench import (
    NONCE,
    PLACE,
    Bench,
    FakeClock,
    cancelled,
    data_test,
    event_of,
    job,
    model,
    test_row,
)
from tests.unit.triggers.ends import is_skip, is_success

NAMES = ("orders", "lines", "totals")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for seconds here."""
    monkeypatch.setattr(waves, "INTERVAL", 0.02)
    monkeypatch.setattr(waves, "PAUSE", 0.01)
    monkeypatch.setattr(waves, "OWNER_INTERVAL", 0.05)
    monkeypatch.setattr(fail_fast, "INTERVAL", 0.02)


def key(name: str, *, try_number: int = 1) -> TaskKey:
    """A task's key."""
    return TaskKey("shop_dag", "run1", f"shop.{name}.run", -1, try_number, nonce=NONCE)


def unique_id(name: str) -> str:
    """A model's."""
    return f"model.shop.{name}"


async def plan(bench: Bench, **run: Any) -> str:
    """Plan three late models, and return the digest of the index."""
    address = await bench.plan(
        *(model(name, level=Level.LATE, reason="It reads rows.") for name in NAMES), **run
    )
    return address.index


def begin(bench: Bench, name: str, **kwargs: Any) -> asyncio.Task[Any]:
    """Begin a model's task."""
    trigger = bench.trigger(unique_id(name), task_id=f"shop.{name}.run", **kwargs)
    return asyncio.create_task(event_of(trigger))


def names(bench: Bench) -> list[str]:
    """What the tasks have told one another."""
    assert bench.address is not None
    start = f"{PLACE}/{wave_objects(bench.address.index)}"
    return sorted(name[len(start) :] for name in bench.google.stored("plans") if name.startswith(start))


async def until(true: Any) -> None:
    """Wait until something is so."""
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


def asked(bench: Bench) -> int:
    """How many requests there are."""
    return sum(name.startswith("asked/") for name in names(bench))


async def test_what_was_assumed_in_vain_is_planned_with_the_others(bench: Bench) -> None:
    """A table of names has changed that many nodes read: they are as many late nodes. What has written something is alone."""
    request = {"project": "p", "location": "US", "configuration": {"query": {"query": "select n from names"}}}
    names_read = Guard(GuardKind.ROWS, "select n from names", request, [["a"]], assumed=True)
    read = replace(names_read, assumed=False)
    bench.google.on_query("select n from names", rows=[{"n": "b"}])
    await bench.plan(
        model("orders", names_read, job("create table orders")),
        model(
            "lines", job("create table p.shop.lines"), names_read, job("insert into p.shop.lines values (1)")
        ),
        model("totals", read, job("create table totals")),
    )

    event = await begin(bench, "orders")
    others = [await begin(bench, name) for name in ("lines", "totals")]

    assert event.payload["claim"], "its worker plans for all"
    assert [other.payload.get("claim") for other in others] == [None, None]
    assert "is no longer what the plan was made for" in bench.log.text


async def test_what_differs_besides_an_assumption_is_planned_alone(bench: Bench) -> None:
    """
    Its own plan comes with the trigger's arguments.

    By the plan of a wave it may make the table that setup has seen; whoever takes the task over would find setup's plan good.
    """
    request = {"project": "p", "location": "US", "configuration": {"query": {"query": "select n from names"}}}
    names_read = Guard(GuardKind.ROWS, "select n from names", request, [["a"]], assumed=True)
    bench.google.on_query("select n from names", rows=[{"n": "a"}])
    target = Guard(
        GuardKind.TARGET_STATE,
        "p.shop.orders",
        {"project": "p", "dataset": "shop", "table": "orders"},
        "table",
    )
    await bench.plan(model("orders", target, names_read, job("insert into orders values (1)")))

    event = await begin(bench, "orders")

    assert event.payload["status"] == "late"
    assert event.payload.get("claim") is None
    assert asked(bench) == 0


async def write(bench: Bench, objects: dict[str, bytes]) -> None:
    """Put objects into the run's folder, one after the other."""
    assert bench.address is not None
    async with folder_at(bench.address, identity=bench.identity) as folder:
        for name, data in objects.items():
            await folder.write(name, data)


async def remove(bench: Bench, request: Request) -> None:
    """Deal with a request."""
    assert bench.address is not None
    async with folder_at(bench.address, identity=bench.identity) as folder:
        await folder.remove(request.name(bench.address.index))


def request_of(name: str, *, try_number: int = 1) -> Request:
    """What a model's task asks for."""
    return Request(f"shop.{name}.run", -1, try_number, 0, (unique_id(name),))


def late_plan(name: str) -> NodePlan:
    """What a worker plans."""
    return model(name, job(f"create or replace table `p`.`shop`.`{name}` as select 'late'"))


async def pin(bench: Bench, name: str, *, together: int = 3) -> str:
    """Plan a node as a worker does that has others to plan, and return the plan's digest."""
    assert bench.address is not None
    data = dump_node(late_plan(name))
    digest = hashlib.sha256(data).hexdigest()
    pinned = Pin({unique_id(name): digest}, "shop.orders.run", together)
    where = pin_object(key(name), bench.address.index, 0)
    await write(bench, {late_plan_object(unique_id(name), digest): data, where: pinned.dump()})
    return digest


async def end(bench: Bench, number: int = 1, how: str = "done") -> None:
    """End a claim."""
    assert bench.address is not None
    await write(bench, {Claim(number, how).name(bench.address.index): b"{}"})


def submitted(bench: Bench) -> list[str]:
    """The statements that were sent."""
    return sorted(made.spec.sql for made in bench.google.inserted_jobs)


async def test_one_task_asks_for_a_worker_and_the_others_go_on_by_what_it_has_planned(bench: Bench) -> None:
    """In the triggerer, each by its own plan, whose jobs have the ids that they have after a worker of its own."""
    await plan(bench)
    tasks = [begin(bench, name) for name in NAMES]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    (first,) = [task.result() for task in done]
    await until(lambda: asked(bench) == 2)
    others = [name for name in NAMES if first.payload["dbt"][0]["unique_id"] != unique_id(name)]

    digests = {name: await pin(bench, name) for name in others}
    for name in others:
        await remove(bench, request_of(name))
    await end(bench)
    events = await asyncio.gather(*waiting)

    assert first.payload["status"] == "late"
    assert first.payload["claim"] == Claim(1, "").name(bench.address.index)  # type: ignore[union-attr]
    assert all(map(is_success, events)), bench.log.text
    assert submitted(bench) == sorted(
        f"create or replace table `p`.`shop`.`{name}` as select 'late'" for name in others
    )
    assert {made.job_id for made in bench.google.inserted_jobs} == {
        job_id(replace(key(name), late=digests[name]), unique_id(name), 0) for name in others
    }
    assert bench.outcome(unique_id(others[0])).level is Level.LATE
    assert "together with 2 other nodes, by the worker of task shop.orders.run" in bench.log.text
    assert [name for name in names(bench) if name.startswith("asked/")] == []


async def test_what_a_worker_has_planned_for_others_is_what_they_carry_out(bench: Bench) -> None:
    """Through the store, as the one writes it and the others read it; a node without a plan goes to its own worker."""
    await plan(bench)
    tasks = {name: begin(bench, name) for name in NAMES}
    await until(lambda: asked(bench) == 2 and any(task.done() for task in tasks.values()))
    owner = next(name for name, task in tasks.items() if task.done())
    planned, unplanned = (name for name in NAMES if name != owner)
    claim = tasks[owner].result().payload["claim"]

    def work() -> None:
        assert bench.address is not None
        operator = SimpleNamespace(setup_task_id="shop.dbt_setup_async", identity=bench.identity)
        context = {"ti": SimpleNamespace(run_id="run1", map_index=-1)}
        run_plan = RunPlan(operator, context, address=bench.address)
        wave = Wave(run_plan, run_plan.index(), key(owner), claim, logging.getLogger("worker"))
        requests = wave.take()
        never = replace(late_plan(unplanned), level=Level.DBT, steps=())
        made = {unique_id(planned): late_plan(planned), unique_id(unplanned): never}
        assert wave.reasons(requests) == dict.fromkeys(made, "It reads rows.")
        wave.answer(requests, LatePlans(made, {}))
        wave.end(well=True)

    await asyncio.to_thread(work)

    assert is_success(await tasks[planned]), bench.log.text
    assert submitted(bench) == [f"create or replace table `p`.`shop`.`{planned}` as select 'late'"]
    assert (await tasks[unplanned]).payload["status"] == "late"
    assert f"together with 1 other node, by the worker of task shop.{owner}.run" in bench.log.text


async def test_a_second_life_goes_on_by_the_plan_that_is_pinned(bench: Bench) -> None:
    """A triggerer dies while the job runs; the next one asks nobody and adopts it."""
    await plan(bench)
    held = bench.google.on_query("select 'late'", held=True, times=1)
    await pin(bench, "lines")
    first = begin(bench, "lines")
    await held.started()
    await cancelled(first)
    again = begin(bench, "lines")
    held.release()

    assert is_success(await again), bench.log.text
    assert len(bench.google.inserted_jobs) == 1
    assert names(bench) == []


async def waits(bench: Bench, name: str = "lines", *, owner: str = "orders") -> asyncio.Task[Any]:
    """Begin a task that waits for the one of *owner*, which has the first claim."""
    assert bench.address is not None
    await write(bench, {Claim(1, "").name(bench.address.index): Owner.of(key(owner)).dump()})
    task = begin(bench, name)
    await until(lambda: "by the worker of task shop.orders.run; goes on here then" in bench.log.text)
    return task


async def test_a_node_that_could_not_be_planned_along_asks_for_a_worker_of_its_own(bench: Bench) -> None:
    """Its request is dealt with and there is no plan: that worker says why, or runs real dbt."""
    await plan(bench)
    task = await waits(bench)

    await remove(bench, request_of("lines"))
    event = await task

    assert (event.payload["status"], event.payload["claim"]) == ("late", None)
    assert event.payload["dbt"][0]["way"] == "late"


async def test_who_waits_for_a_planner_that_failed_goes_on_by_itself(bench: Bench) -> None:
    """Each with a worker of its own at once, not one after the other."""
    await plan(bench)
    tasks = [await waits(bench), begin(bench, "totals")]
    await until(lambda: asked(bench) == 2)
    await until(lambda: bench.log.text.count("goes on here then") == 2)

    await end(bench, how="failed")
    events = await asyncio.gather(*tasks)

    assert [event.payload["claim"] for event in events] == [None, None]
    assert asked(bench) == 0


@pytest.mark.parametrize("state", ["failed", "up_for_retry", "success", None])
async def test_who_waits_for_a_planner_that_died_goes_on_by_itself(bench: Bench, state: str | None) -> None:
    """Its worker was killed and has told nobody; Airflow says that its task is not under way."""
    index = await plan(bench)
    task = await waits(bench)

    bench.airflow.states["shop.orders.run"] = state  # type: ignore[assignment]
    event = await task

    assert (event.payload["status"], event.payload["claim"]) == ("late", None)
    assert names(bench) == [Claim(1, how).name(index)[len(wave_objects(index)) :] for how in ("failed", "")]


async def test_who_comes_after_a_planner_that_died_plans(bench: Bench) -> None:
    """It has waited for nobody."""
    index = await plan(bench)
    await write(bench, {Claim(1, "").name(index): Owner.of(key("orders")).dump()})
    bench.airflow.states["shop.orders.run"] = "failed"

    event = await begin(bench, "lines")

    assert event.payload["claim"] == Claim(2, "").name(index)


async def test_a_planner_without_progress_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it does, and whatever Airflow thinks of it."""
    await plan(bench)
    task = await waits(bench)

    monkeypatch.setattr(waves, "PATIENCE", 0.0)

    assert (await task).payload["claim"] is None


async def test_who_came_too_late_for_a_planner_is_the_next_one(bench: Bench) -> None:
    """It had looked for requests for the last time."""
    index = await plan(bench)
    task = await waits(bench)

    await end(bench)

    assert (await task).payload["claim"] == Claim(2, "").name(index)


async def test_a_new_try_does_not_wait_for_itself(bench: Bench) -> None:
    """Its first try had the claim when it was killed; by now the task is under way again."""
    index = await plan(bench)
    await write(bench, {Claim(1, "").name(index): Owner.of(key("orders")).dump()})

    event = await begin(bench, "orders", try_number=2)

    assert event.payload["claim"] == Claim(2, "").name(index)


async def test_a_new_try_does_not_take_an_earlier_ones_plan(bench: Bench) -> None:
    """What it reads may be another thing by now."""
    await plan(bench)
    await pin(bench, "lines")

    event = await begin(bench, "lines", try_number=2)

    assert event.payload["status"] == "late"
    assert bench.google.inserted_jobs == []


async def test_a_run_that_is_planned_anew_knows_nothing_of_what_was_planned_before(bench: Bench) -> None:
    """Its plan is another one, whatever the try is called."""
    await plan(bench)
    await pin(bench, "lines")
    await plan(bench, invocation_id="another")

    event = await begin(bench, "lines")

    assert event.payload["status"] == "late"
    assert bench.google.inserted_jobs == []


async def test_a_second_life_of_the_planner_asks_for_the_worker_again(bench: Bench) -> None:
    """The triggerer died before Airflow heard of it."""
    index = await plan(bench)
    await begin(bench, "orders")

    event = await begin(bench, "orders")

    assert event.payload["claim"] == Claim(1, "").name(index)
    assert asked(bench) == 0


async def test_the_tests_of_a_task_are_asked_for_together(bench: Bench) -> None:
    """Those that are planned already are executed meanwhile; the task does not wait for itself."""
    bench.google.on_query("/\\* quick \\*/", **test_row(0))
    tests = [
        data_test("quick"),
        *(data_test(name, level=Level.LATE, reason="r", steps=()) for name in ("a", "b")),
    ]
    await bench.plan(*tests, owners={test.unique_id: unique_id("orders") for test in tests})

    event = await event_of(bench.trigger(work="tests"))

    assert [node["unique_id"] for node in event.payload["dbt"]] == ["test.shop.a", "test.shop.b"]
    assert event.payload["claim"] is not None
    assert bench.outcome("test.shop.quick").status is Status.PASS


async def test_a_task_that_needs_real_dbt_anyway_waits_for_nobody(bench: Bench) -> None:
    """It has a worker, and that plans what is late."""
    tests = [
        data_test("a", level=Level.LATE, reason="r", steps=()),
        data_test("b", level=Level.DBT, reason="r"),
    ]
    await bench.plan(*tests, owners={test.unique_id: unique_id("orders") for test in tests})

    event = await event_of(bench.trigger(work="tests"))

    assert [node["way"] for node in event.payload["dbt"]] == ["late", "dbt"]
    assert names(bench) == []


async def test_a_task_that_waits_is_stopped_by_another_ones_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --fail-fast, as any other task."""
    monkeypatch.setattr(waves, "OWNER_INTERVAL", 1000.0)
    await plan(bench, fail_fast=True)
    task = await waits(bench)
    async with folder_at(bench.address, identity=bench.identity) as folder:  # type: ignore[arg-type]
        bench.airflow.states["shop.orders.run"] = "failed"
        await fail_fast.leave_failure(bench.address, folder, key("orders"))  # type: ignore[arg-type]

    assert is_skip(await task)


async def test_many_that_wait_look_as_seldom_as_one(bench: Bench) -> None:
    """All tasks of a run in one triggerer share the listing of the folder, which is as new as each of them needs it."""
    listed = []

    class Counted:
        async def names(self, prefix: str = "") -> list[str]:
            listed.append(prefix)
            return []

    clock = FakeClock()
    await plan(bench)
    session = Session(Credentials(who="nobody"), clock=clock)
    shared = waves.Waves.shared(bench.address, Counted(), session, bench.airflow)  # type: ignore[arg-type]

    async def look(*, after: float) -> int:
        """Let many look at once, and return how often the folder was listed."""
        await asyncio.gather(*(shared._see(clock.now() - after) for _ in range(20)))
        return len(listed)

    assert await look(after=0.0) == 1
    clock.time += 1.0
    assert await look(after=2.0) == 1, "somebody has looked since"
    assert await look(after=0.0) == 2, "what it has just asked for is not there yet"
    assert waves.Waves.shared(bench.address, Counted(), session, bench.airflow) is shared  # type: ignore[arg-type]


async def test_a_store_that_refuses_costs_time_alone(bench: Bench) -> None:
    """The task asks for a worker of its own, as if it were alone."""
    await plan(bench)
    bench.google.fail(
        "objects.insert", 403, when=lambda request: "asked" in str(request.url) + str(request.query)
    )

    event = await begin(bench, "orders")

    assert (event.payload["status"], event.payload["claim"]) == ("late", None)
    assert "a worker of its own" in bench.log.text


def test_a_pin_of_an_earlier_release_is_read() -> None:
    """It tells the digests alone."""
    assert Pin.load(b'{"model.shop.orders": "abc"}') == Pin({"model.shop.orders": "abc"})
    assert Pin.load(Pin({"m": "d"}, "t", 3).dump()) == Pin({"m": "d"}, "t", 3)


def test_the_newest_claim_counts_with_its_end() -> None:
    """In whatever order the store names them."""

    def of(*claims: Claim) -> Claim:
        return Claim.newest(
            "i", [claim.name("i") for claim in claims] + [f"{request_objects('i')}a-t1-0.json"]
        )

    assert of() == Claim(0, "done")
    assert of(Claim(1, ""), Claim(1, "done")) == Claim(1, "done")
    assert of(Claim(1, "failed"), Claim(2, ""), Claim(1, "")) == Claim(2, "")
    assert of(Claim(2, "done"), Claim(2, "failed"), Claim(2, "")).end == "failed"
