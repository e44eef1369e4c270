"""
CeleryExecutor: two workers of one Airflow without a shared disk, with Redis as their broker.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airflow.harness import Airflow
from tests.airflow.processes import Processes, free_port
from tests.airflow.shop import explain
from tests.airflow.stage import Stage, start_stage
from tests.matrix.story import DAG_ID, PATIENCE, PATIENT

WORKERS = ("worker-1", "worker-2")

pytestmark = [pytest.mark.airflow, pytest.mark.warehouse]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything of this stage; each worker's disk is a folder in it."""
    return tmp_path_factory.mktemp("matrix-celery")


@pytest.fixture(scope="module")
def redis(folder: Path) -> Iterator[str]:
    """A Redis on a port of the loopback interface; its address."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("redis-server is not on the path: on Debian, `apt-get install redis-server`")
    port = free_port()
    with Processes(folder / "redis") as processes:
        words = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        processes.start("redis", words, dict(os.environ), folder)
        processes.wait_until("Redis answers", lambda: "Ready to accept" in processes.tail("redis"), 60)
        yield f"redis://127.0.0.1:{port}/0"


def start_worker(airflow: Airflow, name: str, disk: Path) -> None:
    """Start a worker that takes one task at a time and sees no disk but its own."""
    places = {
        "HOME": disk / "home",
        "TMPDIR": disk / "tmp",
        "AIRFLOW_HOME": disk / "airflow",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": disk / "logs",
        "AIRFLOW__COSMOS_ASYNC__CACHE_DIR": disk / "cache",
    }
    for place in places.values():
        place.mkdir(parents=True)
    words = ["celery", "worker", "--concurrency", "1", "--celery-hostname", f"{name}@%h", "--skip-serve-logs"]
    airflow.processes.start(
        name,
        [airflow.python, "-W", "ignore", "-m", "airflow", *words],
        {**airflow.env, **{key: str(place) for key, place in places.items()}},
        disk,
    )


@pytest.fixture(scope="module")
def stage(folder: Path, redis: str) -> Iterator[Stage]:
    """Airflow with two Celery workers beside the local warehouse."""
    env = {
        **PATIENT,
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__BROKER_URL": redis,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+sqlite:///{folder}/results.db",
        "AIRFLOW__CELERY__SYNC_PARALLELISM": "1",
    }
    with start_stage("celery", folder, Path(__file__).parent / "dags", env=env) as stage:
        for name in WORKERS:
            start_worker(stage.airflow, name, folder / name)
        stage.airflow.wait_for_dag(DAG_ID, PATIENCE)
        yield stage


def test_run(stage: Stage) -> None:
    """What one worker has planned is carried out in the triggerer and written up by whichever worker is free."""
    stage.airflow.trigger(DAG_ID, "whole")
    end = stage.airflow.wait_for_run(DAG_ID, "whole", PATIENCE)
    kept = next(name for name in stage.stored_names("dbt/matrix/") if name.endswith("run_results.json"))
    results = json.loads(stage.stored(kept))["results"]

    assert end.state == "success", explain(stage, DAG_ID, end)
    assert set(end.states().values()) == {"success"}
    assert {each["status"] for each in results} == {"success", "pass"}


def test_clear(stage: Stage, folder: Path) -> None:
    """The plan is made anew by the other worker, which has nothing of the first one's on its disk."""
    used = [name for name in WORKERS if list((folder / name / "logs").rglob("task_id=dbt_setup_async"))]
    assert len(used) == 1
    stage.airflow.processes.stop(used[0], 30)

    stage.airflow.clear(DAG_ID, "whole", ["items.run"])
    again = stage.airflow.wait_for_run(DAG_ID, "whole", PATIENCE)
    tries = {task.task_id: task.try_number for task in again.tasks}

    assert again.state == "success", explain(stage, DAG_ID, again)
    assert tries["items.run"] == tries["dbt_setup_async"] == 2
