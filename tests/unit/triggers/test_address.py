"""Airflow tells where a run's plan is; who comes later asks the store whether that is still so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cosmos_async.plan.store import NEWEST_OBJECT
from cosmos_async.triggers import address
from tests.unit.triggers.bench import RUN, Bench, cancelled, event_of, job, model
from tests.unit.triggers.ends import is_failure, is_success


@pytest.fixture
def asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whatever Airflow is asked for."""
    xcom, names = bench.airflow.xcom, []

    async def told(key: Any, name: str) -> Any:
        names.append(name)
        return await xcom(key, name)

    monkeypatch.setattr(bench.airflow, "xcom", told)
    return names


async def test_a_run_that_is_known_is_not_asked_for_again(bench: Bench, asked: list[str]) -> None:
    """Airflow may take seconds to answer while it gives many triggers to another triggerer."""
    await bench.plan(*(model(f"m{number}") for number in range(4)))
    await bench.run("model.shop.m0")

    events = await asyncio.gather(*(bench.run(f"model.shop.m{number}") for number in (1, 2, 3)))

    assert all(is_success(event) for event in events), bench.log.text
    assert asked == ["dbt_plan"]
    newest = [each for each in bench.google.requests.of("objects.get") if NEWEST_OBJECT in str(each.path)]
    assert len(newest) <= 1


async def test_a_plan_made_anew_is_found(bench: Bench, asked: list[str]) -> None:
    """Setup has said in the store that the old one is outdated before Airflow lets anybody begin."""
    await bench.plan(model("orders", job("select 1")))
    await bench.run()
    await bench.plan(model("orders", job("select 1 as anew")))

    event = await bench.run(try_number=2)

    assert is_success(event), bench.log.text
    assert asked == ["dbt_plan", "dbt_plan"]
    assert "anew" in bench.google.inserted_jobs[-1].spec.configuration["query"]["query"]


async def test_where_the_store_knows_of_no_plan_airflow_is_asked(bench: Bench, asked: list[str]) -> None:
    """A teardown has deleted it, or an earlier release has written it."""
    await bench.plan(model("orders", job("select 1")))
    await bench.run()
    del bench.google.objects.find("plans").objects[f"{RUN}/{NEWEST_OBJECT}"]

    event = await bench.run(try_number=2)

    assert is_success(event), bench.log.text
    assert asked == ["dbt_plan", "dbt_plan"]


async def test_what_somebody_else_writes_there_leads_nowhere(bench: Bench, asked: list[str]) -> None:
    """It is compared, not followed."""
    await bench.plan(model("orders", job("select 1")))
    await bench.run()
    bucket = bench.google.objects.find("plans")
    bench.google.objects.write(bucket, f"{RUN}/{NEWEST_OBJECT}", b"f" * 64, {}, {})

    event = await bench.run(try_number=2)

    assert is_success(event), bench.log.text
    assert asked == ["dbt_plan", "dbt_plan"]


class Away:
    """A question to Airflow that fails some times."""

    def __init__(self, question: Any, times: float) -> None:
        self.question, self.left, self.asked = question, times, 0

    async def __call__(self, *args: Any) -> Any:
        self.asked += 1
        if self.left > 0:
            self.left -= 1
            raise ConnectionError("away")
        return await self.question(*args)


async def test_an_airflow_that_is_away_for_a_while_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A triggerer takes over just then; a task that failed would leave its job behind."""
    monkeypatch.setattr(address, "SETUP_INTERVAL", 0.0)
    await bench.plan(model("orders"))
    told = bench.airflow.xcoms.popitem()  # setup is planning still, so its state is asked for, too
    bench.airflow.setup_states = ["running"]
    bench.airflow.xcom = Away(bench.airflow.xcom, 3)  # type: ignore[method-assign]
    bench.airflow.state = Away(bench.airflow.state, 3)  # type: ignore[method-assign]
    task = asyncio.create_task(bench.run())
    while bench.airflow.setup_states and not task.done():  # noqa: ASYNC110
        await asyncio.sleep(0)
    bench.airflow.xcoms.update([told])

    assert is_success(await task), bench.log.text
    assert "does not tell where the plan is: ConnectionError('away'). Asking again." in bench.log.text


async def test_an_airflow_that_stays_away_fails_the_task_in_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not asked for ever."""
    monkeypatch.setattr(address, "SETUP_INTERVAL", 0.0)
    monkeypatch.setattr(address, "MOST_AWAY", 5)
    await bench.plan(model("orders"))
    asked = bench.airflow.xcom = Away(bench.airflow.xcom, float("inf"))  # type: ignore[method-assign,assignment]

    assert is_failure(await bench.run())
    assert asked.asked == 6
    assert "Clear this task once Airflow answers again." in bench.log.text


async def test_a_trigger_that_waits_for_airflow_can_be_cancelled(bench: Bench) -> None:
    """Airflow gives its work to another triggerer."""
    await bench.plan(model("orders"))
    asked = bench.airflow.xcom = Away(bench.airflow.xcom, float("inf"))  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(event_of(bench.trigger()))
    while not asked.asked:  # noqa: ASYNC110
        await asyncio.sleep(0.01)

    await asyncio.wait_for(cancelled(task), 1)

    assert task.cancelled()
