"""
One whole run and what it took, by a DAG on a real Airflow or by `dbt build`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.airflow.harness import FINISHED
from tests.airflow.metadata import TaskState
from tests.airflow.stage import Stage
from tests.bench.layered import PROFILE, Case
from tests.warehouse.fixture import Warehouse

ROOT = Path(__file__).resolve().parents[2]
DBT = ROOT / ".venvs/dbt-1.12/bin/dbt"
DAG_ID, DATASET = "whole", "whole"
PATIENCE = 3600  # seconds for one run


class RunFailed(RuntimeError):
    """A run did not do what it is measured for; the message shows what is known."""


@dataclass(frozen=True)
class Took:
    """What one run took, in seconds."""

    wall: float
    first_job: float  #: from the run's start
    tail: float  #: from the end of the last job to the run's end
    worker: float  #: for which its tasks held a worker
    cpu: float  #: of all parts of Airflow with what they start, or of dbt


class Slots:
    """
    For how long the tasks of a run hold a worker.

    Airflow keeps when a task started and ended. Of one that was deferred in between it does not keep when a worker had it, so
    those count for as long as they are seen running.
    """

    def __init__(self, now: float) -> None:
        self._seen_at = now
        self._running: dict[str, float] = defaultdict(float)
        self._deferred: set[str] = set()

    def see(self, now: float, states: Mapping[str, str]) -> None:
        """Take note of the tasks that are running or deferred now."""
        for task_id, state in states.items():
            if state == "running":
                self._running[task_id] += now - self._seen_at
            elif state == "deferred":
                self._deferred.add(task_id)
        self._seen_at = now

    def seconds(self, tasks: Iterable[TaskState]) -> float:
        """Return the seconds of all workers, of tasks that have ended."""
        return sum(
            self._running[task.task_id] if task.task_id in self._deferred else task.worker_seconds
            for task in tasks
        )


def by_dag(stage: Stage, case: Case, run_id: str) -> Took:
    """
    Run the DAG once and return what it took.

    Raises:
        RunFailed: It did not succeed, or there were too few jobs.
        TimedOut: It did not end.
        ProcessEnded: A part of Airflow did.
    """
    airflow, metadata = stage.airflow, stage.airflow.metadata
    before, cpu, began = _ids(stage.warehouse), _cpu_of(stage), time.time()
    slots = Slots(time.monotonic())
    airflow.trigger(DAG_ID, run_id)

    def ended() -> str | None:
        slots.see(time.monotonic(), metadata.occupied(DAG_ID, run_id))
        state = metadata.run_state(DAG_ID, run_id)
        return state if state in FINISHED else None

    state = airflow.processes.wait_until(f"run {run_id} has ended", ended, PATIENCE)
    used = _cpu_of(stage) - cpu
    tasks = metadata.tasks(DAG_ID, run_id)
    if state != "success":
        raise RunFailed(f"{run_id} ended with {state}: { {task.task_id: task.state for task in tasks} }")
    finished = max(task.ended for task in tasks if task.ended is not None).timestamp()
    first, last = _span(stage.warehouse, before, case)
    return Took(finished - began, first - began, finished - last, slots.seconds(tasks), used)


def by_dbt(warehouse: Warehouse, case: Case, project: Path, folder: Path, threads: int) -> Took:
    """
    Build with real dbt and return what it took; it holds a worker for all of that time where a task runs it.

    Args:
        folder: For its profile, its target and its log, which a later run finds there.

    Raises:
        RunFailed: dbt failed, or there were too few jobs.
    """
    target = {
        "type": "bigquery",
        "method": "service-account",
        "keyfile": str(warehouse.key_file),
        "project": warehouse.project,
        "dataset": DATASET,
        "threads": threads,
    }
    folder.mkdir(exist_ok=True)
    (folder / "profiles.yml").write_text(
        yaml.safe_dump({PROFILE: {"target": "prod", "outputs": {"prod": target}}})
    )
    words = [DBT, "build", "--profiles-dir", folder, "--target-path", folder / "target", "--log-path", folder]
    env = {**os.environ, **for_dbt(warehouse)}
    before, cpu, began = _ids(warehouse), _cpu_of_children(), time.time()
    done = subprocess.run(words, cwd=project, env=env, capture_output=True, text=True, check=False)
    finished = time.time()
    if done.returncode:
        raise RunFailed(done.stdout[-3000:])
    first, last = _span(warehouse, before, case)
    wall = finished - began
    return Took(wall, first - began, finished - last, wall, _cpu_of_children() - cpu)


def for_dbt(warehouse: Warehouse) -> dict[str, str]:
    """Return the variables by which a real dbt finds the stand-in, and tells nobody."""
    return {"BIGQUERY_EMULATOR_HOST": warehouse.endpoint, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}


def _ids(warehouse: Warehouse) -> set[str]:
    return {job["id"] for job in warehouse.jobs()}


def _span(warehouse: Warehouse, before: set[str], case: Case) -> tuple[float, float]:
    """Return when the first job of a run began and the last one ended."""
    jobs: list[dict[str, Any]] = [
        job["statistics"]
        for job in warehouse.jobs()
        if job["id"] not in before and "endTime" in job["statistics"]
    ]
    if len(jobs) < case.jobs:
        raise RunFailed(f"there were {len(jobs)} jobs, and there are {case.jobs} models and tests")
    first = min(int(job["creationTime"]) for job in jobs)
    return first / 1000, max(int(job["endTime"]) for job in jobs) / 1000


def _cpu_of(stage: Stage) -> float:
    """Return the CPU seconds of all parts of Airflow so far, with what they have started."""
    total = 0.0
    for pid in stage.airflow.processes.pids.values():
        part = psutil.Process(pid)
        for process in (part, *part.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # its parent has its times by now, or a moment later
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
