"""A job is submitted once, and ends when its task is killed: crashes, lost replies, retries, kills, timeouts."""

from __future__ import annotations

import asyncio

import pytest

from cosmos_async.airflow.compat import HAS_ON_KILL
from cosmos_async.plan.model import CallOperation, Guard, GuardKind
from cosmos_async.triggers import base
from cosmos_async.triggers.dbt import BigQueryDbtTrigger
from tests.unit.triggers.bench import SOON, Bench, FakeClock, cancelled, event_of, job, model, target_state
from tests.unit.triggers.ends import is_failure, is_success
from tests.unit.triggers.test_dbt import payload

USER_ACTION = "__airflow_user_action__"  # what Airflow 3.3 cancels with when somebody acts on a task


ROWS = "select distinct colour from raw"


def rows_guard(expected: list[list[str]]) -> Guard:
    """A query that dbt asked."""
    request = {
        "project": "p",
        "location": "US",
        "configuration": {"query": {"query": ROWS}},
        "ordered": False,
    }
    return Guard(GuardKind.ROWS, ROWS, request, expected)


def states(bench: Bench) -> list[str]:
    """Return the states of all jobs, oldest first."""
    return [made.state.value for made in bench.google.inserted_jobs]


# -- submitted once ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["lose_reply", "truncate", "reset"])
async def test_a_lost_reply_makes_no_second_job(bench: Bench, clock: FakeClock, harm: str) -> None:
    """The insertion is repeated under the same id; BigQuery answers 409 and the job is adopted."""
    await bench.plan(model("orders"))
    getattr(bench.google, harm)("jobs.insert")

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(bench.google.requests.of("jobs.insert")) == 2
    assert len(bench.google.inserted_jobs) == 1


async def test_a_restarted_triggerer_attaches_to_the_running_job(bench: Bench) -> None:
    """SIGTERM leaves the job alone; whoever starts the trigger again finds it under the same id."""
    held = bench.google.on_query("create or replace", held=True)
    await bench.plan(model("orders"))
    first = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    await bench.google.requests.arrived("jobs.getQueryResults")

    await cancelled(first)
    assert states(bench) == ["RUNNING"]
    second = asyncio.create_task(event_of(bench.trigger()))
    await bench.google.requests.arrived("jobs.getQueryResults", count=2)
    held.release()

    assert is_success(await second), bench.log.text
    assert states(bench) == ["DONE"]
    assert bench.google.requests.of("jobs.cancel") == []
    assert "attached to BigQuery job" in bench.log.text


async def test_two_triggerers_with_the_same_trigger_share_its_job(bench: Bench) -> None:
    """A frozen triggerer that wakes up after another one took over does no harm."""
    held = bench.google.on_query("create or replace", held=True)
    await bench.plan(model("orders"))
    both = [asyncio.create_task(event_of(bench.trigger())) for _ in range(2)]
    await bench.google.requests.arrived("jobs.getQueryResults", count=2)

    held.release()

    events = await asyncio.gather(*both)
    assert all(is_success(event) for event in events), bench.log.text
    assert len(bench.google.inserted_jobs) == 1


async def test_what_an_earlier_life_has_made_is_no_difference(bench: Bench) -> None:
    """After a crash the target exists, because our own job made it; real dbt would run the query twice."""
    await bench.plan(model("orders"))
    await bench.run()
    assert bench.google.catalog.table("p", "shop", "orders") is not None

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 1


async def test_a_query_asked_beside_a_guard_that_differs_tells_nothing_of_an_earlier_life(
    bench: Bench,
) -> None:
    """Guards in a row are read together: the job of the second one is there although nothing has been written."""
    bench.google.add_table("p", "shop", "orders", rows=[{"id": 1}])
    await bench.plan(
        model("orders", target_state("orders"), rows_guard([]), job("create table `p`.`shop`.`orders` as x"))
    )

    event = await bench.run()

    assert payload(event)["status"] == "late"
    assert [made.spec.sql for made in bench.google.inserted_jobs] == [ROWS]


async def test_a_drop_is_not_repeated_after_its_table_was_made_anew(bench: Bench) -> None:
    """A restarted node must not delete what its own later job has made."""
    bench.google.add_table("p", "shop", "orders", type="VIEW", view={"query": "select 1"})
    drop = CallOperation("drop", "DELETE", "projects/p/datasets/shop/tables/orders", missing_ok=True)
    # Without the guard in front, which would jump ahead by itself.
    await bench.plan(model("orders", drop, job("create table `p`.`shop`.`orders` as select 1")))
    await bench.run()

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(bench.google.requests.of("tables.delete")) == 1
    assert bench.google.catalog.table("p", "shop", "orders")["type"] == "TABLE"


async def test_a_job_whose_location_is_not_known_is_found_where_its_data_is(bench: Bench) -> None:
    """Outside the multi-regions jobs.get needs the location; 409 names it."""
    bench.google.add_dataset("p", "north", location="europe-north1")
    configuration = {
        "query": {
            "query": "create or replace table orders as select 1",
            "defaultDataset": {"projectId": "p", "datasetId": "north"},
        }
    }
    await bench.plan(model("orders", job("", location=None, configuration=configuration)))
    await bench.run()

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert [made.spec.location for made in bench.google.inserted_jobs] == ["europe-north1"]


