"""
A plain DAG whose tasks are written by hand, one of them of a user's own class, one of a model that is planned late.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from cosmos_async import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.constants import TestBehavior
from cosmos_async.operators import (
    DbtRunAsyncOperator,
    DbtSeedAsyncOperator,
    ResultsAsyncOperator,
    SetupAsyncOperator,
    TeardownAsyncOperator,
)
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping

ROOT = Path(__file__).resolve().parents[3]


class AnnouncedRun(DbtRunAsyncOperator):
    """A user's own operator: it does something on a worker before the model is built."""

    def execute(self, context: Any) -> Any:
        """Say what is coming, and hand over."""
        self.log.info("somebody wants to know that %s is next", self.unique_id)
        return super().execute(context)


with DAG(dag_id="handmade", schedule=None, start_date=datetime(2026, 1, 1), catchup=False):
    plan = SetupAsyncOperator(
        task_id="plan",
        project_config=ProjectConfig(ROOT / "tests/projects/kitchen"),
        profile_config=ProfileConfig(
            profile_name="kitchen",
            target_name="dev",
            profile_mapping=GoogleCloudServiceAccountDictProfileMapping(
                conn_id="google_cloud", profile_args={"dataset": "handmade"}
            ),
        ),
        execution_config=ExecutionConfig(dbt_executable_path=ROOT / ".venvs/dbt-1.12/bin/dbt"),
        select=["+payment_methods"],
        test_behavior=TestBehavior.NONE,
        location="US",
    )
    seed = DbtSeedAsyncOperator(task_id="payments_seed", unique_id="seed.kitchen.raw_payments", setup=plan)
    view = AnnouncedRun(task_id="payments", unique_id="model.kitchen.stg_payments", setup=plan)
    # Its columns are the rows of the view above, so it cannot be planned before that one is built.
    pivot = DbtRunAsyncOperator(task_id="methods", unique_id="model.kitchen.payment_methods", setup=plan)
    results = ResultsAsyncOperator(task_id="results", setup=plan)
    teardown = TeardownAsyncOperator(task_id="teardown", setup=plan)

    plan.as_setup() >> seed >> view >> pivot >> results >> teardown
    results.as_teardown(setups=plan)
    teardown.as_teardown(setups=plan)
