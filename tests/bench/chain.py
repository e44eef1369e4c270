"""
How far a run is from its critical path: `python -m tests.bench.chain`, or `make bench-chain`.

A chain of models, each with a test, on a real Airflow with a stand-in whose jobs take a given time. The run is made with
and without the setting `run_ahead`, on Airflows of their own, one after the other. What is told is the time from the end of
the setup task to the end of the last node's task, as Airflow has it, and its ratio to the time of the jobs on the way.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.airflow.stage import start_stage

ROOT = Path(__file__).resolve().parents[2]
DAG_ID = "chain"
_AROUND = ("dbt_setup_async", "dbt_results_async", "dbt_teardown_async", "dbt_done_async")

_DAG = """
# Airflow passes by files without this word.
from datetime import datetime
from pathlib import Path
from cosmos_async import DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping

chain = DbtDag(
    dag_id="chain",
    project_config=ProjectConfig({project!r}),
    profile_config=ProfileConfig(
        profile_name="chain",
        target_name="prod",
        profile_mapping=GoogleCloudServiceAccountDictProfileMapping(
            conn_id="google_cloud", profile_args={{"dataset": "chain"}}
        ),
    ),
    execution_config=ExecutionConfig(dbt_executable_path={dbt!r}),
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
)
"""


def write_chain(folder: Path, models: int) -> Path:
    """Write a dbt project whose models stand in one line, each with a test; return its folder."""
    project = folder / "project"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text(
        "name: chain\nversion: '1.0'\nprofile: chain\nmodels: {+materialized: table}\n"
    )
    properties: dict[str, Any] = {"version": 2, "models": []}
    for number in range(models):
        source = f"select id + 1 as id from {{{{ ref('m{number - 1}') }}}}" if number else "select 1 as id"
        (project / "models" / f"m{number}.sql").write_text(source)
        properties["models"].append(
            {"name": f"m{number}", "columns": [{"name": "id", "data_tests": ["not_null"]}]}
        )
    (project / "models" / "schema.yml").write_text(json.dumps(properties))
    return project


def measured(folder: Path, *, ahead: bool, models: int, job_ms: int, runs: int) -> Iterator[dict[str, Any]]:
    """Yield what each of some runs took, after one that makes the dataset."""
    dags = folder / "dags"
    dags.mkdir(parents=True)
    project, dbt = write_chain(folder, models), ROOT / ".venvs/dbt-1.12/bin/dbt"
    (dags / "chain.py").write_text(_DAG.format(project=str(project), dbt=str(dbt)))
    env = {"AIRFLOW__COSMOS_ASYNC__RUN_AHEAD": str(ahead)}
    with start_stage("3.3", folder / "stage", dags, job_ms=job_ms, env=env) as stage:
        stage.airflow.wait_for_dag(DAG_ID, 300)
        for number in range(1 + runs):
            before = {job["id"] for job in stage.jobs()}
            end = stage.airflow.wait_for_run(DAG_ID, stage.airflow.trigger(DAG_ID, f"run{number}"), 900)
            if end.state != "success":
                sys.exit(f"the run ended with {end.state}: {end.states()}")
            if not number:
                continue
            tasks = {task.task_id: task for task in end.tasks}
            ends = [task.ended for one, task in tasks.items() if one not in _AROUND and task.ended]
            planned = tasks["dbt_setup_async"].ended
            assert planned is not None
            jobs = [
                job
                for job in stage.jobs()
                if job["id"] not in before and job["jobReference"]["jobId"].startswith("cosmos_")
            ]
            path = sum(_seconds(job) for job in jobs)
            wall = (max(ends) - planned).total_seconds()
            yield {"ahead": ahead, "wall": wall, "jobs": path, "ratio": wall / path}


def _seconds(job: dict[str, Any]) -> float:
    statistics = job["statistics"]
    return (int(statistics["endTime"]) - int(statistics["startTime"])) / 1000


def main() -> None:
    """Measure both ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=6)
    parser.add_argument("--job-ms", type=int, default=5000, help="how long each job takes at least")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for ahead in (False, True):
            for each in measured(
                Path(folder) / str(ahead),
                ahead=ahead,
                models=options.models,
                job_ms=options.job_ms,
                runs=options.runs,
            ):
                found.append(each)
                print(
                    f"run_ahead {ahead!s:5}  {each['wall']:6.1f} s from the plan to the last node, "
                    f"{each['jobs']:6.1f} s of jobs on the way: {each['ratio']:.2f} times",
                    flush=True,
                )
    if options.json is not None:
        document = {"measured_at": datetime.now().astimezone().isoformat(), "runs": found, **vars(options)}
        options.json.write_text(json.dumps(document, indent=1, default=str))


if __name__ == "__main__":
    main()
