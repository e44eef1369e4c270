"""
The corner project as an Airflow DAG whose tasks are tried twice, on every Airflow that is supported.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from cosmos_async import DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping

ROOT = Path(__file__).resolve().parents[3]

matrix = DbtDag(
    dag_id="matrix",
    project_config=ProjectConfig(ROOT / "tests/projects/corner"),
    profile_config=ProfileConfig(
        profile_name="corner",
        target_name="prod",
        profile_mapping=GoogleCloudServiceAccountDictProfileMapping(
            conn_id="google_cloud", profile_args={"dataset": "corner"}
        ),
    ),
    execution_config=ExecutionConfig(dbt_executable_path=ROOT / ".venvs/dbt-1.12/bin/dbt"),
    operator_args={
        "vars": {"broken": "{{ params.broken }}", "slow_ms": "{{ params.slow_ms }}"},
        "retries": 1,
        "retry_delay": timedelta(seconds=1),
    },
    params={"broken": False, "slow_ms": 0},
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,  # its runs build the same tables
)
