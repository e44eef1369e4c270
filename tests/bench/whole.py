"""
A whole run beside `dbt build`: `python -m tests.bench.whole`, or `make bench-run`.

A project in layers, each model with tests or without, on a real Airflow with a stand-in whose jobs take a given time and whose
requests wait for 60 ms. In one sitting it is built

- by `dbt build --threads 64`,
- by us as nothing has changed since the run before: its plan is used again, and tasks go ahead of Airflow,
- by us as a model has changed, and Airflow has parsed the DAG since: setup runs dbt,
- by us without both settings, `reuse_plans` and `run_ahead`.

What is told of each: seconds from the run's start to its end, to its first job and from its last job to the end, the ratios to
`dbt build` and to the critical path (the jobs that wait for one another), the seconds for which tasks held a worker, and the CPU
seconds of all of Airflow, or of dbt.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.airflow.harness import RunEnd
from tests.airflow.stage import CONNECTION, Stage, start_stage
from tests.bench.standin import TEST, part

ROOT = Path(__file__).resolve().parents[2]
DAG_ID, DATASET = "whole", "whole"
DBT = ROOT / ".venvs/dbt-1.12/bin/dbt"
ON_WORKERS = ("dbt_setup_async", "dbt_results_async")
PATIENCE = 1800  # seconds for one run
LATENCY = 60.0  # milliseconds that each request waits

_DAG = f"""
# Airflow passes by files without this word.
from datetime import datetime
from cosmos_async import DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping

whole = DbtDag(
    dag_id="{DAG_ID}",
    project_config=ProjectConfig({{project!r}}),
    profile_config=ProfileConfig(
        profile_name="whole",
        target_name="prod",
        profile_mapping=GoogleCloudServiceAccountDictProfileMapping(
            conn_id="{CONNECTION}", profile_args={{{{"dataset": "{DATASET}", "threads": 64}}}}
        ),
    ),
    execution_config=ExecutionConfig(dbt_executable_path={{dbt!r}}),
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
)
"""


@dataclass(frozen=True)
class Took:
    """What one run took, in seconds."""

    who: str
    wall: float
    first_job: float  #: from the run's start
    tail: float  #: from the end of the last job to the run's end
    worker: float  #: for which its tasks held a worker
    cpu: float


def write_project(folder: Path, *, layers: int, width: int, tests: int) -> Path:
    """Write a project of tables, each of which reads two of the layer above; return its folder."""
    project = folder / "project"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text(
        "name: whole\nversion: '1.0'\nprofile: whole\nmodels: {+materialized: table}\n"
    )
    properties: dict[str, Any] = {"version": 2, "models": []}
    for layer in range(layers):
        for number in range(width):
            above = [f"{{{{ ref('m{layer - 1}_{(number + step) % width}') }}}}" for step in (0, 1)]
            text = f"select a.id + 1 as id from {above[0]} a join {above[1]} b using (id)"
            name = f"m{layer}_{number}"
            (project / "models" / f"{name}.sql").write_text(text if layer else "select 1 as id")
            column = {"name": "id", "data_tests": ["not_null", "unique"][:tests]}
            properties["models"].append({"name": name, "columns": [column]})
    (project / "models" / "schema.yml").write_text(json.dumps(properties))
    return project


def critical_path(*, layers: int, width: int, tests: int, job_ms: int) -> float:
    """Return the seconds of the jobs that wait for one another, on the longest way through the project."""
    ends: dict[tuple[int, int], float] = {}
    for layer in range(layers):
        for number in range(width):
            above = [ends.get((layer - 1, (number + step) % width), 0.0) for step in (0, 1)]
            ends[layer, number] = max(above) + part(f"m{layer}_{number}") + (TEST if tests else 0.0)
    return max(ends.values()) * job_ms / 1000


@contextmanager
def playing(folder: Path, project: Path, job_ms: int, **settings: str) -> Iterator[Stage]:
    """Start an Airflow with the project's DAG, which has run twice: datasets and tables are there, and a plan is kept."""
    dags = folder / "dags"
    dags.mkdir(parents=True)
    (dags / "whole.py").write_text(_DAG.format(project=str(project), dbt=str(DBT)))
    env = {f"AIRFLOW__COSMOS_ASYNC__{name.upper()}": value for name, value in settings.items()}
    with start_stage("3.3", folder / "stage", dags, job_ms=job_ms, standin_ms=LATENCY, env=env) as stage:
        stage.airflow.wait_for_dag(DAG_ID, 300)
        for number in range(2):
            ended(stage, f"warm-{number}")
        yield stage


def ended(stage: Stage, run_id: str) -> RunEnd:
    """Run the DAG."""
    end = stage.airflow.wait_for_run(DAG_ID, stage.airflow.trigger(DAG_ID, run_id), PATIENCE)
    if end.state != "success":
        sys.exit(f"the run ended with {end.state}: {end.states()}")
    return end


def by_us(stage: Stage, who: str, run_id: str) -> Took:
    """Run the DAG once and return what it took."""
    before, cpu, began = {job["id"] for job in stage.jobs()}, _cpu(stage), time.time()
    end = ended(stage, run_id)
    finished = max(task.ended for task in end.tasks if task.ended is not None).timestamp()
    first, last = _jobs(stage, before)
    worker = sum(
        (task.ended - task.started).total_seconds()
        for task in end.tasks
        if task.task_id in ON_WORKERS and task.started and task.ended
    )
    return Took(who, finished - began, first - began, finished - last, worker, _cpu(stage) - cpu)


