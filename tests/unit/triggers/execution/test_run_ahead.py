"""
A task that has succeeded begins those below it; their own triggers find that, and each job is submitted once.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from cosmos_async.exceptions import StoreError
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import Level
from cosmos_async.plan.outcome import Outcome, Status
from cosmos_async.plan.store import begun_object, succeeded_object
from cosmos_async.plan.task_graph import GraphTask, TaskGraph
from cosmos_async.testing import FakeGoogle
from cosmos_async.testing.requests import Request
from cosmos_async.triggers.event_loop.clock import Clock
from cosmos_async.triggers.execution import groups, lease, run_ahead
from cosmos_async.triggers.storage.folders import Folder
from tests.unit.triggers.bench import (
    PLACE,
    SOON,
    Bench,
    Log,
    cancelled,
    data_test,
    event_of,
    job,
    model,
    test_row,
)
from tests.unit.triggers.ends import is_failure, is_success

FIRST, SECOND, THIRD = "first.run", "second.run", "third.run"


def task(name: str, *above: str, **changes: Any) -> GraphTask:
    return GraphTask("node", f"model.shop.{name}", above, **changes)


CHAIN = TaskGraph(
    {FIRST: task("first"), SECOND: task("second", FIRST), THIRD: task("third", SECOND)},
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody waits for seconds here, and no process knows of another test's runs."""
    monkeypatch.setattr(run_ahead, "RENEWED", 0.02)
    monkeypatch.setattr(run_ahead, "ARRIVED", 0.5)
    monkeypatch.setattr(run_ahead, "LOOK", 0.02)
    monkeypatch.setattr(run_ahead, "STALE", 1.5)
    run_ahead._runs.clear()
    yield
    run_ahead._runs.clear()


@pytest.fixture(autouse=True)
async def ended(google: FakeGoogle) -> AsyncIterator[None]:
    """End what is still executed ahead before the event loop ends, which would break off the closing of sessions as well."""
    yield
    ours = ("<coroutine object RunAhead.", "<coroutine object run at")  # what a test leaves of its tasks, too
    while left := [task for task in asyncio.all_tasks() if str(task.get_coro()).startswith(ours)]:
        for task in left:  # one that ends may begin another one
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def another_process(monkeypatch: pytest.MonkeyPatch, *, alive: bool = False) -> None:
    """Forget what this process knows, as another one would not know it; *alive* if what it executes ahead is to go on."""
    run_ahead._runs.clear()
    if not alive:
        monkeypatch.setattr(run_ahead, "PROCESS", "another")
    monkeypatch.setattr(lease, "PROCESS", "another")


class Freezer(Clock):
    """A clock whose pauses last until the process is thawed."""

    def __init__(self) -> None:
        self.thawed = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await self.thawed.wait()
        await super().sleep(seconds)


def lease_of(bench: Bench, name: str) -> dict[str, Any] | None:
    """Return who executes a task, as the store says."""
    data = bench.google.stored("plans").get(f"{PLACE}/{begun_object(f'{name}.run', -1)}")
    return None if data is None else json.loads(data)


def say_that_it_is_void(bench: Bench, name: str) -> None:
    """Have another triggerer begin a task anew."""
    place = f"{PLACE}/{begun_object(f'{name}.run', -1)}"
    data = lease.Lease(f"{name}.run", by="another", void=True).dump()
    bench.google.objects.write(bench.google.objects.find("plans"), place, data, {}, {})


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


def submitted(bench: Bench) -> list[str]:
    """Return the names of the models whose jobs were submitted, in that order."""
    found = (str(made.spec.configuration) for made in bench.google.inserted_jobs)
    return [
        next(name for name in ("first", "second", "third", "other") if f"`{name}`" in sql) for sql in found
    ]


def done(bench: Bench, name: str) -> bool:
    return f"{PLACE}/outcomes/model.shop.{name}.json" in bench.google.stored("plans")


async def run(bench: Bench, name: str, **options: Any) -> Any:
    return await bench.run(f"model.shop.{name}", task_id=f"{name}.run", **options)


def replaced(name: str) -> Any:
    """A model that is replaced, whatever is there."""
    return model(name, job(f"create or replace table `p`.`shop`.`{name}` as select 1 as id"))


async def planned(bench: Bench, graph: TaskGraph = CHAIN, **run: Any) -> None:
    await bench.plan(*map(replaced, ("first", "second", "third")), tasks=graph, **run)


