"""Two at once: a triggerer that stood still wakes up beside the one that took over, and undoes nothing of its work."""

from __future__ import annotations

import asyncio
import contextvars
import json
import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosmos_async.plan.model import CallOperation, NativeKind, NativeOperation, Step
from cosmos_async.testing import FakeGoogle
from cosmos_async.triggers.event_loop.suspension import SuspensionDetector
from cosmos_async.triggers.google import session
from cosmos_async.triggers.google.session import shared_session
from tests.unit.triggers.bench import Bench, FakeClock, data_test, event_of, job, model, target_state
from tests.unit.triggers.ends import is_failure, is_success
from tests.unit.triggers.execution.test_gating import NO_ROWS

TABLE = "create table `p`.`shop`.`orders` as select 1"
TEMPORARY = "create or replace table `p`.`shop`.`orders__tmp` as select 1"
DROP = CallOperation("drop", "DELETE", "projects/p/datasets/shop/tables/orders", missing_ok=True)


class Waiting(FakeClock):
    """A clock whose pauses last until the test ends them."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = asyncio.Event()
        self.go_on = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.paused.set()
        await self.go_on.wait()


def other_process(bench: Bench, **kwargs: Any) -> Any:
    """Return a trigger that shares nothing with others: a session of its own, as in another process."""
    path = Path(bench.identity["profiles_yml"])
    copy = path.with_name(f"profiles{len(list(path.parent.glob('*.yml')))}.yml")
    shutil.copy(path, copy)
    trigger = bench.trigger(**kwargs)
    trigger.identity = {**bench.identity, "profiles_yml": str(copy)}
    return trigger


# -- standing still ---------------------------------------------------------------------------------------------------


async def test_a_process_notices_at_once_that_it_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its first beat after it, and it counts each time once."""
    now = 100.0
    monkeypatch.setattr("cosmos_async.triggers.event_loop.suspension.time.monotonic", lambda: now)
    suspension = SuspensionDetector(still=15)
    assert suspension.stops == 0

    now += 40
    assert suspension.stops == 1
    suspension.start()
    assert suspension.stops == 0 or suspension.stops == 1
    await suspension.stop()


