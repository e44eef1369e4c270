"""
Microbatch models: dbt's order of the batches, and what their ends amount to.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import Batch, Guard, GuardKind, NodePlan, Step, dump_node, load_node
from cosmos_async.plan.outcome import Status
from cosmos_async.triggers.jobs.context import Finished
from tests.unit.triggers.bench import (
    Bench,
    Log,
    cancelled,
    carry_out,
    event_of,
    job,
    model,
    target_state,
)
from tests.unit.triggers.ends import is_failure, is_success
from tests.unit.triggers.test_dbt import payload
from tests.unit.triggers.test_frozen import other_process

DAYS = [f"2024-01-0{day}" for day in range(1, 6)]


def batch(name: str, *before: Step, at_once: int = 1) -> Batch:
    """One day's batch."""
    sql = f"insert into `p`.`shop`.`events` select '{name}'"
    return Batch(name, f"{name}T00:00:00+00:00", f"{name}T23:00:00+00:00", (*before, job(sql)), at_once)


def events(*batches: Batch) -> NodePlan:
    """A microbatch model."""
    return model("events", batches=batches, steps=(), message="SUCCESS", materialized="incremental")


@pytest.fixture
def five() -> NodePlan:
    """The first and the last alone, those between side by side."""
    return events(
        batch(DAYS[0], target_state("events", "TABLE")),
        *(batch(day, at_once=3) for day in DAYS[1:4]),
        batch(DAYS[4]),
    )


@pytest.fixture
def filled(bench: Bench) -> Bench:
    """The table is there."""
    bench.google.add_table("p", "shop", "events", schema=[{"name": "day", "type": "STRING"}])
    bench.google.on_query("insert into", statement_type="INSERT", affected_rows=1)
    return bench


def days(bench: Bench) -> list[str]:
    """The days whose jobs were submitted, in that order."""
    return [each.spec.sql[-11:-1] for each in bench.google.inserted_jobs]


async def test_batches_are_run_in_dbts_order(filled: Bench, five: NodePlan) -> None:
    """And the outcome is what dbt writes, windows included."""
    await filled.plan(five)

    event = await filled.run("model.shop.events")

    assert is_success(event), filled.log.text
    assert (days(filled)[0], days(filled)[-1], sorted(days(filled))) == (DAYS[0], DAYS[4], DAYS)
    outcome = filled.outcome("model.shop.events")
    assert (outcome.status, outcome.message, outcome.failures) == (Status.SUCCESS, "SUCCESS", 0)
    assert outcome.batch_results == {
        "successful": [[each.start, each.end] for each in five.batches],
        "failed": [],
    }
    assert [record.purpose for record in outcome.jobs] == [f"main ({day})" for day in DAYS]


@pytest.mark.parametrize(("bad", "ran", "message"), [(0, 1, "ERROR"), (2, 5, "PARTIAL SUCCESS (4/5)")])
async def test_only_the_first_batch_holds_up_the_others(
    filled: Bench, five: NodePlan, bad: int, ran: int, message: str
) -> None:
    """What was not run has failed, too, so that `dbt retry` runs it."""
    filled.google.on_query(f"'{DAYS[bad]}'", error=("invalidQuery", "Division by zero."))
    await filled.plan(five)

    event = await filled.run("model.shop.events")

    assert is_failure(event)
    assert len(days(filled)) == ran
    outcome = filled.outcome("model.shop.events")
    assert outcome.message == message
    assert outcome.batch_results is not None
    assert len(outcome.batch_results["failed"]) == 6 - ran if ran == 5 else 5
    assert "Division by zero." in filled.log.text
    said = "ERROR creating" if ran == 1 else "PARTIALLY created"
    assert f"{said} sql microbatch model shop.events" in filled.log.text


GONE = Guard(
    GuardKind.TABLE, "p.shop.gone", {"project": "p", "dataset": "shop", "table": "gone"}, {"type": "TABLE"}
)


async def test_a_first_batch_that_no_longer_fits_lets_the_model_be_planned_anew(filled: Bench) -> None:
    """Nothing has been written."""
    await filled.plan(events(batch(DAYS[0], GONE), batch(DAYS[1]), batch(DAYS[2])))

    event = await filled.run("model.shop.events")

    assert payload(event)["status"] == "late"
    assert days(filled) == []
    assert "p.shop.gone" in filled.log.text


async def test_a_later_batch_that_no_longer_fits_has_failed(filled: Bench) -> None:
    """A new plan would begin with the first batch again, on a first run even leave old ones out; the others go on."""
    await filled.plan(events(batch(DAYS[0]), batch(DAYS[1], GONE), batch(DAYS[2])))

    event = await filled.run("model.shop.events")

    assert is_failure(event), event
    assert days(filled) == [DAYS[0], DAYS[2]]
    outcome = filled.outcome("model.shop.events")
    assert (outcome.status, outcome.message) == (Status.PARTIAL_SUCCESS, "PARTIAL SUCCESS (2/3)")
    assert "p.shop.gone is no longer what the plan was made for" in filled.log.text
    assert "clear the setup task together with this one" in filled.log.text