def by_dbt(stage: Stage, project: Path, folder: Path) -> Took:
    """Build with real dbt and return what it took; it holds a worker for all of that time where a task runs it."""
    target = {
        "type": "bigquery",
        "method": "service-account",
        "keyfile": str(stage.warehouse.key_file),
        "project": stage.warehouse.project,
        "dataset": DATASET,
        "threads": 64,
    }
    folder.mkdir(exist_ok=True)
    (folder / "profiles.yml").write_text(
        yaml.safe_dump({"whole": {"target": "prod", "outputs": {"prod": target}}})
    )
    words = [DBT, "build", "--profiles-dir", folder, "--target-path", folder / "target", "--log-path", folder]
    env = {
        **os.environ,
        "BIGQUERY_EMULATOR_HOST": stage.warehouse.endpoint,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    before, cpu, began = {job["id"] for job in stage.jobs()}, _of_children(), time.time()
    done = subprocess.run(words, cwd=project, env=env, capture_output=True, text=True, check=False)
    finished = time.time()
    if done.returncode:
        sys.exit(done.stdout[-3000:])
    first, last = _jobs(stage, before)
    wall = finished - began
    return Took("dbt build --threads 64", wall, first - began, finished - last, wall, _of_children() - cpu)


def _jobs(stage: Stage, before: set[str]) -> tuple[float, float]:
    """Return when the first job of the nodes began and the last one ended."""
    times = [
        (int(job["statistics"]["creationTime"]) / 1000, int(job["statistics"]["endTime"]) / 1000)
        for job in stage.jobs()
        if job["id"] not in before and "endTime" in job["statistics"]
    ]
    return min(begun for begun, _ in times), max(done for _, done in times)


def _cpu(stage: Stage) -> float:
    """Return the CPU seconds of all parts of Airflow so far, with what they have started."""
    total = 0.0
    for pid in stage.airflow.processes.pids.values():
        part = psutil.Process(pid)
        for process in (part, *part.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # its parent has its times by now, or a moment later
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(options: argparse.Namespace, folder: Path) -> Iterator[Took]:
    """Yield each run, on one Airflow after the other."""
    project = write_project(folder, layers=options.layers, width=options.width, tests=options.tests)
    model = project / "models" / "m0_0.sql"
    with playing(folder / "default", project, options.job_ms) as stage:
        for number in range(options.rounds):
            yield by_dbt(stage, project, folder / "dbt")
            yield by_us(stage, "ours, nothing changed", f"unchanged-{number}")
            _change(stage, model, f"select {number + 2} as id")
            yield by_us(stage, "ours, a model changed", f"changed-{number}")
            ended(stage, f"again-{number}")
    with playing(folder / "plain", project, options.job_ms, reuse_plans="False", run_ahead="False") as stage:
        for number in range(options.rounds):
            yield by_us(stage, "ours, both settings off", f"plain-{number}")


def _change(stage: Stage, model: Path, text: str) -> None:
    """Change a model, and wait until Airflow has seen that: it would run the DAG of before."""
    model.write_text(text)
    changed, airflow = datetime.now(timezone.utc), stage.airflow

    def parsed() -> bool:
        at = airflow.metadata.parsed_at(DAG_ID)
        return at is not None and at > changed

    airflow.processes.wait_until("the changed project is parsed", parsed, PATIENCE)


def main() -> None:
    """Measure, and print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=8, help="models per layer")
    parser.add_argument("--tests", type=int, choices=(0, 1, 2), default=1, help="per model")
    parser.add_argument("--job-ms", type=int, default=3000, help="how long each job takes at least")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    options = parser.parse_args()
    found: dict[str, list[Took]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for took in measured(options, Path(folder)):
            found.setdefault(took.who, []).append(took)
            print(f"  {took.who}: {took.wall:.1f} s", flush=True)
    path = critical_path(
        layers=options.layers, width=options.width, tests=options.tests, job_ms=options.job_ms
    )
    print(
        f"{options.layers * options.width} models in {options.layers} layers, {options.tests} tests each; "
        f"critical path {path:.1f} s. Medians of {options.rounds}, in seconds:"
    )
    print(
        f"{'':26} {'run':>7} {'of dbt':>7} {'of path':>8} {'first job':>10} {'tail':>6} {'worker':>7} {'CPU':>6}"
    )
    medians = {who: _median(runs) for who, runs in found.items()}
    base = next(iter(medians.values())).wall
    for who, took in medians.items():
        print(
            f"{who:26} {took.wall:7.1f} {took.wall / base:7.2f} {took.wall / path:8.2f} {took.first_job:10.1f} "
            f"{took.tail:6.1f} {took.worker:7.1f} {took.cpu:6.1f}"
        )
    if options.json is not None:
        runs = {who: [asdict(one) for one in each] for who, each in found.items()}
        document = {"measured_at": datetime.now().astimezone().isoformat(), "runs": runs, **vars(options)}
        options.json.write_text(json.dumps(document, indent=1, default=str))


def _median(runs: list[Took]) -> Took:
    columns = (asdict(one) for one in runs)
    names = ("wall", "first_job", "tail", "worker", "cpu")
    values = list(columns)
    return Took(runs[0].who, **{name: statistics.median(each[name] for each in values) for name in names})


if __name__ == "__main__":
    main()