async def test_a_job_that_bigquery_spoils_is_followed_by_another(bench: Bench, clock: FakeClock) -> None:
    """It has an id of its own, and the log says why it is there."""
    bench.google.on_query("create or replace", error=("backendError", "Please try again."), times=2)
    await bench.plan(model("orders"))

    event = await bench.run()

    assert is_success(event), bench.log.text
    ids = [made.job_id for made in bench.google.inserted_jobs]
    assert ids[1:] == [f"{ids[0]}_a2", f"{ids[0]}_a3"]
    assert "failed through no fault of its own (Please try again.)" in bench.log.text


async def test_a_restart_goes_on_with_the_attempt_it_was_at(bench: Bench, clock: FakeClock) -> None:
    """The spoiled jobs are met again under their ids; none is made twice."""
    bench.google.on_query("create or replace", error=("internalError", "Oops."), times=1)
    await bench.plan(model("orders"))
    await bench.run()

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 2


async def test_a_user_s_error_is_not_tried_twice(bench: Bench, clock: FakeClock) -> None:
    """BigQuery's message comes at once."""
    bench.google.on_query("create or replace", error=("invalidQuery", "Unrecognized name: amout"))
    await bench.plan(model("orders"))

    event = await bench.run()

    assert is_failure(event)
    assert len(bench.google.inserted_jobs) == 1


async def test_bigquery_ends_a_job_soon_after_its_task_s_timeout(bench: Bench) -> None:
    """Even where no triggerer is left to cancel it; a shorter limit of the project's own stays."""
    await bench.plan(model("orders"))
    await bench.run(seconds=60.0)
    limits = [int(made.spec.configuration["jobTimeoutMs"]) for made in bench.google.inserted_jobs]

    assert len(limits) == 1
    assert 30_000 < limits[0] <= 75_000


async def test_a_new_try_ends_what_the_earlier_one_left_running(bench: Bench) -> None:
    """Nobody may have been there to cancel it; two jobs must not write the same table."""
    held = bench.google.on_query("create or replace", held=True, times=1)
    await bench.plan(model("orders"))
    first = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    await cancelled(first)

    event = await bench.run(try_number=2)

    assert is_success(event), bench.log.text
    old, new = bench.google.inserted_jobs
    assert old.error.reason == "stopped"
    assert new.error is None
    assert "left by an earlier try" in bench.log.text


async def test_a_new_try_that_is_killed_at_once_ends_the_earlier_one_s_job(bench: Bench) -> None:
    """Cleared and then marked failed within a second: the first kill left the job to the new try."""
    held = bench.google.on_query("create or replace", held=True)
    await bench.plan(model("orders"))
    first = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    await cancelled(first)
    look = bench.google.hold("jobs.get")
    second = bench.trigger(try_number=2)
    task = asyncio.create_task(event_of(second))
    await bench.google.requests.arrived("jobs.get")
    bench.airflow.task_state = "failed"

    await cancelled(task, USER_ACTION)
    await on_kill(second)
    look.release()

    (job,) = bench.google.inserted_jobs
    await job.done.wait()
    assert job.error.reason == "stopped"


async def test_a_first_try_asks_nobody_about_earlier_ones(bench: Bench) -> None:
    """Almost all tries are first ones; they pay nothing."""
    await bench.plan(model("orders", job("create or replace table `p`.`shop`.`orders` as select 1")))

    await bench.run()

    submitted = next(
        at for at, request in enumerate(bench.google.requests) if request.operation == "jobs.insert"
    )
    before = [request.operation for request in list(bench.google.requests)[:submitted]]
    assert "jobs.get" not in before


# -- killed -----------------------------------------------------------------------------------------------------------


async def on_kill(trigger: BigQueryDbtTrigger) -> None:
    """Call what Airflow 3.3 calls after the cancellation; before it knew nothing of the kind."""
    if HAS_ON_KILL:
        await trigger.on_kill()


async def kill(bench: Bench) -> None:
    """Do what the Airflow at hand does when a trigger is no longer wanted."""
    held = bench.google.on_query("create or replace", held=True)
    await bench.plan(model("orders"))
    trigger = bench.trigger()
    task = asyncio.create_task(event_of(trigger))
    await held.started()
    await bench.google.requests.arrived("jobs.getQueryResults")
    await cancelled(task, USER_ACTION)
    await on_kill(trigger)


async def test_a_killed_task_cancels_its_job(bench: Bench) -> None:
    """Marked as failed in the UI, the query ends, and the log says so."""
    bench.airflow.task_state = "failed"

    await kill(bench)

    (cancel,) = bench.google.requests.of("jobs.cancel")
    assert bench.google.inserted_jobs[0].job_id in cancel.path
    assert "asked BigQuery to cancel job" in bench.log.text


