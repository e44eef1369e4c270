"""A guard that differs behind a write: the node goes on from there or fails in clear words, and writes nothing twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import pytest
from airflow.triggers.base import TriggerEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import (
    CallOperation,
    Guard,
    GuardKind,
    JobOperation,
    Level,
    NativeKind,
    NativeOperation,
    NodePlan,
    Step,
)
from cosmos_async.plan.outcome import Status
from cosmos_async.testing import FakeGoogle
from cosmos_async.triggers.google import session
from cosmos_async.triggers.jobs.steps import id_of
from tests.unit.strategies import ORDERS, ORDERS_PATH
from tests.unit.triggers.bench import Bench, FakeClock, job, model, profile, target_state
from tests.unit.triggers.ends import is_failure, is_success
from tests.unit.triggers.execution.test_late import plan_late
from tests.unit.triggers.test_any_order import CRASHES, one_life
from tests.unit.triggers.test_dbt import payload

NODE = "model.shop.orders"
KEY = TaskKey("shop_dag", "run1", "shop.orders.run", -1, 1)
HOOK = "insert into `p`.`shop`.`audit` values (1)"
MERGE = "merge into `p`.`shop`.`orders` using `p`.`shop`.`orders{}` on id = id"
MAKE = (
    "create or replace table `p`.`shop`.`orders{}` OPTIONS(expiration_timestamp=TIMESTAMP_ADD(CURRENT_TIMESTAMP(), "
    "INTERVAL 12 hour)) as (select 1 as id)"
)
OLD, NEW = "__dbt_tmp093012123456", "__dbt_tmp101500654321"


def hook(sql: str = HOOK) -> JobOperation:
    """A pre-hook that leaves something behind."""
    return job(sql, main=False, purpose="pre-hook")


def columns(*names: str) -> Guard:
    """A guard for the columns of orders."""
    schema = [{"name": name, "type": "INTEGER", "mode": "NULLABLE"} for name in names]
    expected = {
        "type": "TABLE",
        "schema": schema,
        "time_partitioning": None,
        "range_partitioning": None,
        "clustering": [],
    }
    return Guard(GuardKind.TABLE, "p.shop.orders", ORDERS, expected)


def sent(bench: Bench) -> list[str]:
    """Return the statements that reached BigQuery."""
    return [made.spec.sql for made in bench.google.inserted_jobs]


@pytest.fixture
def shop(bench: Bench) -> Bench:
    """An audit table, and a table to which somebody has added a column since it was planned."""
    bench.google.add_table("p", "shop", "audit", schema=[{"name": "id", "type": "INTEGER"}])
    added = [{"name": name, "type": "INTEGER"} for name in ("id", "added")]
    bench.google.add_table("p", "shop", "orders", schema=added)
    bench.google.on_query("merge into", statement_type="MERGE", affected_rows=3)
    bench.google.on_query("insert into", statement_type="INSERT", affected_rows=1)
    return bench


def incremental(stamp: str, *names: str, sql: str = HOOK) -> NodePlan:
    """An incremental model with a pre-hook, which reads its table's columns behind both."""
    temporary = job(MAKE.format(stamp), main=False, purpose="create temporary table")
    drop = CallOperation("drop", "DELETE", f"{ORDERS_PATH}{stamp}", missing_ok=True)
    steps = (
        target_state("orders", "TABLE"),
        hook(sql),
        temporary,
        columns(*names),
        job(MERGE.format(stamp)),
        drop,
    )
    return model("orders", *steps, level=Level.GUARDED, reason="It reads.")


async def test_a_node_goes_on_behind_what_it_has_written(shop: Bench) -> None:
    """The new plan begins with the same hook and the same temporary table: both are there, under their old names."""
    await shop.plan(incremental(OLD, "id"))

    first = payload(await shop.run())
    digest = await plan_late(shop, incremental(NEW, "id", "added"))
    event = await shop.run(
        resume={"position": 0, "plans": {NODE: digest}, "done": {NODE: first["dbt"][0]["done"]}}
    )

    assert first["status"] == "late"
    assert first["dbt"][0]["done"] == 3
    assert "What has been written stays as it is (pre-hook)." in shop.log.text
    assert is_success(event), shop.log.text
    assert sent(shop) == [HOOK, MAKE.format(OLD), MERGE.format(OLD)]
    (drop,) = shop.google.requests.of("tables.delete")
    assert drop.path.endswith(f"orders{OLD}")
    assert [record.purpose for record in shop.outcome().jobs] == [
        "pre-hook",
        "create temporary table",
        "main",
    ]
    assert "goes on behind the 2 operations that are done already" in shop.log.text


async def test_a_second_life_goes_on_there_as_well(shop: Bench) -> None:
    """How far the first plan came is pinned in the trigger."""
    await shop.plan(incremental(OLD, "id"))
    done = payload(await shop.run())["dbt"][0]["done"]
    resume = {
        "position": 0,
        "plans": {NODE: await plan_late(shop, incremental(NEW, "id", "added"))},
        "done": {NODE: done},
    }

    await shop.run(resume=resume)
    event = await shop.run(resume=resume)

    assert is_success(event), shop.log.text
    assert len(sent(shop)) == 3


