"""
The shop's dbt project as an Airflow DAG: every model, test, seed and snapshot a task, none of them on a worker.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cosmos_async import DbtDag, ExecutionConfig, ExecutionMode, ProfileConfig, ProjectConfig
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping

HERE = Path(__file__).resolve().parent

shop = DbtDag(
    dag_id="shop",
    project_config=ProjectConfig(HERE.parent / "shop"),
    profile_config=ProfileConfig(
        profile_name="shop",
        target_name="prod",
        profile_mapping=GoogleCloudServiceAccountDictProfileMapping(
            conn_id="google_cloud",
            profile_args={"dataset": "shop"},
        ),
    ),
    execution_config=ExecutionConfig(
        execution_mode=ExecutionMode.AIRFLOW_ASYNC,
        # dbt has an environment of its own; Airflow's has none.
        dbt_executable_path=HERE.parents[2] / ".venvs/dbt-1.12/bin/dbt",
    ),
    operator_args={
        "location": "US",
        "vars": {"day": "{{ params.day }}"},
    },
    params={"day": 1},
    schedule=None,
    start_date=datetime(2026, 3, 1),
    catchup=False,
    tags=["dbt"],
)
