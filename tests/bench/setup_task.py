"""
One setup task, as a worker runs it, without a DAG run around: ``python -m tests.bench.setup_task PROJECT DBT XCOMS``.

XCOMS is a JSON file that stands for Airflow's database between two runs. Prints a line of JSON: the wall and processor
time of ``execute`` (importing Airflow is not a part of it), and whether dbt was recorded.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from cosmos_async import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.airflow.compat import DAG
from cosmos_async.dbt.session import Dbt
from cosmos_async.operators import SetupAsyncOperator


def main(project: Path, dbt: Path, xcoms: Path) -> None:
    """Run the task once."""
    kept = json.loads(xcoms.read_text()) if xcoms.exists() else {}
    earlier = dict(kept)

    def pull(task_ids: str, key: str, *, include_prior_dates: bool = False, **_: Any) -> Any:
        return earlier.get(key) if include_prior_dates else None

    def push(key: str, value: Any) -> None:
        kept[key] = value

    instance = SimpleNamespace(
        dag_id="bench",
        run_id=f"run-{time.time_ns()}",
        task_id="setup",
        try_number=1,
        map_index=-1,
        xcom_push=push,
        xcom_pull=pull,
    )
    with DAG("bench", schedule=None):
        task = SetupAsyncOperator(
            task_id="setup",
            project_config=ProjectConfig(project),
            profile_config=ProfileConfig("bench", "dev", profiles_yml_filepath=project / "profiles.yml"),
            execution_config=ExecutionConfig(dbt_executable_path=dbt),
        )
    record, recorded = Dbt.record, []

    def counting(*args: Any, **kwargs: Any) -> Any:
        recorded.append(1)
        return record(*args, **kwargs)

    began, used = time.perf_counter(), processor_seconds()
    with (
        mock.patch.object(Dbt, "record", counting),
        mock.patch("cosmos_async.operators.setup.require_triggerer"),
    ):
        task.execute({"ti": instance})
    told = {
        "seconds": time.perf_counter() - began,
        "cpu": processor_seconds() - used,
        "recorded": bool(recorded),
    }
    xcoms.write_text(json.dumps(kept))
    print(json.dumps(told))


def processor_seconds() -> float:
    """Return what this process and those it has waited for have used."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