async def test_a_node_whose_new_plan_begins_otherwise_fails_in_clear_words(shop: Bench) -> None:
    """They name the read that differed, what has been written, and the way out."""
    await shop.plan(incremental(OLD, "id"))
    done = payload(await shop.run())["dbt"][0]["done"]
    other = incremental(NEW, "id", "added", sql=HOOK.replace("1", "2"))
    told = "p.shop.orders is no longer what the plan was made for."
    digest = await plan_late(shop, replace(other, reason=told))

    event = await shop.run(resume={"position": 0, "plans": {NODE: digest}, "done": {NODE: done}})

    assert is_failure(event)
    assert sent(shop) == [HOOK, MAKE.format(OLD)]
    message = shop.outcome().message or ""
    assert shop.outcome().status is Status.ERROR
    assert told in message
    assert "this had been written: pre-hook." in message
    assert "clear the setup task together with this one" in message


async def test_a_new_plan_that_differs_behind_a_write_is_not_real_dbts(shop: Bench) -> None:
    """Real dbt would run the hook a second time."""
    await shop.plan(model("orders", level=Level.LATE, reason="It reads rows."))
    digest = await plan_late(shop, incremental(NEW, "id"))

    event = await shop.run(resume={"position": 0, "plans": {NODE: digest}})

    assert is_failure(event)
    assert sent(shop) == [HOOK, MAKE.format(NEW)]
    assert "this had been written: pre-hook." in (shop.outcome().message or "")


async def test_a_temporary_table_alone_keeps_nobody_from_beginning_once_more(shop: Bench) -> None:
    """Nobody but this node reads it, and BigQuery lets it expire."""
    plan = incremental(OLD, "id")
    await shop.plan(replace(plan, steps=(plan.steps[0], *plan.steps[2:])))

    event = payload(await shop.run())

    assert (event["status"], event["dbt"][0]["done"]) == ("late", 0)
    assert sent(shop) == [MAKE.format(OLD)]


# -- any plan, any difference, any crash ------------------------------------------------------------------------------


def watched(number: int, *, holds: bool, early: bool = False) -> Guard:
    """A guard for a table that is not there."""
    request = {"project": "p", "dataset": "shop", "table": f"watched{number}"}
    expected = "absent" if holds else "VIEW"
    return Guard(GuardKind.TARGET_STATE, f"p.shop.watched{number}", request, expected, early=early)


def asked(number: int, *, holds: bool) -> Guard:
    """A guard for the rows of a query, which is a job itself."""
    request = {
        "project": "p",
        "location": "US",
        "configuration": {"query": {"query": f"select {number} as asked", "useLegacySql": False}},
        "ordered": False,
    }
    return Guard(GuardKind.ROWS, "select", request, [["7"]] if holds else [])


def described(number: int) -> CallOperation:
    """A call, which has no id."""
    return CallOperation("describe", "PATCH", ORDERS_PATH, {"description": f"call {number}"})


def added(number: int) -> NativeOperation:
    """An operation of the executor's own."""
    name = f"n{number}"
    column = {"name": name, "type": "INTEGER", "mode": "NULLABLE"}
    return NativeOperation(NativeKind.ADD_COLUMNS, ORDERS, {"columns": {name: column}, "replacing": True})


def written(number: int) -> JobOperation:
    """A write that shows when it is done twice."""
    return hook(f"insert into `p`.`shop`.`audit` values ({number})")


def temporary(number: int, stamp: str) -> JobOperation:
    """A temporary table."""
    return job(MAKE.format(f"{number}{stamp}"), main=False, purpose="create temporary table")


KINDS = st.sampled_from(["job", "job", "call", "native", "temporary", "watched", "rows"])
PLANS = st.lists(st.tuples(KINDS, st.booleans()), min_size=2, max_size=7)


def steps(kinds: list[tuple[str, bool]], *, stamp: str, differs: int | None) -> tuple[Step, ...]:
    """Return the steps of a plan whose guard at *differs* is not what it was planned for; all of them numbered."""
    found: list[Step] = []
    for number, (kind, early) in enumerate(kinds):
        holds = number != differs
        if kind == "job":
            found.append(written(number))
        elif kind == "call":
            found.append(described(number))
        elif kind == "native":
            found.append(added(number))
        elif kind == "temporary":
            found.append(temporary(number, stamp))
        elif kind == "watched":
            # Foretold ones differ only where they stand; the others are asked at the beginning as well.
            if early:
                found.insert(0, watched(number, holds=holds, early=True))
            found.append(watched(number, holds=holds))
        else:
            found.append(asked(number, holds=holds))
    return (*found, job("insert into `p`.`shop`.`audit` values (100)"))


