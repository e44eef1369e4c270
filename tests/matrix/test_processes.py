"""
Run, clear, retry, kill and run again on real processes of the Airflow that is named, in this order: one stage serves all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.airflow.versions import abilities
from tests.airflow.harness import RunEnd
from tests.airflow.shop import ABOUT_THE_RUN, explain
from tests.airflow.stage import Stage, start_stage
from tests.matrix.story import DAG_ID, PATIENCE, PATIENT

VERSION = os.environ["COSMOS_ASYNC_MATRIX"]
ABLE = abilities(tuple(int(part) for part in VERSION.split(".")))  # type: ignore[arg-type]
pytestmark = [pytest.mark.airflow, pytest.mark.warehouse]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The named Airflow beside the local warehouse."""
    folder = tmp_path_factory.mktemp(f"matrix-{VERSION}")
    with start_stage(VERSION, folder, Path(__file__).parent / "dags", env=PATIENT) as stage:
        stage.airflow.wait_for_dag(DAG_ID, PATIENCE)
        yield stage


@pytest.fixture(scope="module")
def whole(stage: Stage) -> RunEnd:
    """A run in which nothing goes wrong."""
    stage.airflow.trigger(DAG_ID, "whole")
    return stage.airflow.wait_for_run(DAG_ID, "whole", PATIENCE)


def job_ids(stage: Stage, prefix: str) -> set[str]:
    """Return the ids of all jobs that begin so."""
    ids = {job["jobReference"]["jobId"] for job in stage.jobs()}
    return {job_id for job_id in ids if job_id.startswith(prefix)}


def test_run(stage: Stage, whole: RunEnd) -> None:
    """Every task succeeds, and nodes have a worker only where this Airflow cannot do without."""
    nodes = [task for task in whole.tasks if task.task_id not in ABOUT_THE_RUN]

    assert whole.state == "success", explain(stage, DAG_ID, whole)
    assert set(whole.states().values()) == {"success"}
    assert {task.task_id for task in nodes if task.pid} == (
        set() if ABLE.starts and ABLE.ends else {task.task_id for task in nodes}
    )


def test_ahead(stage: Stage, whole: RunEnd) -> None:
    """What begins before Airflow starts its task has its lines in that task's log; nothing does where workers end tasks."""
    logs = {
        name: stage.airflow.log(DAG_ID, "whole", name, 1)
        for name in ("items.test", "totals.run", "totals.test")
    }
    ahead = {name for name, log in logs.items() if "ahead of Airflow" in log}

    # On a busy machine Airflow is the first at times.
    assert bool(ahead) is ABLE.ends, logs
    assert "PASS unique_items_item_id" in logs["items.test"]
    assert "submitted BigQuery job shop-project:US.cosmos_totals_t1" in logs["totals.run"]
    assert "OK created sql table model corner.totals" in logs["totals.run"]
    assert "PASS not_null_totals_kind" in logs["totals.test"]


def test_clear(stage: Stage, whole: RunEnd) -> None:
    """Clearing one model runs just that model again, whether or not Airflow clears its setup along."""
    before = job_ids(stage, "cosmos_")
    stage.airflow.clear(DAG_ID, "whole", ["items.run"])
    again = stage.airflow.wait_for_run(DAG_ID, "whole", PATIENCE)
    twice = {task.task_id for task in again.tasks if task.try_number == 2}
    new = job_ids(stage, "cosmos_") - before

    assert again.state == "success", explain(stage, DAG_ID, again)
    assert set(again.states().values()) == {"success"}
    assert "items.run" in twice
    assert twice - ABOUT_THE_RUN == {"items.run"}
    assert ("dbt_setup_async" in twice) is ABLE.clears_setup
    assert {job_id for job_id in new if job_id.startswith("cosmos_items_t2")}
    assert {job_id for job_id in new if "items" not in job_id} == set()


def test_retry(stage: Stage, whole: RunEnd) -> None:
    """A failing test is tried as often as the task's retries say; behind it nothing is built, and the run is red."""
    stage.airflow.trigger(DAG_ID, "broken", {"broken": True})
    end = stage.airflow.wait_for_run(DAG_ID, "broken", PATIENCE)
    (task,) = [task for task in end.tasks if task.task_id == "items.test"]

    assert end.state == "failed"
    assert end.failed() == ["items.test"], explain(stage, DAG_ID, end)
    assert end.states()["totals.run"] == "upstream_failed"
    assert end.states()["beside_run"] == "success"
    assert task.try_number == 2
    assert (task.pid is None) is ABLE.fails
    assert len(job_ids(stage, "cosmos_no_tea_t1")) == 2  # of this run and of the one before it
    assert len(job_ids(stage, "cosmos_no_tea_t2")) == 1


def test_kill(stage: Stage, whole: RunEnd) -> None:
    """A task that is marked failed while BigQuery works on it takes its job along."""
    airflow = stage.airflow
    airflow.trigger(DAG_ID, "killed", {"slow_ms": 3_600_000})

    def running() -> list[dict[str, Any]]:
        slow = (job for job in stage.jobs() if job["jobReference"]["jobId"].startswith("cosmos_slow"))
        return [job for job in slow if job["status"]["state"] != "DONE"]

    (job,) = airflow.processes.wait_until("the slow job runs", running, PATIENCE)
    job_id = job["jobReference"]["jobId"]
    airflow.mark(DAG_ID, "killed", "slow_run", "failed")
    airflow.processes.wait_until("the job has ended", lambda: not running(), 240)
    end = airflow.wait_for_run(DAG_ID, "killed", PATIENCE)
    (ended,) = [job for job in stage.jobs() if job["jobReference"]["jobId"] == job_id]

    assert ended["status"]["errorResult"]["reason"] == "stopped"
    assert end.state == "failed"
    assert end.failed() == ["slow_run"], explain(stage, DAG_ID, end)


def test_again(stage: Stage, whole: RunEnd) -> None:
    """A run in which nothing has changed goes by the plan of the run before, and is carried out like any other."""
    for run_id in ("again", "unchanged"):
        stage.airflow.trigger(DAG_ID, run_id)
        end = stage.airflow.wait_for_run(DAG_ID, run_id, PATIENCE)
        assert end.state == "success", explain(stage, DAG_ID, end)

    assert set(end.states().values()) == {"success"}
    assert "The plan of run again is used again" in stage.airflow.log(DAG_ID, "unchanged", "dbt_setup_async")
    assert end.states() == whole.states()
