"""
A DbtTaskGroup between other tasks: how the run ends, and what comes after the group, if one of its ends goes wrong.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.sdk import DAG

from cosmos_async import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping

ROOT = Path(__file__).resolve().parents[3]


def is_wanted(params: dict[str, Any]) -> bool:
    """Return whether dbt is to run at all."""
    return bool(params["wanted"])


with DAG(
    dag_id="ends",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    params={"wanted": True, "bad_unit": False, "bad_end": False},
):
    dbt = DbtTaskGroup(
        group_id="dbt",
        project_config=ProjectConfig(ROOT / "tests/projects/ends"),
        profile_config=ProfileConfig(
            profile_name="ends",
            target_name="prod",
            profile_mapping=GoogleCloudServiceAccountDictProfileMapping(
                conn_id="google_cloud", profile_args={"dataset": "ends"}
            ),
        ),
        execution_config=ExecutionConfig(dbt_executable_path=ROOT / ".venvs/dbt-1.12/bin/dbt"),
        operator_args={"vars": {"bad_unit": "{{ params.bad_unit }}", "bad_end": "{{ params.bad_end }}"}},
    )
    ShortCircuitOperator(task_id="wanted", python_callable=is_wanted) >> dbt >> EmptyOperator(task_id="after")