async def story(
    kinds: list[tuple[str, bool]],
    differs: int,
    again: list[tuple[str, bool]],
    differs_again: int | None,
    crashes: tuple[list[int], list[int]],
    folder: Path,
) -> None:
    """Carry a plan out, plan the node anew where it differs, and carry that out, through crashes."""
    async with FakeGoogle(project_id="p") as google:
        google.add_table("p", "shop", "orders", schema=[{"name": "id", "type": "INTEGER"}])
        google.add_table("p", "shop", "audit", schema=[{"name": "id", "type": "INTEGER"}])
        google.on_query("insert into", statement_type="INSERT", affected_rows=1)
        google.on_query("as asked", schema=[{"name": "asked", "type": "INTEGER"}], rows=[[7]])
        google.add_bucket("plans")
        endpoints = {
            "AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT": google.endpoint,
            "AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT": google.endpoint,
        }
        defaults = {"clock": FakeClock()}
        with (
            mock.patch.dict("os.environ", endpoints),
            mock.patch.dict(session.shared_session.__wrapped__.__kwdefaults__, defaults),  # type: ignore[attr-defined]
        ):
            bench = Bench(google, profile(google, folder))
            first = model("orders", *steps(kinds, stamp=OLD, differs=differs), level=Level.NATIVE)
            await bench.plan(first)
            event = await lived(bench, crashes[0])
            check_stopped(bench, first, kinds, differs, "")
            calm = not (crashes[0] or crashes[1])
            if not (is_success(event) or is_failure(event)) and event.payload["status"] == "late":
                done = event.payload["dbt"][0]["done"]
                second = model("orders", *steps(again, stamp=NEW, differs=differs_again), level=Level.NATIVE)
                digest = await plan_late(bench, second)
                resume: dict[str, Any] = {"position": 0, "plans": {NODE: digest}}
                if done:
                    resume["done"] = {NODE: done}
                event = await lived(bench, crashes[1], resume=resume)
                if differs_again is not None:
                    check_stopped(bench, second, again, differs_again, digest)
            check_written_once(bench, event, calls=calm)


async def lived(bench: Bench, crashes: list[int], **trigger: Any) -> TriggerEvent:
    """Run the trigger to its end, through crashes."""
    for requests in crashes:
        await one_life(bench, requests, **trigger)
    event: TriggerEvent = await bench.run(**trigger)
    return event


def check_stopped(
    bench: Bench, plan: NodePlan, kinds: list[tuple[str, bool]], differs: int, late: str
) -> None:
    """No write follows a guard of the same plan that differs."""
    if differs >= len(kinds) or kinds[differs][0] not in ("watched", "rows"):
        return
    at = next(
        at for at, step in enumerate(plan.steps) if isinstance(step, Guard) and step.expected in ("VIEW", [])
    )
    ids = {made.job_id for made in bench.google.inserted_jobs}
    key = replace(KEY, late=late)
    later = [
        position
        for position, step in enumerate(plan.steps)
        if position > at and isinstance(step, JobOperation) and id_of(key, plan, position) in ids
    ]
    assert later == [], (at, plan.steps)


def check_written_once(bench: Bench, event: TriggerEvent, *, calls: bool) -> None:
    """Whatever lasts has reached BigQuery once at the most, and real dbt does not write it a second time."""
    lasting = Counter(sql for sql in sent(bench) if sql.startswith("insert into"))
    patches = Counter(
        json.dumps(request.json, sort_keys=True) for request in bench.google.requests.of("tables.patch")
    )
    assert all(count == 1 for count in lasting.values()), lasting
    if calls:  # after a crash, a call without a job behind it is sent again, and changes nothing more
        assert all(count == 1 for count in patches.values()), patches
    if not (is_success(event) or is_failure(event)):
        assert event.payload["status"] == "dbt"
        assert not lasting
        assert not patches


@st.composite
def stories(draw: Any) -> Any:
    """A plan, where it differs, and what it is planned as then: mostly the same, with other answers."""
    kinds = draw(PLANS)
    differs = draw(st.integers(0, len(kinds) - 1))
    kinds[differs] = (draw(st.sampled_from(["watched", "rows"])), draw(st.booleans()))
    again = list(kinds)
    if draw(st.booleans()):
        again[draw(st.integers(0, len(kinds) - 1))] = (draw(KINDS), False)
    if draw(st.booleans()) and draw(st.booleans()):
        again = draw(PLANS)
    guards = [number for number, (kind, _) in enumerate(again) if kind in ("watched", "rows")]
    differs_again = draw(st.sampled_from([None, None, *guards]))
    return kinds, differs, again, differs_again, (draw(CRASHES), draw(CRASHES))


@given(told=stories())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_each_write_reaches_bigquery_once(told: Any) -> None:
    """Any plan, any guard that differs at any position, any new plan, any crash."""
    with TemporaryDirectory() as folder:
        asyncio.run(story(*told, Path(folder)))