async def test_each_stop_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The beat after it confirms what was known already."""
    suspension = SuspensionDetector(still=0.02)
    suspension.start()
    before = suspension.stops

    suspension._last -= 60

    assert suspension.stops == before + 1
    last = suspension._last
    while suspension._last == last:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert suspension.stops == before + 1
    await suspension.stop()


async def test_a_drop_is_not_repeated_once_another_instance_went_on(bench: Bench) -> None:
    """Its answer was lost; while it waits to be sent again, the other instance creates the table."""
    bench.google.add_table("p", "shop", "orders", type="VIEW", view={"query": "select 1"})
    await bench.plan(model("orders", job(TEMPORARY, main=False), DROP, job(TABLE)))
    bench.google.lose_reply("tables.delete", times=2)  # aiohttp itself sends it again once
    frozen = Waiting()
    with mock.patch.dict(shared_session.__wrapped__.__kwdefaults__, {"clock": frozen}):  # type: ignore[attr-defined]
        first = asyncio.create_task(event_of(other_process(bench)))
        await frozen.paused.wait()
    second = await event_of(other_process(bench))

    frozen.go_on.set()

    assert is_success(second), bench.log.text
    assert is_success(await first), bench.log.text
    assert bench.google.catalog.table("p", "shop", "orders")["type"] == "TABLE"
    assert len(bench.google.inserted_jobs) == 2


@pytest.mark.parametrize("stood_still", [True, False])
async def test_who_was_given_up_writes_nothing_more(bench: Bench, stood_still: bool) -> None:
    """The task was cleared while its triggerer was frozen; the new try has done its work already."""
    await bench.plan(
        model("orders", job(TEMPORARY, main=False), job(TABLE.replace("table", "or replace table", 1)))
    )
    held_job = bench.google.on_query("orders__tmp", held=True, times=1)
    old = other_process(bench)
    first = asyncio.create_task(event_of(old))
    await held_job.started()
    await bench.google.requests.arrived("jobs.getQueryResults")
    look = bench.google.hold("jobs.get", times=1)
    held_job.release()
    await bench.google.requests.arrived("jobs.get")

    second = await event_of(other_process(bench, try_number=2))
    if stood_still:
        (run,) = old._runs
        run.warehouse.bigquery.session.suspension._last -= 60
    look.release()
    event = await first

    assert is_success(second), bench.log.text
    tables = [made.job_id for made in bench.google.inserted_jobs if "`orders` as" in made.spec.sql]
    if (
        not stood_still
    ):  # nothing in it looks like a freeze, so nothing is asked: this is what the detector is for
        assert len(tables) == 2
        return
    assert is_failure(event)
    assert len(tables) == 1
    assert "_t2_" in tables[0]
    assert "a later try of the task has begun" in bench.log.text
    assert (bench.outcome().try_number, bench.outcome().status.value) == (2, "success")


async def test_who_was_given_up_begins_no_further_node(bench: Bench) -> None:
    """It stood still in a unit test; the model behind it would be built beside the new try."""
    unit = data_test("adds_up", unique_id="unit_test.shop.adds_up", resource_type="unit_test")
    bench.google.on_query("adds_up", **NO_ROWS)
    held = bench.google.on_query("adds_up", held=True, times=1, **NO_ROWS)
    await bench.plan(
        model("orders", job(TABLE.replace("table", "or replace table", 1))),
        unit,
        owners={unit.unique_id: "model.shop.orders"},
    )
    old = other_process(bench)
    first = asyncio.create_task(event_of(old))
    await held.started()
    await bench.google.requests.arrived("jobs.getQueryResults")
    look = bench.google.hold("jobs.get", times=1)
    held.release()
    await bench.google.requests.arrived("jobs.get")

    second = await event_of(other_process(bench, try_number=2))
    (run,) = old._runs
    run.warehouse.bigquery.session.suspension._count += 1  # noticed long before the model begins
    look.release()

    assert is_success(second), bench.log.text
    assert is_failure(await first), bench.log.text
    (table,) = (made.job_id for made in bench.google.inserted_jobs if "`orders`" in made.spec.sql)
    assert "_t2_" in table
    assert "a later try of the task has begun" in bench.log.text


async def test_who_stood_still_and_is_still_wanted_goes_on(bench: Bench) -> None:
    """A blocked event loop is no reason to give up."""
    await bench.plan(model("orders", job(TEMPORARY, main=False), job(TABLE)))
    held = bench.google.on_query("orders__tmp", held=True)
    trigger = other_process(bench)
    task = asyncio.create_task(event_of(trigger))
    await held.started()
    (run,) = trigger._runs
    run.warehouse.bigquery.session.suspension._last -= 60

    held.release()

    assert is_success(await task), bench.log.text


# -- two instances, in any order --------------------------------------------------------------------------------------

life: contextvars.ContextVar[int] = contextvars.ContextVar("life")


class Turns:
    """
    Lets one of several instances go on at a time, from one request or answer to the next.

    Args:
        order: Whose turn it is; afterwards whoever wants.
    """

    def __init__(self, order: list[int]) -> None:
        self._order = list(order)
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}
        self.ended: set[int] = set()

    async def take(self) -> None:
        """Wait for one's turn."""
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(life.get(), []).append(gate)
        # Others may be about to come; a moment is enough for them on this loop, and where not, the order is another one.
        asyncio.get_running_loop().call_later(0.002, self._next)
        await gate

    def _next(self) -> None:
        there = [number for number, gates in self._waiting.items() if gates]
        if not there:
            return
        chosen = self._order.pop(0) % len(there) if self._order else 0
        gate = self._waiting[there[chosen]].pop(0)
        if not gate.done():
            gate.set_result(None)
        else:
            self._next()


def plan_steps(kinds: list[str]) -> tuple[Step, ...]:
    """Return a node of these steps; the last one is its main statement."""
    made: dict[str, Step] = {
        "guard": target_state("orders", "TABLE"),
        "job": job(TEMPORARY, main=False, purpose="temporary"),
        "shared": job("create schema if not exists `p`.`shop`", main=False, shared="create_schema:p.shop"),
        "insert": job("insert into `p`.`shop`.`journal` (id) values (1)", main=False),
        "describe": NativeOperation(
            NativeKind.UPDATE_COLUMNS,
            {"project": "p", "dataset": "shop", "table": "orders"},
            {"columns": {"id": {"description": "The number."}}, "checked": True},
        ),
    }
    main = job("create or replace table `p`.`shop`.`orders` as select 1 as id")
    return (*(made[kind] for kind in kinds), main, made["describe"])


