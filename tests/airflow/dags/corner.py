"""
The corner project as an Airflow DAG: what happens when a test fails, a task is killed, a model is cleared.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cosmos_async import DbtDag, ExecutionConfig, ExecutionMode, ProfileConfig, ProjectConfig
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping

ROOT = Path(__file__).resolve().parents[3]

corner = DbtDag(
    dag_id="corner",
    project_config=ProjectConfig(ROOT / "tests/projects/corner"),
    profile_config=ProfileConfig(
        profile_name="corner",
        target_name="prod",
        profile_mapping=GoogleCloudServiceAccountDictProfileMapping(
            conn_id="google_cloud", profile_args={"dataset": "corner"}
        ),
    ),
    execution_config=ExecutionConfig(
        execution_mode=ExecutionMode.AIRFLOW_ASYNC,
        dbt_executable_path=ROOT / ".venvs/dbt-1.12/bin/dbt",
    ),
    operator_args={
        "vars": {"broken": "{{ params.broken }}", "slow_ms": "{{ params.slow_ms }}"},
        "fail_fast": "{{ params.fail_fast }}",
    },
    params={"broken": False, "slow_ms": 0, "fail_fast": False},
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,  # its runs build the same tables
)
