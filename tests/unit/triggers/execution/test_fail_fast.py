"""With ``--fail-fast`` the first task of a run that fails for good ends the others, and nothing of theirs goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from cosmos_async.plan.model import Level
from cosmos_async.plan.outcome import Status
from cosmos_async.triggers.execution import fail_fast
from tests.unit.triggers.bench import SOON, Bench, cancelled, data_test, event_of, job, model, test_row
from tests.unit.triggers.ends import is_failure, is_skip, is_success

BAD, GOOD = "shop.bad.run", "shop.orders.run"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for seconds here."""
    monkeypatch.setattr(fail_fast, "INTERVAL", 0.02)


async def planned(bench: Bench, *more: Any, **run: Any) -> None:
    """Plan a model that fails and one that is all right."""
    bench.google.on_query("bad", error=("invalidQuery", "Syntax error"))
    await bench.plan(model("bad"), model("orders"), *more, **{"fail_fast": True, **run})


async def fail(bench: Bench, state: str = "failed") -> None:
    """Let the bad task fail, and Airflow call it *state* then."""
    event = await bench.run("model.shop.bad", task_id=BAD)
    assert is_failure(event), bench.log.text
    bench.airflow.states[BAD] = state


async def test_a_task_that_begins_after_a_failure_does_nothing(bench: Bench) -> None:
    """It ends as skipped, and its node as dbt would have it."""
    await planned(bench)
    await fail(bench)

    event = await bench.run()

    assert is_skip(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 1
    outcome = bench.outcome()
    assert (outcome.status, outcome.message) == (Status.SKIPPED, "Skipping due to fail_fast")
    assert f"Skipping due to fail_fast: {BAD} has failed. Skipped: model.shop.orders" in bench.log.text


async def test_what_is_under_way_beside_a_failure_is_cancelled(bench: Bench) -> None:
    """As dbt cancels the queries of its other threads."""
    held = bench.google.on_query("`orders`", held=True)
    await planned(bench)
    other = asyncio.create_task(event_of(bench.trigger()))
    await held.started()

    await fail(bench)
    event = await other

    assert is_skip(event), bench.log.text
    stopped, _ = bench.google.inserted_jobs
    assert stopped.error.reason == "stopped"
    assert bench.outcome().status is Status.SKIPPED


async def test_a_job_of_an_earlier_life_is_cancelled_as_well(bench: Bench) -> None:
    """Its triggerer died; the next one learns of the failure before it meets the job again."""
    held = bench.google.on_query("`orders`", held=True)
    await planned(bench)
    first = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    await cancelled(first)
    await fail(bench)

    event = await bench.run()

    assert is_skip(event), bench.log.text
    assert bench.google.inserted_jobs[0].error.reason == "stopped"
    assert "left by an earlier try" not in bench.log.text


@pytest.mark.parametrize("state", ["up_for_retry", "deferred", "success"])
async def test_a_failure_that_is_not_airflow_s_last_word_stops_nobody(bench: Bench, state: str) -> None:
    """The task has retries left, was cleared, or somebody has marked it."""
    await planned(bench)
    await fail(bench, state)

    assert is_success(await bench.run()), bench.log.text


async def test_a_failure_becomes_final_while_others_wait(bench: Bench) -> None:
    """They look again, however often."""
    held = bench.google.on_query("`orders`", held=True)
    await planned(bench)
    await fail(bench, "up_for_retry")
    other = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    await asyncio.sleep(0.1)
    assert not other.done()

    bench.airflow.states[BAD] = "failed"

    assert is_skip(await other), bench.log.text


async def test_without_the_option_nobody_looks(bench: Bench) -> None:
    """Nor tells."""
    await planned(bench, fail_fast=False)
    await fail(bench)

    assert is_success(await bench.run()), bench.log.text
    assert not [name for name in bench.google.stored("plans") if "/failed/" in name]
    assert bench.google.requests.of("objects.list") == []


async def test_a_plan_made_anew_knows_nothing_of_old_failures(bench: Bench) -> None:
    """Who clears a failed task clears its setup, too."""
    await planned(bench)
    await fail(bench)
    await planned(bench, invocation_id="another")

    assert is_success(await bench.run()), bench.log.text


async def test_the_first_failing_test_of_a_task_ends_its_other_tests(bench: Bench) -> None:
    """What has ended keeps its outcome; the task itself fails."""
    held = bench.google.on_query("/\\* slow \\*/", held=True)
    bench.google.on_query("/\\* good \\*/", **test_row(0))
    bench.google.on_query("/\\* wrong \\*/", **test_row(2), seconds=0.2)
    names = ("slow", "good", "wrong")
    tests = [data_test(name) for name in names]
    owners = {test.unique_id: "model.shop.orders" for test in tests}
    await bench.plan(model("orders"), *tests, owners=owners, fail_fast=True)

    event = await bench.run(work="tests")

    assert is_failure(event), bench.log.text
    (slow,) = (made for made in bench.google.inserted_jobs if "slow" in str(made.spec.configuration))
    assert held.jobs
    assert slow.error.reason == "stopped"
    assert [bench.outcome(f"test.shop.{name}").status for name in names] == [
        Status.SKIPPED,
        Status.PASS,
        Status.FAIL,
    ]


async def test_a_task_that_runs_out_of_time_stops_the_others_as_well(bench: Bench) -> None:
    """A task that fails is a failure, whatever for."""
    bench.google.on_query("`bad`", held=True)
    await bench.plan(model("bad"), model("orders"), fail_fast=True)
    event = await bench.run("model.shop.bad", task_id=BAD, seconds=SOON)
    assert is_failure(event), bench.log.text
    bench.airflow.states[BAD] = "failed"

    assert is_skip(await bench.run()), bench.log.text


async def test_a_node_for_a_worker_is_not_handed_over_after_a_failure(bench: Bench) -> None:
    """Real dbt would start for nothing."""
    await planned(bench, model("special", level=Level.DBT, reason="a macro of its own", steps=(job("x"),)))
    await fail(bench)

    event = await bench.run("model.shop.special")

    assert is_skip(event), bench.log.text


async def test_a_worker_is_asked_for_where_it_has_to_end_the_task(bench: Bench) -> None:
    """Such as for an on_skipped_callback."""
    await planned(bench)
    await fail(bench)

    event = await bench.run(skips_in_triggerer=False)

    assert type(event) is TriggerEvent
    assert event.payload["status"] == "skipped"
    assert event.payload["message"] == f"Stopped by --fail-fast, as {BAD} has failed."


async def test_many_tasks_look_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of tasks wait side by side; the bucket is asked for all of them."""
    monkeypatch.setattr(fail_fast, "INTERVAL", 60.0)
    await planned(bench)

    await asyncio.gather(*(bench.run(task_id=f"task{number}") for number in range(20)))

    assert len(bench.google.requests.of("objects.list")) == 1


@pytest.mark.parametrize("away", ["bucket", "Airflow"])
async def test_what_cannot_be_found_out_stops_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    """The nodes' own work does not depend on it."""
    await planned(bench)
    await fail(bench)
    if away == "bucket":
        bench.google.fail("objects.list", 403, times=None)
    else:

        async def state(key: Any) -> str:
            raise RuntimeError("the API server is away")

        monkeypatch.setattr(bench.airflow, "state", state)

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert "Whether another task has failed (--fail-fast) cannot be found out now" in bench.log.text