async def second_begun(bench: Bench, **held: Any) -> Any:
    """Let the first task of the chain succeed, and the second be under way ahead; return what holds its job."""
    answer = bench.google.on_query("`second`", held=True, **held)
    await planned(bench)
    await run(bench, "first")
    await answer.started()
    return answer


async def test_the_jobs_of_a_chain_do_not_wait_for_airflow(bench: Bench) -> None:
    """And each is submitted once, although the tasks begin later."""
    await planned(bench)

    assert is_success(await run(bench, "first"))
    await until(lambda: done(bench, "third"))
    for name in ("second", "third"):
        assert is_success(await run(bench, name)), bench.log.text

    assert submitted(bench) == ["first", "second", "third"]
    assert bench.outcome("model.shop.third").status is Status.SUCCESS
    assert "ahead of Airflow" in bench.log.text


async def test_a_task_is_found_under_way(bench: Bench) -> None:
    """Its log has the lines of what was done before, and of what comes then."""
    held = await second_begun(bench)

    bench.log.lines.clear()
    second = asyncio.create_task(run(bench, "second"))
    await until(lambda: "Begun as soon as" in bench.log.text)
    held.release()

    assert is_success(await second), bench.log.text
    assert submitted(bench)[:2] == ["first", "second"]
    assert "OK created" in bench.log.text