async def live(kinds: list[str], order: list[int], crash: int | None, spoiled: int, folder: Path) -> None:
    """Run two or three instances of one task at once, one of which may die, and look at what they did."""
    async with FakeGoogle(project_id="p") as google:
        google.add_table("p", "shop", "orders", rows=[{"id": 1}])
        google.add_table("p", "shop", "journal", schema=[{"name": "id", "type": "INTEGER"}])
        google.on_query("create or replace table .*`orders`", schema=[{"name": "id", "type": "INTEGER"}])
        if spoiled:
            google.on_query("insert into", error=("backendError", "Try again."), times=spoiled)
        google.add_bucket("plans")
        path = folder / "profiles.yml"
        output = {"type": "bigquery", "method": "service-account-json", "keyfile_json": google.key_file}
        path.write_text(json.dumps({"shop": {"outputs": {"prod": output}}}))
        endpoints = {
            "AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT": google.endpoint,
            "AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT": google.endpoint,
        }
        turns, original = Turns(order), aiohttp.ClientSession._request

        async def in_turn(*args: Any, **kwargs: Any) -> Any:
            if life.get(None) is None:
                return await original(*args, **kwargs)
            await turns.take()
            answer = await original(*args, **kwargs)
            await turns.take()
            return answer

        bench = Bench(google, {"profiles_yml": str(path), "profile": "shop", "target": "prod"})
        with (
            mock.patch.dict("os.environ", endpoints),
            mock.patch.dict(
                session.shared_session.__wrapped__.__kwdefaults__,  # type: ignore[attr-defined]
                {"clock": FakeClock()},
            ),
            mock.patch.object(aiohttp.ClientSession, "_request", in_turn),
        ):
            await bench.plan(model("orders", *plan_steps(kinds)))
            lives = [asyncio.create_task(lived(bench, number)) for number in range(2)]
            if crash is not None:
                await google.requests.arrived("*", count=len(google.requests) + crash)
                lives[0].cancel()
                lives.append(asyncio.create_task(lived(bench, 2)))
            events = await asyncio.wait_for(asyncio.gather(*lives, return_exceptions=True), 60)
        check(bench, kinds, events, spoiled)


async def lived(bench: Bench, number: int) -> Any:
    """Run one instance."""
    life.set(number)
    return await event_of(other_process(bench))


def check(bench: Bench, kinds: list[str], events: list[Any], spoiled: int) -> None:
    """Look at the warehouse as its owner would."""
    ends = [event for event in events if not isinstance(event, asyncio.CancelledError)]
    assert ends
    assert all(is_success(event) for event in ends), (ends, bench.log.text)
    good = Counter(made.spec.sql for made in bench.google.inserted_jobs if made.error is None)
    assert set(good.values()) == {1}, good
    assert len(good) == 1 + len([kind for kind in kinds if kind != "guard"])
    bad = [made for made in bench.google.inserted_jobs if made.error is not None]
    assert len(bad) == (spoiled if "insert" in kinds else 0)
    assert bench.google.requests.of("jobs.cancel") == []
    columns = bench.google.catalog.table("p", "shop", "orders")["schema"]["fields"]
    assert [column.get("description") for column in columns] == ["The number."]
    assert bench.outcome().status.value == "success"


@given(
    kinds=st.lists(st.sampled_from(["guard", "job", "shared", "insert"]), max_size=4, unique=True),
    order=st.lists(st.integers(0, 1), max_size=60),
    crash=st.none() | st.integers(1, 25),
    spoiled=st.integers(0, 2),
)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
def test_two_instances_of_a_task_do_its_work_once(
    kinds: list[str], order: list[int], crash: int | None, spoiled: int
) -> None:
    """Whoever is first at each request and each answer; also when one of them dies and a third one comes."""
    with TemporaryDirectory() as folder:
        asyncio.run(live(kinds, order, crash, spoiled, Path(folder)))
