"""What a run left running when all its tasks had ended."""

from __future__ import annotations

import asyncio
from typing import Any

from cosmos_async.triggers.teardown import TeardownTrigger
from tests.unit.triggers.bench import SETUP, Bench, cancelled, event_of, job, model, target_state
from tests.unit.triggers.ends import is_failure, is_success

INVOCATION = "0d1a"


async def _lose_a_task(bench: Bench, *, invocation_id: str = INVOCATION, try_number: int = 1) -> None:
    """Begin a task whose job takes long, and let its triggerer vanish without a word; earlier tries have failed."""
    labels = {"dbt_invocation_id": invocation_id}
    long = job(
        "create or replace table `p`.`shop`.`orders` as select 1",
        configuration={"query": {"query": "create table long", "useLegacySql": False}, "labels": labels},
    )
    await bench.plan(model("orders", target_state("orders"), long), projects=("p",), invocation_id=INVOCATION)
    held = bench.google.on_query("create table long", held=True)
    for earlier in range(1, try_number):
        bench.google.on_query("create table long", error=("invalidQuery", "Syntax error"), times=1)
        assert is_failure(await bench.run(try_number=earlier))
    task = asyncio.create_task(event_of(bench.trigger(try_number=try_number)))
    await held.started()
    bench.airflow.silent = True  # nobody is there any more who could tell that the task was stopped
    await cancelled(task)
    bench.airflow.silent = False


async def _tear_down(bench: Bench) -> Any:
    trigger = TeardownTrigger(setup_task_id=SETUP, identity=bench.identity)
    trigger.task_instance = bench.trigger().task_instance
    trigger.airflow = bench.airflow  # type: ignore[assignment]
    trigger._log = bench.log  # type: ignore[assignment]
    return await event_of(trigger)  # type: ignore[arg-type]


async def test_a_job_whose_task_has_ended_is_cancelled_with_the_run(bench: Bench) -> None:
    """Its task was stopped while no triggerer had it."""
    await _lose_a_task(bench)
    (left,) = bench.google.inserted_jobs
    assert left.state.value == "RUNNING"

    event = await _tear_down(bench)

    assert is_success(event)
    assert left.state.value == "DONE"
    assert left.error is not None
    assert "its task has ended, and nobody ended the job" in bench.log.text
    assert bench.google.stored("plans") == {}


async def test_a_job_of_an_earlier_plan_of_the_run_is_cancelled_with_it(bench: Bench) -> None:
    """Another task was cleared meanwhile, and the run was planned anew: dbt's invocation is another, the run is not."""
    await _lose_a_task(bench)
    (left,) = bench.google.inserted_jobs
    await bench.plan(model("orders"), projects=("p",), invocation_id="anew")

    await _tear_down(bench)

    assert left.state.value == "DONE"
    assert left.error is not None
    assert bench.google.stored("plans") == {}


async def test_a_job_of_a_later_try_is_cancelled_although_an_earlier_one_has_left_an_outcome(
    bench: Bench,
) -> None:
    """Somebody has marked the task as failed, while no triggerer had it."""
    await _lose_a_task(bench, try_number=2)
    left = bench.google.inserted_jobs[-1]
    assert left.state.value == "RUNNING"

    await _tear_down(bench)

    assert left.state.value == "DONE"
    assert left.error is not None


async def test_jobs_of_others_go_on(bench: Bench) -> None:
    """Another run of the same project works with the same identity."""
    await _lose_a_task(bench, invocation_id="another")
    (theirs,) = bench.google.inserted_jobs

    await _tear_down(bench)

    assert theirs.state.value == "RUNNING"


async def test_a_run_whose_nodes_all_have_outcomes_lists_no_jobs(bench: Bench) -> None:
    """The usual case costs nothing."""
    await bench.plan(model("orders"), projects=("p",))
    await bench.run()

    await _tear_down(bench)

    assert [request for request in bench.google.requests if request.operation == "jobs.list"] == []


async def test_a_list_that_is_refused_does_not_fail_the_run(bench: Bench) -> None:
    """Not every role that may run jobs may list them."""
    await _lose_a_task(bench)
    bench.google.fail("jobs.list", 403, reason="accessDenied", message="Access Denied: jobs.list", times=None)

    event = await _tear_down(bench)

    assert is_success(event)
    assert "could not be found out" in bench.log.text
    assert bench.google.stored("plans") == {}
