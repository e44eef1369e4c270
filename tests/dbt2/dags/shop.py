"""
The shop's dbt project as an Airflow DAG, with dbt 2; the test says where its copy for dbt 2 is.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from cosmos_async import DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping

shop = DbtDag(
    dag_id="shop",
    project_config=ProjectConfig(os.environ["SHOP_FOR_DBT_2"]),
    profile_config=ProfileConfig(
        profile_name="shop",
        target_name="prod",
        profile_mapping=GoogleCloudServiceAccountDictProfileMapping(
            conn_id="google_cloud",
            profile_args={"dataset": "airflow_ours"},
        ),
    ),
    execution_config=ExecutionConfig(
        dbt_executable_path=Path(__file__).resolve().parents[3] / ".venvs/dbt-2/bin/dbt"
    ),
    operator_args={"location": "US", "vars": {"day": "{{ params.day }}"}},
    params={"day": 1},
    schedule=None,
    start_date=datetime(2026, 3, 1),
    catchup=False,
)
