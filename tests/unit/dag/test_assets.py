"""Which nodes of a DAG are announced as assets, and what the DAG says of it beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.airflow.assets import HAS_ALIASES
from cosmos_async.airflow.compat import AIRFLOW_VERSION, DAG
from cosmos_async.config import ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.constants import TestBehavior
from cosmos_async.dag.dbt_dag import DbtTaskGroup
from cosmos_async.exceptions import ConfigError

MakeDag = Callable[..., DAG]
RESULTS = "dbt_results_async"


def test_models_seeds_and_snapshots_are_announced(make_dag: MakeDag, manifest: dict[str, Any]) -> None:
    """Each under its task's alias, as in Cosmos; ephemeral models and functions build no table."""
    aliases = make_dag().get_task(RESULTS).aliases

    assert set(aliases) == {
        unique_id
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] in ("model", "seed", "snapshot")
        and node["config"]["materialized"] != "ephemeral"
    }
    assert aliases["model.corner_shop.orders"] == "shop__orders__run"
    assert aliases["seed.corner_shop.raw_orders"] == "shop__raw_orders__seed"
    assert aliases["snapshot.corner_shop.orders_over_time"] == "shop__orders_over_time__snapshot"


def test_only_the_results_task_has_them_as_outlets(make_dag: MakeDag) -> None:
    """So Airflow shows the DAG as their producer, and nodes need no worker for them."""
    dag = make_dag()
    results = dag.get_task(RESULTS)

    outlets = [getattr(outlet, "name", None) for outlet in results.outlets]
    assert outlets == (list(results.aliases.values()) if HAS_ALIASES else [])
    assert [task.task_id for task in dag.tasks if task.outlets and task is not results] == []


def test_nothing_is_announced_where_nobody_wants_it(make_dag: MakeDag) -> None:
    """``emit_datasets`` is of all nodes in RenderConfig."""
    results = make_dag(RenderConfig(emit_datasets=False)).get_task(RESULTS)

    assert (results.aliases, results.outlets) == ({}, [])


def test_a_nodes_meta_says_whether_it_is_announced(
    make_dag: MakeDag, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """Its test task is given the same argument, which means nothing there."""
    quiet, behavior = "model.corner_shop.orders", TestBehavior.AFTER_EACH
    own = {"cosmos": {"operator_kwargs": {"emit_datasets": False}}}
    manifest["nodes"][quiet].setdefault("config", {})["meta"] = own
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    project = ProjectConfig(Path(__file__).parents[1] / "shop", manifest_path=path)

    every = make_dag(RenderConfig(test_behavior=behavior)).get_task(RESULTS).aliases
    found = make_dag(RenderConfig(test_behavior=behavior), project_config=project).get_task(RESULTS).aliases

    assert set(every) - set(found) == {quiet}


@pytest.mark.parametrize("behavior", list(TestBehavior), ids=lambda behavior: behavior.name)
def test_where_one_task_builds_and_tests_a_node_both_count(make_dag: MakeDag, behavior: TestBehavior) -> None:
    """A task that fails announces nothing; elsewhere a model is announced before anything tests it."""
    results = make_dag(RenderConfig(test_behavior=behavior)).get_task(RESULTS)

    assert results.tested is (behavior is TestBehavior.BUILD)
    assert "model.corner_shop.orders" in results.aliases


def test_each_group_announces_its_own_nodes(shop: Path, manifest_path: Path, profile: ProfileConfig) -> None:
    """Two projects of one DAG have a results task each."""
    with DAG("two", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        for group_id in ("first", "second"):
            DbtTaskGroup(
                group_id=group_id,
                project_config=ProjectConfig(shop, manifest_path=manifest_path),
                profile_config=profile,
                render_config=RenderConfig(test_behavior=TestBehavior.NONE),
            )

    for group_id in ("first", "second"):
        aliases = dag.get_task(f"{group_id}.{RESULTS}").aliases
        assert aliases["model.corner_shop.orders"] == f"two__{group_id}__orders_run"


def test_an_authors_outlets_are_those_of_nodes_and_tests(make_dag: MakeDag) -> None:
    """They are beside what is announced."""
    if AIRFLOW_VERSION >= (3, 0):
        from airflow.sdk import Asset
    else:
        from airflow.datasets import Dataset as Asset  # type: ignore[no-redef]
    own = Asset("x-own://orders")

    dag = make_dag(operator_args={"outlets": [own]})

    assert dag.get_task("orders.run").outlets == [own]
    assert own not in dag.get_task(RESULTS).outlets


@pytest.mark.skipif(AIRFLOW_VERSION < (3, 0), reason="Airflow 2 has another way")
def test_airflow_3_needs_aliases(make_dag: MakeDag, monkeypatch: pytest.MonkeyPatch) -> None:
    """The DAG file's import error says so; without events there is no need."""
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__ENABLE_DATASET_ALIAS", "False")

    with pytest.raises(ConfigError, match="enable_dataset_alias"):
        make_dag()
    make_dag(RenderConfig(emit_datasets=False))
