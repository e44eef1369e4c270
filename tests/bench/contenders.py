"""
Who is compared: `dbt build`, Cosmos in its mode WATCHER, and ours with one setting or another.

All have the same project, the same stand-in and the same DAG file, but for the package that it imports from and its mode. Each
configuration has a stand-in and an Airflow of its own, one after the other. There it runs twice before it is measured: datasets
and tables are there by then, dbt has parsed the project before, and we have kept a plan.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from tests.airflow.harness import DagNotUsable
from tests.airflow.processes import ProcessEnded, TimedOut
from tests.airflow.stage import CONNECTION, Stage, connect_airflow, start_warehouse
from tests.bench.layered import PROFILE, Case
from tests.bench.runs import DAG_ID, DATASET, DBT, PATIENCE, RunFailed, Took, by_dag, by_dbt, for_dbt

LATENCY = 60.0  # milliseconds that each request waits
WARM = 2  # runs that are not measured
NAMES = {
    "dbt-16": "dbt build --threads 16",
    "dbt-64": "dbt build --threads 64",
    "watcher": "Cosmos, WATCHER",
    "unchanged": "ours, nothing changed",
    "changed": "ours, a model changed",
    "no-reuse": "ours, reuse_plans off",
    "no-ahead": "ours, run_ahead off",
    "neither": "ours, both off",
    "no-assume": "ours, assume_unchanged off",
}
QUICK = ("dbt-64", "unchanged", "changed", "neither")
FAILURES = (RunFailed, TimedOut, ProcessEnded, DagNotUsable)

_DAG = """
# Airflow passes by files without this word.
from datetime import datetime
from {package} import DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig
from {package}.constants import ExecutionMode
from {package}.profiles import GoogleCloudServiceAccountDictProfileMapping