async def test_a_first_batch_is_not_begun_twice(filled: Bench) -> None:
    """What it has written before the difference stays as it is; none of the others is run."""
    filled.google.add_table("p", "shop", "audit", schema=[{"name": "id", "type": "INTEGER"}])
    hook = job("insert into `p`.`shop`.`audit` select 1", main=False, purpose="pre-hook")
    await filled.plan(events(batch(DAYS[0], hook, GONE), batch(DAYS[1])))

    event = await filled.run("model.shop.events")

    assert is_failure(event), event
    assert len(filled.google.inserted_jobs) == 1
    assert "By then this had been written: pre-hook." in filled.log.text


async def test_a_later_try_ends_what_an_earlier_one_left_running(filled: Bench, five: NodePlan) -> None:
    """Before its own first batch: two batches of one model at once were never dbt's intention."""
    held = filled.google.on_query(f"'{DAYS[3]}'", held=True, times=1)
    await filled.plan(five)
    first = asyncio.create_task(event_of(filled.trigger("model.shop.events")))
    await held.started()
    await cancelled(first)

    again = await filled.run("model.shop.events", try_number=2)

    assert is_success(again), filled.log.text
    assert "left by an earlier try" in filled.log.text


async def test_what_was_begun_ahead_and_counts_no_more_is_ended_first(
    filled: Bench, five: NodePlan, tmp_path: Path
) -> None:
    """Also at the first try: its batches would run beside those of the same days."""
    held = filled.google.on_query(f"'{DAYS[3]}'", held=True, times=1)
    key = TaskKey("shop_dag", "run1", "shop.orders.run", -1, 1)
    ahead = replace(key, ahead=True)
    begun = asyncio.create_task(carry_out(five, filled.identity, tmp_path, key=ahead))
    await held.started()
    await cancelled(begun)
    left = next(each for each in filled.google.inserted_jobs if each.state.value == "RUNNING")

    log = Log()
    end = await carry_out(five, filled.identity, tmp_path, key=key, void=(ahead,), log=log)

    assert isinstance(end, Finished)
    assert end.outcome.status is Status.SUCCESS, log.text
    assert left.error is not None
    assert left.error.reason == "stopped"


@pytest.mark.parametrize("first_batch", [True, False], ids=["is at its first batch", "has ended"])
async def test_who_stood_still_and_was_given_up_begins_no_further_batch(
    filled: Bench, five: NodePlan, first_batch: bool
) -> None:
    """However far the new try has come, which has begun meanwhile."""
    held = filled.google.on_query(f"'{DAYS[0]}'", held=True, times=1)
    await filled.plan(five)
    old = other_process(filled, unique_id="model.shop.events")
    first = asyncio.create_task(event_of(old))
    await held.started()
    await filled.google.requests.arrived("jobs.getQueryResults")
    look = filled.google.hold("jobs.get", times=1)
    held.release()
    await filled.google.requests.arrived("jobs.get")

    again = filled.google.on_query(f"'{DAYS[0]}'", held=True, times=1)
    new = other_process(filled, unique_id="model.shop.events", try_number=2)
    second = asyncio.create_task(event_of(new))
    await again.started()
    if not first_batch:
        again.release()
        await second
    (run,) = old._runs
    run.warehouse.bigquery.session.suspension._count += 1
    look.release()

    assert is_failure(await first), filled.log.text
    again.release()
    assert is_success(await second), filled.log.text
    assert Counter(days(filled)) == {**dict.fromkeys(DAYS, 1), DAYS[0]: 2}


async def test_a_batch_is_submitted_once(filled: Bench, five: NodePlan) -> None:
    """A second life of the same try meets the jobs of the first one."""
    await filled.plan(five)

    await filled.run("model.shop.events")
    again = await filled.run("model.shop.events")

    assert is_success(again), filled.log.text
    assert sorted(days(filled)) == DAYS


async def test_the_models_of_a_run_share_dbts_threads(filled: Bench) -> None:
    """However many of them there are: three models of four batches each, and never more than two batches at once."""
    held = filled.google.on_query("insert into", held=True, statement_type="INSERT", affected_rows=1)
    names = ("events", "clicks", "views")
    plans = [
        model(
            name,
            batches=tuple(
                replace(
                    batch(day, at_once=2),
                    steps=(job(f"insert into `p`.`shop`.`events` select '{name} {day}'"),),
                )
                for day in DAYS[:4]
            ),
            steps=(),
        )
        for name in names
    ]
    await filled.plan(*plans, threads=2)
    tasks = [
        asyncio.create_task(filled.run(f"model.shop.{name}", task_id=f"shop.{name}.run")) for name in names
    ]
    await held.started(2)
    await filled.google.requests.arrived("jobs.getQueryResults", count=2)

    under_way = len(held.jobs)
    held.release()
    events = await asyncio.gather(*tasks)

    assert under_way == 2
    assert all(is_success(event) for event in events), filled.log.text
    assert len(filled.google.inserted_jobs) == 12


def test_batches_survive_the_store(five: NodePlan) -> None:
    """What setup writes is what the trigger reads."""
    assert load_node(dump_node(five)) == five


def test_batches_have_jobs_of_their_own(five: NodePlan) -> None:
    """A batch's name is part of its jobs' ids."""
    from cosmos_async.triggers.jobs.steps import id_of, plan_of

    key = TaskKey("d", "r", "t", -1, 1)
    ids: set[Any] = {id_of(key, plan_of(five, each), 0) for each in five.batches}

    assert len(ids) == 5