@pytest.mark.parametrize("has_on_kill", [True, False])
async def test_a_kill_comes_to_its_end_however_often_airflow_repeats_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, has_on_kill: bool
) -> None:
    """Airflow cancels a killed trigger every second until it has ended; a slow moment of Google takes longer."""
    monkeypatch.setattr("cosmos_async.triggers.dbt.HAS_ON_KILL", has_on_kill)
    held = bench.google.on_query("create or replace", held=True)
    await bench.plan(model("orders"))
    slow = bench.google.hold("jobs.cancel")
    trigger = bench.trigger()

    async def as_airflow_does() -> None:
        try:
            await event_of(trigger)
        except asyncio.CancelledError:
            if has_on_kill:
                await asyncio.wait_for(trigger.on_kill(), 30)
            raise

    task = asyncio.create_task(as_airflow_does())
    await held.started()
    await bench.google.requests.arrived("jobs.getQueryResults")
    bench.airflow.task_state = "failed"
    task.cancel(USER_ACTION)
    await bench.google.requests.arrived("jobs.cancel")
    for _ in range(5):
        task.cancel(USER_ACTION)
        await asyncio.sleep(0)
    slow.release()
    (job,) = bench.google.inserted_jobs
    await asyncio.wait_for(job.done.wait(), 20)

    assert job.error.reason == "stopped"
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_another_triggerer_has_taken_over_keeps_its_job(bench: Bench) -> None:
    """Airflow calls on_kill then as well; the task is still deferred."""
    bench.airflow.task_state = "deferred"

    await kill(bench)

    assert bench.google.requests.of("jobs.cancel") == []
    assert states(bench) == ["RUNNING"]


async def test_a_triggerer_that_shuts_down_keeps_the_jobs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers then; the question is bounded, and in doubt the job stays."""
    monkeypatch.setattr(base, "STATE_TIMEOUT", 0.01)
    bench.airflow.silent = True

    await kill(bench)

    assert bench.google.requests.of("jobs.cancel") == []
    assert "may still be running" not in bench.log.text


async def test_a_kill_before_anything_ran_cancels_nothing(bench: Bench) -> None:
    """There is nothing to ask for."""
    bench.airflow.task_state = "failed"
    trigger = bench.trigger()

    await on_kill(trigger)

    assert len(bench.google.requests) == 0


async def test_a_kill_during_the_insertion_finds_the_job(bench: Bench, clock: FakeClock) -> None:
    """The job appears a moment after its cancellation was asked for; it is asked for once more."""
    held = bench.google.hold("jobs.insert")
    await bench.plan(
        model("orders", job("create or replace table `p`.`shop`.`orders` as select 1", location=None))
    )
    trigger = bench.trigger()
    task = asyncio.create_task(event_of(trigger))
    await bench.google.requests.arrived("jobs.insert")
    bench.airflow.task_state = "failed"

    await cancelled(task, USER_ACTION)
    await on_kill(trigger)
    held.release()

    assert len(bench.google.requests.of("jobs.cancel")) == 2


async def test_before_on_kill_existed_the_cancelled_coroutine_asks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow before 3.3 has only CancelledError."""
    monkeypatch.setattr("cosmos_async.triggers.dbt.HAS_ON_KILL", False)
    held = bench.google.on_query("create or replace", held=True)
    await bench.plan(model("orders"))
    task = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    await bench.google.requests.arrived("jobs.getQueryResults")
    bench.airflow.task_state = "failed"

    await cancelled(task)

    assert len(bench.google.requests.of("jobs.cancel")) == 1
    assert task.cancelled()


# -- out of time ------------------------------------------------------------------------------------------------------


async def test_the_job_ends_before_the_tasks_timeout_does(bench: Bench) -> None:
    """Airflow would start a worker to fail the task and leave the query running."""
    bench.google.on_query("create or replace", held=True)
    await bench.plan(model("orders"))

    event = await bench.run(seconds=SOON)

    assert is_failure(event)
    assert len(bench.google.requests.of("jobs.cancel")) == 1
    assert "execution_timeout is reached; cancelling BigQuery job" in bench.log.text


async def test_a_target_state_guard_still_stops_a_later_try(bench: Bench) -> None:
    """A first-run plan must not replace the table that the first try made: the second try goes the slow way."""
    await bench.plan(
        model("orders", target_state("orders"), job("create table `p`.`shop`.`orders` as select 1"))
    )
    await bench.run()

    event = await bench.run(try_number=2)

    assert event.payload["status"] == "late"


async def test_a_job_that_is_no_longer_watched_is_asked_to_end(bench: Bench, clock: FakeClock) -> None:
    """After a quarter of an hour of errors the task fails; its query must not write behind everybody's back."""
    bench.google.on_query("create or replace", held=True)
    await bench.plan(model("orders"))
    bench.google.fail("jobs.get*", 503, times=None)

    event = await bench.run()

    assert is_failure(event)
    assert len(bench.google.requests.of("jobs.cancel")) == 1
    assert "reading BigQuery job p:US.cosmos_orders" in bench.outcome().message


async def test_a_refused_job_is_not_cancelled(bench: Bench) -> None:
    """It was never there."""
    bench.google.forbid("jobs.insert")
    await bench.plan(model("orders"))

    event = await bench.run()

    assert is_failure(event)
    assert bench.google.requests.of("jobs.cancel") == []
