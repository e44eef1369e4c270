"""What Airflow's UI shows of a task: the link to a job, and the compiled SQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from cosmos_async.plan.model import Level
from cosmos_async.plan.outcome import JobRecord, Outcome, Status
from cosmos_async.triggers.execution import xcoms
from tests.unit.triggers.bench import Bench, data_test, job, model, target_state, test_row
from tests.unit.triggers.ends import is_failure, is_success
from tests.unit.triggers.execution.test_run_ahead import second_begun, until

LINK, SQL = "_link_BigQueryJobLink", "compiled_sql"


def outcome(name: str, status: Status = Status.PASS, *jobs: JobRecord, seconds: int = 1) -> Outcome:
    """Return how a test, or a model that is called so, has ended."""
    kind = "model" if name.startswith("model") else "test"
    at = "2026-03-04T00:00:{:02}+00:00"
    return Outcome(
        f"{kind}.shop.{name}",
        status,
        None,
        Level.STATIC,
        at.format(0),
        at.format(seconds),
        1,
        jobs=jobs or (JobRecord("main", f"job_of_{name}", "p", "EU", main=True),),
    )


def linked(*outcomes: Outcome) -> str:
    """Return the id of the job that the link opens."""
    return xcoms.link(outcomes).partition("j=bq:EU:")[2].partition("&")[0]


PRE, MAIN, POST = (
    JobRecord(purpose, purpose, "p", "EU", main=purpose == "main")
    for purpose in ("pre-hook", "main", "post-hook")
)


@pytest.mark.parametrize(
    ("status", "jobs", "wanted"),
    [
        (Status.SUCCESS, (PRE, MAIN, POST), "main"),
        # A triggerer that takes over meets the main job last.
        (Status.SUCCESS, (POST, MAIN), "main"),
        (Status.ERROR, (PRE, replace(MAIN, failed=True)), "main"),
        (Status.ERROR, (PRE, MAIN, replace(POST, failed=True)), "post-hook"),
        # BigQuery has spoiled one, and another one took its place.
        (Status.SUCCESS, (replace(MAIN, job_id="spoiled", failed=True), MAIN, POST), "main"),
        (Status.FAIL, (replace(MAIN, purpose="test"),), "main"),
        (Status.SUCCESS, (PRE, POST), "post-hook"),
    ],
)
def test_the_link_opens_the_main_job_or_the_one_that_failed(
    status: Status, jobs: tuple[JobRecord, ...], wanted: str
) -> None:
    """Not the last one, whatever that is."""
    assert linked(outcome("model_orders", status, *jobs)) == wanted


@pytest.mark.parametrize(
    ("outcomes", "wanted"),
    [
        ([outcome("a"), outcome("b", Status.FAIL), outcome("c", Status.ERROR)], "job_of_b"),
        ([outcome("a"), outcome("b", Status.WARN), outcome("c", Status.FAIL)], "job_of_c"),
        ([outcome("a"), outcome("b", Status.WARN)], "job_of_b"),
        ([outcome("a"), outcome("b", seconds=9), outcome("c")], "job_of_b"),
        (
            [outcome("a"), outcome("model_orders", Status.SUCCESS), outcome("b", seconds=9)],
            "job_of_model_orders",
        ),
        ([outcome("model_orders", Status.SUCCESS), outcome("b", Status.FAIL)], "job_of_b"),
        ([outcome("a"), outcome("b", Status.SKIPPED)], "job_of_a"),
    ],
)
def test_of_several_nodes_one_stands_for_the_task(outcomes: list[Outcome], wanted: str) -> None:
    """The one that a person comes for."""
    assert linked(*outcomes) == wanted


async def test_the_link_and_the_sql_are_there_while_the_job_runs(bench: Bench) -> None:
    """Who looks at a model that takes long need not wait for its end."""
    answer = bench.google.on_query("create or replace", held=True)
    main = job("create or replace table `p`.`shop`.`orders` as select 1 as id")
    after = job("select 2", purpose="post-hook", main=False)
    await bench.plan(model("orders", target_state("orders"), main, after, reason="Why."))

    running = asyncio.create_task(bench.run())
    await answer.started()
    await until(lambda: {LINK, SQL} <= set(bench.airflow.left))
    early = dict(bench.airflow.left)
    answer.release()

    assert is_success(await running), bench.log.text
    assert bench.google.inserted_jobs[0].job_id in early[LINK]
    assert early[SQL] == "-- model.shop.orders (models/orders.sql), level S (static): Why.\nselect 1 as id"
    assert {key: bench.airflow.left[key] for key in early} == early
    assert sorted(bench.airflow.written) == sorted([SQL, LINK, "dbt_jobs"])  # and each once


async def test_a_failure_leaves_its_sql_and_the_job_that_failed(bench: Bench) -> None:
    """They are needed then."""
    bench.google.on_query("/\\* bad \\*/", **test_row(2))
    bench.google.on_query("/\\* good \\*/", **test_row(0))
    await bench.plan(
        model("orders"),
        *(data_test(name, compiled_code=f"select '{name}'") for name in ("bad", "good")),
        owners={f"test.shop.{name}": "model.shop.orders" for name in ("bad", "good")},
    )

    event = await bench.run(work="tests")

    bad = next(facts for facts in bench.airflow.left["dbt_jobs"] if facts["unique_id"] == "test.shop.bad")
    assert is_failure(event)
    assert bad["job_id"] in bench.airflow.left[LINK]
    assert bench.airflow.left[SQL].index("select 'bad'") < bench.airflow.left[SQL].index("select 'good'")


async def test_a_second_try_does_not_show_the_first_one_s_job(bench: Bench) -> None:
    """Airflow keeps XComs where no worker starts the new try."""
    bench.airflow.left = {LINK: "https://job-of-the-first-try", SQL: "select 0"}
    await bench.plan(model("orders", level=Level.DBT, reason="Python."))

    await bench.run(try_number=2)

    assert bench.airflow.left[LINK] == ""
    assert "select 0" not in bench.airflow.left[SQL]


async def test_an_airflow_that_does_not_answer_early_is_told_at_the_end(bench: Bench) -> None:
    """What is shown early is a convenience."""
    leave, calls = bench.airflow.leave_xcoms, 0

    async def away_once(key: Any, values: dict[str, Any]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError("away")
        await leave(key, values)

    bench.airflow.leave_xcoms = away_once  # type: ignore[method-assign]
    await bench.plan(model("orders"))

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert {LINK, SQL, "dbt_jobs"} <= set(bench.airflow.left)


@pytest.mark.parametrize("try_number", [1, 2])
async def test_an_airflow_that_takes_no_xcoms_fails_no_task(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, try_number: int
) -> None:
    """Its work is done, and tasks below it may have begun."""
    monkeypatch.setattr(xcoms, "PAUSES", (0.0, 0.0))

    async def away(key: Any, values: dict[str, Any]) -> None:
        raise ConnectionError("away")

    bench.airflow.leave_xcoms = away  # type: ignore[method-assign]
    await bench.plan(model("orders"))

    event = await bench.run(try_number=try_number)

    assert is_success(event), bench.log.text
    warned = [message for level, message in bench.log.lines if level == "warning"]
    assert len(warned) == try_number
    assert "has not taken this task's XComs" in warned[-1]


async def test_xcoms_are_left_once_airflow_is_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tasks may read them."""
    monkeypatch.setattr(xcoms, "PAUSES", (0.0, 0.0))
    leave, refused = bench.airflow.leave_xcoms, 0

    async def away_for_a_while(key: Any, values: dict[str, Any]) -> None:
        nonlocal refused
        if "dbt_jobs" in values and refused < 2:
            refused += 1
            raise ConnectionError("away")
        await leave(key, values)

    bench.airflow.leave_xcoms = away_for_a_while  # type: ignore[method-assign]
    await bench.plan(model("orders"))

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert refused == 2
    assert {LINK, SQL, "dbt_jobs"} <= set(bench.airflow.left)


async def test_a_task_that_was_begun_ahead_shows_its_running_job_once_airflow_has_started_it(
    bench: Bench,
) -> None:
    """And not before: Airflow may never start it."""
    held = await second_begun(bench)
    before = dict(bench.airflow.left)

    second = asyncio.create_task(bench.run("model.shop.second", task_id="second.run"))
    await until(lambda: bench.google.inserted_jobs[1].job_id in bench.airflow.left[LINK])
    held.release()

    assert is_success(await second), bench.log.text
    assert bench.google.inserted_jobs[0].job_id in before[LINK]
    assert bench.google.inserted_jobs[1].job_id in bench.airflow.left[LINK]
    assert "model.shop.second" in bench.airflow.left[SQL]


def test_sql_is_bounded() -> None:
    """XComs lie in Airflow's database."""
    plans = [data_test(f"t{number}", compiled_code="select 1 " * 500) for number in range(20)]

    text = xcoms.compiled_sql(plans)

    assert len(text) < xcoms.MOST_SQL + 500
    assert text.endswith("-- More is in the task's log and in dbt's manifest.json.")
