"""
A dbt run per row: a DbtTaskGroup in a mapped task group, whose argument becomes dbt's vars.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

try:
    from airflow.sdk import DAG, task, task_group
except ImportError:  # removable when Airflow 2.11 is dropped
    from airflow import DAG
    from airflow.decorators import task, task_group

from cosmos_async import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping

ROOT = Path(__file__).resolve().parents[3]

with DAG(dag_id="mapped", schedule=None, start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1):

    @task
    def rows() -> list[dict[str, object]]:
        """Return what may have been read from a table."""
        return [{"city": "rome", "orders": 3}, {"city": "oslo", "orders": 5}]

    @task_group
    def one_row(row: dict[str, object]) -> None:
        """Run the project for one row."""
        DbtTaskGroup(
            group_id="dbt",
            project_config=ProjectConfig(ROOT / "tests/projects/rows"),
            profile_config=ProfileConfig(
                profile_name="rows",
                target_name="prod",
                profile_mapping=GoogleCloudServiceAccountDictProfileMapping(
                    conn_id="google_cloud", profile_args={"dataset": "rows"}
                ),
            ),
            execution_config=ExecutionConfig(dbt_executable_path=ROOT / ".venvs/dbt-1.12/bin/dbt"),
            operator_args={"vars": row},
        )

    one_row.expand(row=rows())