whole = DbtDag(
    dag_id="{dag_id}",
    project_config=ProjectConfig("{project}"),
    profile_config=ProfileConfig(
        profile_name="{profile}",
        target_name="prod",
        profile_mapping=GoogleCloudServiceAccountDictProfileMapping(
            conn_id="{connection}", profile_args={{"dataset": "{dataset}", "threads": 64}}
        ),
    ),
    execution_config=ExecutionConfig(
        execution_mode=ExecutionMode.{mode}, dbt_executable_path="{dbt}"
    ),
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
)
"""


@dataclass(frozen=True)
class Bench:
    """What all who are compared have in common."""

    case: Case
    rounds: int
    slots: int  #: tasks that Airflow's workers run at once
    beside: bool  #: whether Cosmos is installed beside ours, and OpenLineage's events are written to a file


Runs = Iterator[tuple[str, Took]]


def _dbt(bench: Bench, words: Sequence[str], folder: Path) -> Runs:
    """Play real dbt, with some numbers of threads."""
    project = bench.case.write(folder)
    with start_warehouse(folder / "warehouse", job_ms=bench.case.job_ms, standin_ms=LATENCY) as warehouse:
        for number in range(WARM + bench.rounds):
            for word in words:
                threads = int(word.partition("-")[2])
                took = by_dbt(warehouse, bench.case, project, folder / word, threads)
                if number >= WARM:
                    yield word, took


def _ours(bench: Bench, words: Sequence[str], folder: Path) -> Runs:
    """Play ours as it is installed, with a model changed now and then."""
    with _playing(bench, folder) as (stage, project):
        for number in range(bench.rounds):
            if "unchanged" in words:
                yield "unchanged", by_dag(stage, bench.case, f"unchanged-{number}")
            if "changed" in words:
                _change(stage, project / "models" / "m0_0.sql", f"select {number + 2} as id")
                yield "changed", by_dag(stage, bench.case, f"changed-{number}")
                if "unchanged" in words:
                    by_dag(stage, bench.case, f"again-{number}")


def _alone(bench: Bench, words: Sequence[str], folder: Path, **how: str) -> Runs:
    """Play one who shares an Airflow with nobody, as :func:`_playing` is told."""
    with _playing(bench, folder, **how) as (stage, _):
        for number in range(bench.rounds):
            yield words[0], by_dag(stage, bench.case, f"run-{number}")


#: Who shares an Airflow, and how they are played.
Configuration = tuple[tuple[str, ...], Callable[[Bench, Sequence[str], Path], Runs]]
CONFIGURATIONS: tuple[Configuration, ...] = (
    (("dbt-16", "dbt-64"), _dbt),
    (("watcher",), partial(_alone, package="cosmos", mode="WATCHER")),
    (("unchanged", "changed"), _ours),
    (("no-reuse",), partial(_alone, reuse_plans="False")),
    (("no-ahead",), partial(_alone, run_ahead="False")),
    (("neither",), partial(_alone, reuse_plans="False", run_ahead="False")),
    (("no-assume",), partial(_alone, assume_unchanged="False")),
)


def measured(
    bench: Bench,
    words: Sequence[str],
    folder: Path,
    configurations: Sequence[Configuration] = CONFIGURATIONS,
) -> Iterator[tuple[str, Took | Exception]]:
    """
    Yield each run as it ends, with the word (of ``NAMES``) for who made it; one configuration after the other.

    Who fails is left alone from then on, with what was said in place of a run.
    """
    for number, (played, play) in enumerate(configurations):
        wanted = [word for word in played if word in words]
        if not wanted:
            continue
        try:
            yield from play(bench, wanted, folder / str(number))
        except FAILURES as error:
            for word in wanted:
                yield word, error


@contextmanager
def _playing(
    bench: Bench,
    folder: Path,
    *,
    package: str = "cosmos_async",
    mode: str = "AIRFLOW_ASYNC",
    **settings: str,
) -> Iterator[tuple[Stage, Path]]:
    """Start an Airflow with the project's DAG, which has run some times; yield it with the project."""
    project, dags = bench.case.write(folder), folder / "dags"
    dags.mkdir()
    (dags / "whole.py").write_text(dag_file(project, package=package, mode=mode))
    env = {f"AIRFLOW__COSMOS_ASYNC__{name.upper()}": value for name, value in settings.items()}
    env["AIRFLOW__CORE__PARALLELISM"] = str(bench.slots)
    # Of the 5 seconds that a worker waits for Airflow's API server, starting a few tasks at once may take more on two cores.
    env["AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT"] = "60"
    if bench.beside:
        transport: dict[str, Any] = {"type": "file", "log_file_path": str(folder / "events"), "append": True}
        env["AIRFLOW__OPENLINEAGE__TRANSPORT"] = json.dumps(transport)
    with start_warehouse(folder / "warehouse", job_ms=bench.case.job_ms, standin_ms=LATENCY) as warehouse:
        if package == "cosmos":
            env |= for_dbt(warehouse) | {
                "AIRFLOW__COSMOS__CACHE_DIR": str(folder / "cosmos"),  # shared by all of a machine otherwise
                "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
                # It runs `dbt ls` while Airflow imports the DAG file.
                "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600",
                "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "600",
            }
        version = "cosmos" if bench.beside or package == "cosmos" else "3.3"
        with connect_airflow(version, folder, dags, warehouse, env=env) as stage:
            stage.airflow.wait_for_dag(DAG_ID, 600)
            for number in range(WARM):
                by_dag(stage, bench.case, f"warm-{number}")
            yield stage, project


def dag_file(project: Path, *, package: str, mode: str) -> str:
    """Return the DAG file, for one package or the other."""
    return _DAG.format(
        package=package,
        mode=mode,
        project=project,
        dbt=DBT,
        dag_id=DAG_ID,
        dataset=DATASET,
        profile=PROFILE,
        connection=CONNECTION,
    )


def _change(stage: Stage, model: Path, text: str) -> None:
    """Change a model, and wait until Airflow has seen that: it would run the DAG of before."""
    model.write_text(text)
    changed, airflow = datetime.now(timezone.utc), stage.airflow

    def parsed() -> bool:
        at = airflow.metadata.parsed_at(DAG_ID)
        return at is not None and at > changed

    airflow.processes.wait_until("the changed project is parsed", parsed, PATIENCE)
