"""What another task returns may be dbt's variables and environment, as in Cosmos' examples."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.airflow.compat import DAG
from cosmos_async.config import ProfileConfig, ProjectConfig
from cosmos_async.dag.dbt_dag import DbtTaskGroup
from cosmos_async.exceptions import ConfigError

try:
    from airflow.sdk import task
except ImportError:  # removable when Airflow 2.11 is dropped
    from airflow.decorators import task  # type: ignore[no-redef]


def group(shop: Path, manifest_path: Path, profile: ProfileConfig, **kwargs: Any) -> Any:
    """Return setup's task of a group whose project is told what a task returns."""
    operator_args = kwargs.pop("operator_args", {})
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1)) as dag:

        @task
        def told() -> dict[str, str]:
            return {"DAY": "1"}

        given = {name: told() for name in kwargs}
        DbtTaskGroup(
            "dbt",
            project_config=ProjectConfig(shop, manifest_path=manifest_path, **given),
            profile_config=profile,
            operator_args={
                name: told() if value == "told" else value for name, value in operator_args.items()
            },
        )
    return dag.get_task("dbt.dbt_setup_async")


@pytest.mark.parametrize(("name", "option"), [("env_vars", "env"), ("dbt_vars", "vars")])
def test_what_a_task_returns_is_for_the_run_alone(
    shop: Path, manifest_path: Path, profile: ProfileConfig, name: str, option: str
) -> None:
    """It is not known when the DAG is made; setup waits for the task."""
    setup = group(shop, manifest_path, profile, **{name: "told"})

    assert getattr(setup.dbt.project_config, name) is None
    assert getattr(setup.dbt, option) is not None
    assert setup.upstream_task_ids == {"told"}


def test_setup_waits_for_the_task_that_says_the_environment(
    shop: Path, manifest_path: Path, profile: ProfileConfig
) -> None:
    """Although the environment is no template field, as it may hold secrets."""
    setup = group(shop, manifest_path, profile, operator_args={"env": "told"})

    assert setup.upstream_task_ids == {"told"}


def test_two_tasks_cannot_say_the_same(shop: Path, manifest_path: Path, profile: ProfileConfig) -> None:
    """One of them would be forgotten."""
    with pytest.raises(
        ConfigError,
        match=r"operator_args has vars beside ProjectConfig\.dbt_vars, which another task returns",
    ):
        group(shop, manifest_path, profile, dbt_vars="told", operator_args={"vars": {"a": 1}})