async def test_what_follows_does_not_wait_for_what_a_trigger_tells_airflow(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XComs take a question to Airflow each, and the next job stands on none of them."""
    held, asked = await second_begun(bench), asyncio.Event()

    async def leave(key: TaskKey, values: dict[str, Any]) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(bench.airflow, "leave_xcoms", leave)
    second = asyncio.create_task(run(bench, "second"))
    await asked.wait()
    held.release()
    await until(lambda: done(bench, "third"))

    assert not second.done()
    await cancelled(second)


@pytest.mark.parametrize("well", [True, False], ids=["written", "refused"])
async def test_nothing_is_executed_below_a_task_whose_outcome_is_not_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, well: bool
) -> None:
    """All else that comes before the next job goes on beside it."""
    await planned(bench)
    write, let = groups.leave_outcome, asyncio.Event()

    async def leave(folder: Folder, outcome: Outcome) -> None:
        await let.wait()
        if not well:
            raise StoreError("may not use the bucket")
        await write(folder, outcome)

    def is_lease(request: Request) -> bool:
        return begun_object(SECOND, -1) in request.query.get("name", "")

    monkeypatch.setattr(groups, "leave_outcome", leave)
    first = asyncio.create_task(run(bench, "first"))
    await bench.google.requests.arrived("objects.insert", when=is_lease)
    await asyncio.sleep(0.2)
    assert submitted(bench) == ["first"]
    let.set()

    assert is_success(await first) is well
    if well:
        await until(lambda: submitted(bench)[:2] == ["first", "second"])
    else:
        await until(lambda: begun_object(SECOND, -1) not in "".join(bench.google.stored("plans")))
        await asyncio.sleep(0.2)
        assert submitted(bench) == ["first"]


async def test_the_job_with_the_longest_way_to_the_end_comes_next(bench: Bench) -> None:
    """Where fewer jobs may run than could."""
    seconds = {"first": 5.0, "second": 10.0, "third": 60.0}
    graph = TaskGraph({f"{name}.run": task(name, seconds_left=left) for name, left in seconds.items()})
    held = bench.google.on_query("`first`", held=True)
    await planned(bench, graph, max_jobs=1)
    tasks = [asyncio.create_task(run(bench, "first"))]
    await held.started()
    tasks += [asyncio.create_task(run(bench, name)) for name in ("second", "third")]
    await until(lambda: bench.log.text.count("waiting, 1 jobs are running") == 2)
    held.release()

    await asyncio.gather(*tasks)
    assert submitted(bench) == ["first", "third", "second"]


async def test_a_task_is_begun_as_those_above_it_whoever_came_first(bench: Bench) -> None:
    """A task of the run with an identity of its own has begun before in this triggerer."""
    other = {**bench.identity, "profiles_yml": f"{bench.identity['profiles_yml']}.other"}
    shutil.copy(bench.identity["profiles_yml"], other["profiles_yml"])
    graph = TaskGraph(
        {FIRST: task("first"), SECOND: task("second", FIRST), THIRD: task("third", ends_in_triggerer=False)}
    )
    await planned(bench, graph)
    trigger = bench.trigger("model.shop.third", task_id=THIRD)
    trigger.identity = other
    assert is_success(await event_of(trigger)), bench.log.text

    assert is_success(await run(bench, "first")), bench.log.text
    await until(lambda: done(bench, "second"))

    (runs,) = run_ahead._runs.values()
    (begun,) = (one for one in runs.values() if SECOND in one._executions)
    assert begun._identity == bench.identity


async def test_no_more_tasks_are_ahead_than_a_person_expects(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused DAG begins no further ones."""
    monkeypatch.setattr(run_ahead, "MOST_AHEAD", 1)
    await planned(bench)

    await run(bench, "first")
    await until(lambda: done(bench, "second"))
    await asyncio.sleep(0.2)
    assert submitted(bench) == ["first", "second"]

    await run(bench, "second")
    await until(lambda: done(bench, "third"))
    assert submitted(bench) == ["first", "second", "third"]


async def test_a_task_waits_for_all_above_it(bench: Bench) -> None:
    """The last of them begins it."""
    graph = TaskGraph({FIRST: task("first"), SECOND: task("second"), THIRD: task("third", FIRST, SECOND)})
    await planned(bench, graph)

    await run(bench, "first")
    await asyncio.sleep(0.2)
    assert submitted(bench) == ["first"]
    await run(bench, "second")

    await until(lambda: done(bench, "third"))
    assert submitted(bench) == ["first", "second", "third"]


async def test_a_task_above_may_succeed_in_another_triggerer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They tell each other through the store."""
    graph = TaskGraph({FIRST: task("first"), SECOND: task("second"), THIRD: task("third", FIRST, SECOND)})
    await planned(bench, graph)
    assert bench.address is not None
    told = f"{PLACE}/{succeeded_object(FIRST, -1)}"

    await run(bench, "first")
    await until(lambda: told in bench.google.stored("plans"))
    another_process(monkeypatch)
    await run(bench, "second")

    await until(lambda: done(bench, "third"))


@pytest.mark.parametrize(
    "graph",
    [
        TaskGraph({FIRST: task("first"), SECOND: GraphTask("node", "model.shop.second", None)}),
        TaskGraph({FIRST: task("first", ends_in_triggerer=False), SECOND: task("second", FIRST)}),
        TaskGraph({SECOND: task("second", FIRST)}),
        None,
    ],
    ids=["waits for more", "ends on a worker", "of another kind", "switched off"],
)
async def test_some_tasks_are_airflows_alone(bench: Bench, graph: TaskGraph | None) -> None:
    """Nothing is begun, and nothing is asked."""
    await bench.plan(model("first"), model("second"), tasks=graph)

    assert is_success(await run(bench, "first"))
    await asyncio.sleep(0.2)

    assert submitted(bench) == ["first"]
    assert is_success(await run(bench, "second"))


async def test_a_failure_begins_nothing(bench: Bench) -> None:
    """As in dbt build."""
    bench.google.on_query("`first`", error=("invalidQuery", "Syntax error"))
    await planned(bench)

    assert is_failure(await run(bench, "first"))
    await asyncio.sleep(0.2)

    assert submitted(bench) == ["first"]


async def test_what_fails_ahead_fails_its_task(bench: Bench) -> None:
    """With the same words; the next try begins anew, and goes by itself."""
    failing = bench.google.on_query("`second`", error=("invalidQuery", "Syntax error"), times=1)
    await planned(bench)
    await run(bench, "first")
    await until(lambda: done(bench, "second"))

    event = await run(bench, "second")

    assert is_failure(event)
    assert "Syntax error" in bench.log.text
    assert submitted(bench) == ["first", "second"]
    assert failing.jobs
    assert is_success(await run(bench, "second", try_number=2)), bench.log.text
    await asyncio.sleep(0.2)
    assert submitted(bench) == ["first", "second", "second"]


async def test_what_was_begun_below_a_cleared_task_counts_no_more(bench: Bench) -> None:
    """Airflow gives a task that it has never started no new try; all are built once more, in order."""
    await planned(bench)
    await run(bench, "first")
    await until(lambda: done(bench, "third"))

    assert is_success(await run(bench, "first", try_number=2))
    for name in ("second", "third"):
        assert is_success(await run(bench, name)), bench.log.text

    assert submitted(bench) == ["first", "second", "third", "first", "second", "third"]
    assert "counts no more" in bench.log.text


async def test_nothing_begins_below_a_task_that_begins_once_more(bench: Bench) -> None:
    """Although it has succeeded before."""
    graph = TaskGraph({FIRST: task("first"), SECOND: task("second"), THIRD: task("third", FIRST, SECOND)})
    await planned(bench, graph)
    await run(bench, "first")
    held = bench.google.on_query("`first`", held=True)
    again = asyncio.create_task(run(bench, "first", try_number=2))
    await held.started()

    await run(bench, "second")
    await asyncio.sleep(0.2)

    assert "third" not in submitted(bench)
    held.release()
    assert is_success(await again), bench.log.text


async def test_what_was_begun_by_an_outdated_plan_counts_no_more(bench: Bench) -> None:
    """Setup was cleared, and has planned anew; what goes on by the old plan is stopped first."""
    await second_begun(bench, times=1)
    await bench.plan(replaced("first"), replaced("second"), ahead=True, invocation_id="another")

    assert is_success(await run(bench, "second")), bench.log.text

    old, new = (made for made in bench.google.inserted_jobs if "`second`" in str(made.spec.configuration))
    assert old.error.reason == "stopped"
    assert new.error is None


async def test_what_counts_no_more_counts_no_more_for_the_next_triggerer_either(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one that said so is gone before it has ended what goes on."""
    await second_begun(bench, times=1)
    (runs,) = (dict(each) for each in run_ahead._runs.values())
    for background in [each for ahead in runs.values() for each in ahead._background]:
        background.cancel()
    changed = model("second", job("select 2 /* `second` */"))
    await bench.plan(replaced("first"), changed, tasks=CHAIN, invocation_id="another")
    another_process(monkeypatch)
    monkeypatch.setattr(run_ahead, "ARRIVED", 60.0)
    gone = asyncio.create_task(run(bench, "second"))
    await until(lambda: bool((lease_of(bench, "second") or {}).get("void")))
    await cancelled(gone)
    another_process(monkeypatch)
    monkeypatch.setattr(run_ahead, "ARRIVED", 0.1)

    assert is_success(await run(bench, "second")), bench.log.text

    old, new = (made for made in bench.google.inserted_jobs if "`second`" in str(made.spec.configuration))
    assert old.error.reason == "stopped"
    assert new.error is None


async def test_a_renewal_that_comes_late_does_not_take_back_that_it_counts_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was on its way when another triggerer said so, which says it until it is heard."""
    this = lease.PROCESS.encode()

    def is_renewal(request: Request) -> bool:
        return begun_object(SECOND, -1) in request.query.get("name", "") and this in request.body

    await second_begun(bench, times=1)
    (one,) = (ahead for runs in run_ahead._runs.values() for ahead in runs.values())
    execution = one._executions[SECOND]
    changed = model("second", job("select 2 /* `second` */"))
    await bench.plan(replaced("first"), changed, tasks=CHAIN, invocation_id="another")
    bench.airflow.states[SECOND] = "deferred"  # so nobody but the other triggerer stops it
    held = bench.google.hold("objects.insert", when=is_renewal)
    bench.google.requests.clear()
    await bench.google.requests.arrived("objects.insert", when=is_renewal)
    another_process(monkeypatch, alive=True)
    second = asyncio.create_task(run(bench, "second"))
    await until(lambda: (lease_of(bench, "second") or {"by": ""})["by"] == "another")

    held.release()
    await until(lambda: "counts no more" in bench.log.text)

    assert execution.failed is not None
    assert is_success(await second), bench.log.text
    old, new = (made for made in bench.google.inserted_jobs if "`second`" in str(made.spec.configuration))
    assert old.error.reason == "stopped"
    assert new.error is None


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("changed", [False, True])
async def test_what_has_succeeded_by_an_outdated_plan_counts_if_the_plan_says_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, changed: bool, elsewhere: bool
) -> None:
    """A task beside was cleared, and setup along with it: had Airflow been as fast, this one would have succeeded before."""
    await planned(bench, invocation_id="before")
    await run(bench, "first")
    await until(lambda: done(bench, "second"))
    await asyncio.sleep(0.1)
    if elsewhere:
        another_process(monkeypatch)
    other = model("second", job("select 2")) if changed else replaced("second")
    await bench.plan(
        replaced("first"), other, replaced("third"), tasks=CHAIN, planned_anew=True, invocation_id="another"
    )

    assert is_success(await run(bench, "second")), bench.log.text

    sent = [str(made.spec.configuration) for made in bench.google.inserted_jobs]
    assert len([sql for sql in sent if "`second`" in sql]) == 1
    assert any("select 2" in sql for sql in sent) is changed


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_what_goes_on_while_setup_plans_the_same_once_more_counts(
    bench: Bench, elsewhere: bool
) -> None:
    """Neither the setup task's absence nor its second try stops it."""
    answer = bench.google.on_query("`second`", held=True)
    await planned(bench, invocation_id="before")
    await run(bench, "first")
    await answer.started()
    bench.airflow.setup_states = ["running"]
    await asyncio.sleep(0.2)
    await planned(bench, planned_anew=True, invocation_id="another")
    bench.airflow.setup_states = []
    if elsewhere:
        run_ahead._runs.clear()  # what it executes goes on all the same
    second = asyncio.create_task(run(bench, "second"))
    await asyncio.sleep(0.2)

    answer.release()

    assert is_success(await second), bench.log.text
    sent = [str(made.spec.configuration) for made in bench.google.inserted_jobs]
    assert len([sql for sql in sent if "`second`" in sql]) == 1


async def test_nothing_begins_by_a_plan_that_was_made_anew(bench: Bench) -> None:
    """Somebody has cleared something, and Airflow knows best what comes."""
    await planned(bench, planned_anew=True)

    assert is_success(await run(bench, "first")), bench.log.text
    await asyncio.sleep(0.2)

    assert submitted(bench) == ["first"]


@pytest.mark.parametrize("state", [None, "success", "failed"], ids=["deleted", "changed", "given up"])
async def test_what_goes_on_is_stopped_where_its_plan_is_outdated(bench: Bench, state: str | None) -> None:
    """Setup says something else of it now, or will say nothing more."""
    answer = bench.google.on_query("`second`", held=True)
    await planned(bench, invocation_id="before")
    await run(bench, "first")
    await answer.started()

    if state == "success":
        await bench.plan(
            replaced("first"), model("second", job("select 2")), tasks=CHAIN, invocation_id="another"
        )
    else:
        bench.airflow.setup_states = [state]

    await until(lambda: bench.google.inserted_jobs[-1].error is not None)
    assert bench.google.inserted_jobs[-1].error.reason == "stopped"


@pytest.mark.parametrize("state", [None, "success", "failed"], ids=["deleted", "changed", "given up"])
async def test_what_airflow_has_started_elsewhere_goes_on_whatever_becomes_of_setup(
    bench: Bench, state: str | None
) -> None:
    """Somebody has cleared a task beside; the trigger of this one has judged when it began, and waits."""
    answer = bench.google.on_query("`second`", held=True)
    await planned(bench, invocation_id="before")
    await run(bench, "first")
    await answer.started()
    bench.airflow.states[SECOND] = "deferred"

    if state == "success":
        await bench.plan(
            replaced("first"), model("second", job("select 2")), tasks=CHAIN, invocation_id="another"
        )
    else:
        bench.airflow.setup_states = [state]
    await asyncio.sleep(0.5)
    answer.release()

    await until(lambda: done(bench, "second"))
    assert bench.google.requests.of("jobs.cancel") == []
    assert bench.outcome("model.shop.second").status is Status.SUCCESS


@pytest.mark.parametrize("state", ["failed", "success", "skipped", "upstream_failed", "up_for_retry"])
async def test_airflow_is_asked_before_a_task_begins(bench: Bench, state: str) -> None:
    """Somebody has marked it."""
    bench.airflow.states[SECOND] = state
    await planned(bench)

    await run(bench, "first")
    await asyncio.sleep(0.2)

    assert submitted(bench) == ["first"]
    # Nobody has to wait for whoever has not begun it.
    await until(lambda: begun_object(SECOND, -1) not in "".join(bench.google.stored("plans")))
    bench.airflow.states[SECOND] = "deferred"
    assert is_success(await run(bench, "second"))
    assert "ahead of Airflow" not in bench.log.text


async def test_a_task_that_airflow_starts_meanwhile_is_executed_once(bench: Bench) -> None:
    """The lease of what is begun ahead is on its way at that moment, and takes long."""
    await planned(bench)

    def is_lease(request: Request) -> bool:
        return begun_object(SECOND, -1) in request.query.get("name", "")

    held = bench.google.hold("objects.insert", when=is_lease)
    await run(bench, "first")
    await bench.google.requests.arrived("objects.insert", when=is_lease)
    second = asyncio.create_task(run(bench, "second"))
    await asyncio.sleep(0.3)
    held.release()

    assert is_success(await second)
    await until(lambda: done(bench, "third"))
    await asyncio.sleep(0.3)
    assert submitted(bench) == ["first", "second", "third"]


@pytest.mark.parametrize("state", [None, "running", "failed"])
async def test_nothing_begins_while_setup_has_not_succeeded(bench: Bench, state: str | None) -> None:
    """It was cleared, or the run is gone."""
    held = bench.google.on_query("`first`", held=True)
    await planned(bench)
    first = asyncio.create_task(run(bench, "first"))
    await held.started()
    bench.airflow.setup_states = [state]
    held.release()
    await first
    await asyncio.sleep(0.2)

    assert submitted(bench) == ["first"]


async def test_an_airflow_that_does_not_answer_stops_nothing(bench: Bench) -> None:
    """Its API is away for a while; what is under way goes on."""
    held = await second_begun(bench)
    bench.airflow.silent = True
    await asyncio.sleep(0.3)
    held.release()

    await until(lambda: done(bench, "second"))
    assert bench.outcome("model.shop.second").status is Status.SUCCESS


async def test_a_task_between_two_jobs_is_stopped_by_a_kill(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it submits while Airflow is asked about the kill is found."""
    monkeypatch.setattr(run_ahead, "LOOK", 60.0)  # the kill is first
    one, two = (job(f"select {number} /* `second` step {number} */", main=number == 2) for number in (1, 2))
    held = bench.google.on_query("step 1", held=True)
    bench.google.on_query("step 2", held=True)
    await bench.plan(model("first"), model("second", one, two), tasks=CHAIN)
    await run(bench, "first")
    await held.started()
    trigger = bench.trigger("model.shop.second", task_id=SECOND)
    second = asyncio.create_task(event_of(trigger))
    await until(lambda: "Begun as soon as" in bench.log.text)
    state = bench.airflow.state

    async def slowly(key: Any) -> Any:
        held.release()
        await until(lambda: len(bench.google.inserted_jobs) == 3)
        return await state(key)

    bench.airflow.states[SECOND] = "failed"
    bench.airflow.state = slowly  # type: ignore[method-assign]
    await cancelled(second)
    await trigger.on_kill()

    await until(lambda: bench.google.inserted_jobs[2].error is not None)
    assert bench.google.inserted_jobs[2].error.reason == "stopped"


async def test_a_task_that_was_handed_over_is_still_watched(bench: Bench) -> None:
    """Its trigger has gone to another triggerer; the execution stayed, and somebody marks the task."""
    await second_begun(bench)
    life = asyncio.create_task(run(bench, "second"))
    await until(lambda: "Begun as soon as" in bench.log.text)
    await cancelled(life)

    bench.airflow.states[SECOND] = "failed"

    await until(lambda: bench.google.inserted_jobs[1].error is not None)
    assert bench.google.inserted_jobs[1].error.reason == "stopped"


async def test_a_second_try_ends_what_was_begun_ahead_of_the_first(bench: Bench) -> None:
    """Before it writes anything itself."""
    await second_begun(bench, times=1)

    assert is_success(await run(bench, "second", try_number=2)), bench.log.text

    old, new = (made for made in bench.google.inserted_jobs if "`second`" in str(made.spec.configuration))
    assert old.error.reason == "stopped"
    assert new.error is None


async def test_a_second_try_begins_nothing(bench: Bench) -> None:
    """Somebody has cleared it, and may clear more."""
    await planned(bench)

    assert is_success(await run(bench, "first", try_number=2))
    await asyncio.sleep(0.2)

    assert submitted(bench) == ["first"]


async def test_nothing_goes_on_by_an_outdated_plan(bench: Bench) -> None:
    """Setup was cleared meanwhile and has planned anew."""
    held = bench.google.on_query("`first`", held=True)
    await planned(bench)
    first = asyncio.create_task(run(bench, "first"))
    await held.started()
    await bench.plan(model("first"), model("second"), invocation_id="another")
    held.release()

    assert is_success(await first), bench.log.text
    await asyncio.sleep(0.2)

    assert submitted(bench) == ["first"]


async def test_what_needs_a_worker_needs_airflow(bench: Bench) -> None:
    """A node that is planned at its turn, and real dbt."""
    late = model("second", level=Level.LATE, reason="its rows")
    await bench.plan(model("first"), late, tasks=CHAIN)

    await run(bench, "first")
    await asyncio.sleep(0.2)

    assert submitted(bench) == ["first"]


async def test_a_guard_that_differs_ahead_asks_for_a_worker(bench: Bench) -> None:
    """When the task has begun, as ever."""
    await bench.plan(model("first"), model("second"), tasks=CHAIN)
    bench.google.add_table("p", "shop", "second")
    await run(bench, "first")
    await asyncio.sleep(0.2)

    event = await run(bench, "second")

    assert event.payload["status"] == "late"
    assert submitted(bench) == ["first"]


async def test_another_triggerer_waits_for_the_one_that_has_begun(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not ask BigQuery for anything."""
    monkeypatch.setattr(run_ahead, "RENEWED", 60.0)
    held = await second_begun(bench)
    first_triggerer = {loop: dict(runs) for loop, runs in run_ahead._runs.items()}
    another_process(monkeypatch)

    second = asyncio.create_task(run(bench, "second"))
    await until(lambda: "Another triggerer has begun" in bench.log.text)
    held.release()

    assert is_success(await second), bench.log.text
    assert first_triggerer
    assert submitted(bench).count("second") == 1
    assert bench.outcome("model.shop.second").status is Status.SUCCESS
    assert bench.google.inserted_jobs[1].job_id in bench.airflow.left["_link_BigQueryJobLink"]
    assert "model.shop.second" in bench.airflow.left["compiled_sql"]


async def test_a_triggerer_that_is_gone_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job is met by its id."""
    monkeypatch.setattr(run_ahead, "RENEWED", 60.0)
    held = await second_begun(bench)
    (runs,) = (dict(each) for each in run_ahead._runs.values())
    for ahead in runs.values():
        for background in list(ahead._background):
            background.cancel()
    another_process(monkeypatch)

    second = asyncio.create_task(run(bench, "second"))
    await until(lambda: "is gone; going on here" in bench.log.text)
    held.release()

    assert is_success(await second), bench.log.text
    assert submitted(bench)[:2] == ["first", "second"]
    assert "attached to" in bench.log.text


async def test_a_triggerer_that_thaws_leaves_the_job_that_another_one_has_adopted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have the same ids, so what the one cancels is what the other one waits for."""
    frozen = Freezer()
    held = await second_begun(bench)
    (one,) = (ahead for runs in run_ahead._runs.values() for ahead in runs.values())
    one._clock = frozen
    await asyncio.sleep(0.1)
    execution = one._executions[SECOND]
    another_process(monkeypatch, alive=True)
    second = asyncio.create_task(run(bench, "second"))
    await until(lambda: "is gone; going on here" in bench.log.text)

    frozen.thawed.set()
    await until(lambda: execution.task is not None and execution.task.done())
    await asyncio.sleep(0.1)
    held.release()

    assert is_success(await second), bench.log.text
    assert bench.google.requests.of("jobs.cancel") == []
    assert submitted(bench).count("second") == 1


async def test_what_was_stopped_while_its_trigger_waited_for_it_is_begun_anew(bench: Bench) -> None:
    """Its job is cancelled, and nobody may take that for the task's own failure."""
    await second_begun(bench, times=1)
    second = asyncio.create_task(run(bench, "second"))
    await until(lambda: "Begun as soon as" in bench.log.text)

    say_that_it_is_void(bench, "second")

    assert is_success(await second), bench.log.text
    old, new = (made for made in bench.google.inserted_jobs if "`second`" in str(made.spec.configuration))
    assert old.error.reason == "stopped"
    assert new.error is None


async def test_what_airflow_will_not_start_is_cancelled(bench: Bench) -> None:
    """Somebody has marked the run as failed."""
    await second_begun(bench)

    bench.airflow.states[SECOND] = "upstream_failed"

    await until(lambda: bench.google.inserted_jobs[1].error is not None)
    assert bench.google.inserted_jobs[1].error.reason == "stopped"
    await asyncio.sleep(0.1)
    assert not done(bench, "second")


async def test_a_kill_reaches_what_was_begun_ahead(bench: Bench) -> None:
    """Its job is cancelled, and nothing follows."""
    await second_begun(bench)
    trigger = bench.trigger("model.shop.second", task_id=SECOND)
    second = asyncio.create_task(event_of(trigger))
    await until(lambda: "Begun as soon as" in bench.log.text)

    bench.airflow.states[SECOND] = "failed"
    await cancelled(second)
    await trigger.on_kill()

    assert bench.google.inserted_jobs[1].error.reason == "stopped"
    await asyncio.sleep(0.1)
    assert submitted(bench) == ["first", "second"]
    assert not done(bench, "second")


async def test_a_task_that_runs_out_of_time_ends_what_was_begun_ahead(bench: Bench) -> None:
    """Its execution_timeout counts from Airflow's start."""
    await second_begun(bench)

    event = await run(bench, "second", seconds=SOON)

    assert is_failure(event), bench.log.text
    assert bench.google.inserted_jobs[1].error.reason == "stopped"


async def test_a_triggerer_that_hands_over_leaves_the_work_alone(bench: Bench) -> None:
    """Airflow cancels its trigger; the next life of it, here, meets the job."""
    held = await second_begun(bench)
    first_life = asyncio.create_task(run(bench, "second"))
    await until(lambda: "Begun as soon as" in bench.log.text)
    await cancelled(first_life)

    second_life = asyncio.create_task(run(bench, "second"))
    await asyncio.sleep(0.1)
    held.release()

    assert is_success(await second_life), bench.log.text
    assert submitted(bench)[:2] == ["first", "second"]


async def test_tests_are_tasks_like_others(bench: Bench) -> None:
    """A model, its tests, and what waits for them."""
    graph = TaskGraph(
        {
            FIRST: task("first"),
            "first.test": GraphTask("tests", "model.shop.first", (FIRST,)),
            SECOND: task("second", "first.test"),
        }
    )
    test = data_test("fine")
    bench.google.on_query("/\\* fine \\*/", **test_row(0))
    await bench.plan(
        model("first"), model("second"), test, owners={test.unique_id: "model.shop.first"}, tasks=graph
    )

    await run(bench, "first")

    await until(lambda: done(bench, "second"))
    assert bench.outcome(test.unique_id).status is Status.PASS


async def test_two_that_end_at_once_begin_a_task_once(bench: Bench) -> None:
    """Many above one, all at the same moment."""
    names = [f"m{number}" for number in range(20)]
    graph = TaskGraph(
        {
            **{f"{name}.run": task(name) for name in names},
            "other.run": task("other", *(f"{name}.run" for name in names)),
        }
    )
    await bench.plan(*(model(name) for name in names), model("other"), tasks=graph)

    await asyncio.gather(*(run(bench, name) for name in names))
    await until(lambda: done(bench, "other"))
    await run(bench, "other")

    assert sum("`other`" in str(made.spec.configuration) for made in bench.google.inserted_jobs) == 1


async def test_lines_are_written_as_the_task_that_follows(bench: Bench) -> None:
    """Airflow finds the log of a line in the context of who writes it."""
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")
    seen: list[tuple[str, str]] = []

    class Airflows(Log):
        def info(self, message: str) -> None:
            seen.append((who.get(), message))

    log = run_ahead.BufferedLog()
    log.info("before")
    who.set("second")
    log.follow(Airflows())
    contextvars.Context().run(log.info, "after")

    assert seen == [("second", "before"), ("second", "after")]


def test_a_graph_comes_back_as_it_was_written() -> None:
    """And something else is told apart."""
    from cosmos_async.exceptions import PlanDamaged

    graph = TaskGraph({**CHAIN.tasks, "alone": GraphTask("all_tests", None, None, ends_in_triggerer=False)})

    assert TaskGraph.load(graph.dump()) == graph
    assert list(graph.below(FIRST)) == [SECOND]
    assert graph.missing(THIRD, {FIRST}) == {SECOND}
    with pytest.raises(PlanDamaged):
        TaskGraph.load(b"[1]")
