"""A DbtTaskGroup in a mapped task group: each instance is a run of its own, and its tasks ask for its own plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cosmos_async import DbtTaskGroup, ProfileConfig, ProjectConfig
from cosmos_async.airflow.compat import DAG, TaskGroup
from cosmos_async.operators import (
    DbtRunAsyncOperator,
    ResultsAsyncOperator,
    SetupAsyncOperator,
    TeardownAsyncOperator,
)
from cosmos_async.operators.task_mapping import is_mapped_with

try:
    from airflow.sdk import task_group
except ImportError:  # removable when Airflow 2.11 is dropped
    from airflow.decorators import task_group


@pytest.fixture
def setup_arguments(shop: Path, profile: ProfileConfig) -> dict[str, Any]:
    """What a setup task needs."""
    return {"project_config": ProjectConfig(shop), "profile_config": profile}


def test_the_tasks_of_a_mapped_group_belong_to_its_setup(setup_arguments: dict[str, Any]) -> None:
    """Also deeper within the group, where folders and tested models have groups of their own."""
    made: list[Any] = []
    with DAG("shop", schedule=None):

        @task_group
        def one_row(day: str) -> None:
            setup = SetupAsyncOperator(task_id="plan", vars={"day": day}, **setup_arguments)
            with TaskGroup("orders"):
                node = DbtRunAsyncOperator(task_id="run", unique_id="model.shop.orders", setup=setup)
            results = ResultsAsyncOperator(task_id="results", setup=setup)
            teardown = TeardownAsyncOperator(task_id="teardown", setup=setup)
            made.extend([node, results, teardown])
            setup >> node >> results >> teardown

        one_row.expand(day=["1", "2"])

    assert [is_mapped_with(task, "one_row.plan") for task in made] == [True, True, True]
    assert made[0].trigger_kwargs()["mapped_with_setup"] is True
    assert made[2].trigger_kwargs()["mapped_with_setup"] is True


def test_a_task_that_is_mapped_alone_shares_its_setup(setup_arguments: dict[str, Any]) -> None:
    """Setup is outside of the mapped group, so there is one plan for all instances."""
    made: list[Any] = []
    with DAG("shop", schedule=None):
        setup = SetupAsyncOperator(task_id="plan", **setup_arguments)

        @task_group
        def one_row(day: str) -> None:
            made.append(DbtRunAsyncOperator(task_id="run", unique_id="model.shop.orders", setup=setup))

        one_row.expand(day=["1", "2"])

    assert is_mapped_with(made[0], "plan") is False
    assert made[0].trigger_kwargs()["mapped_with_setup"] is False


def test_a_task_outside_of_all_groups_is_not_mapped(setup_arguments: dict[str, Any]) -> None:
    """The usual case."""
    with DAG("shop", schedule=None):
        setup = SetupAsyncOperator(task_id="plan", **setup_arguments)
        node = DbtRunAsyncOperator(task_id="run", unique_id="model.shop.orders", setup=setup)

    assert is_mapped_with(node, "plan") is False


@pytest.mark.parametrize(
    ("version", "mapped", "rule"),
    [
        ((2, 11), False, "none_failed_min_one_success"),
        ((2, 11), True, "none_failed"),
        ((3, 2), True, "none_failed"),
        ((3, 3), True, "none_failed_min_one_success"),
    ],
)
def test_the_end_of_a_mapped_run_is_not_skipped_before_it_has_begun(
    shop: Path,
    manifest_path: Path,
    profile: ProfileConfig,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int],
    mapped: bool,
    rule: str,
) -> None:
    """Airflow before 3.3 did so by the rule that holds elsewhere, and with it what comes after the group was skipped."""
    monkeypatch.setattr("cosmos_async.dag.tasks.AIRFLOW_VERSION", version)

    def group() -> None:
        DbtTaskGroup(
            group_id="dbt",
            project_config=ProjectConfig(shop, manifest_path=manifest_path),
            profile_config=profile,
        )

    with DAG("shop", schedule=None) as dag:
        if mapped:

            @task_group
            def one_row(day: str) -> None:
                group()

            one_row.expand(day=["1", "2"])
        else:
            group()

    (done,) = [task for task in dag.tasks if task.task_id.endswith("dbt_done_async")]
    assert done.trigger_rule == rule
