"""Sources as tasks: Cosmos' ids, and what reads a source waits for its freshness."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.airflow.compat import DAG
from cosmos_async.config import ProjectConfig, RenderConfig
from cosmos_async.constants import SourceRenderingBehavior, TestBehavior
from cosmos_async.dag.sources import rendered_sources
from cosmos_async.exceptions import PlanNotFound
from cosmos_async.graph.document import graph_from_json, graph_to_json
from cosmos_async.graph.manifest import graph_of
from cosmos_async.plan.model import IndexEntry, Level
from cosmos_async.triggers.execution.task_nodes import nodes_of

ORDERS = "source.corner_shop.till.orders"
STOCK = "source.corner_shop.till.stock"
BARE = "source.corner_shop.till.bare"

WITH = SourceRenderingBehavior.WITH_TESTS_OR_FRESHNESS
ALL = SourceRenderingBehavior.ALL


@pytest.fixture
def sources(manifest: dict[str, Any]) -> dict[str, Any]:
    """The shop's manifest: ``orders`` is tested and fresh, ``stock`` is fresh, ``bare`` is neither, and nothing reads these."""
    for unique_id, freshness in ((STOCK, {"warn_after": {"count": 6, "period": "hour"}}), (BARE, None)):
        source = copy.deepcopy(manifest["sources"][ORDERS])
        unset = {"count": None, "period": None}
        source["freshness"] = freshness or {"warn_after": unset, "error_after": unset, "filter": None}
        manifest["sources"][unique_id] = source
    manifest["sources"][ORDERS]["freshness"] = {"error_after": {"count": 1, "period": "day"}}
    return manifest


@pytest.fixture
def rendered(
    make_dag: Callable[..., DAG], sources: dict[str, Any], shop: Path, tmp_path: Path
) -> Callable[..., DAG]:
    """Render the manifest with sources."""
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(sources))

    def render(behavior: SourceRenderingBehavior, **kwargs: Any) -> DAG:
        config = RenderConfig(source_rendering_behavior=behavior, **kwargs)
        return make_dag(config, project_config=ProjectConfig(shop, manifest_path=path))

    return render


def of_sources(dag: DAG) -> dict[str, str]:
    """Return the kind of each task of the sources."""
    return {task_id: type(dag.get_task(task_id)).__name__ for task_id in dag.task_ids if "till_" in task_id}


@pytest.mark.parametrize(
    ("behavior", "expected"),
    [
        (SourceRenderingBehavior.NONE, {"till_orders.test"}),
        (WITH, {"till_orders.source", "till_orders.test", "till_stock_source"}),
        (ALL, {"till_orders.source", "till_orders.test", "till_stock_source", "till_bare_source"}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_sources_are_rendered_as_in_cosmos(
    rendered: Callable[..., DAG], behavior: SourceRenderingBehavior, expected: set[str]
) -> None:
    """By default they are not, as ``dbt build`` does not look at their freshness."""
    assert set(of_sources(rendered(behavior))) == expected


def test_a_source_without_freshness_has_an_empty_task(rendered: Callable[..., DAG]) -> None:
    """And setup is told of those alone that have one."""
    dag = rendered(ALL)
    kinds = of_sources(dag)

    assert kinds["till_bare_source"] == "EmptyOperator"
    assert kinds["till_stock_source"] == kinds["till_orders.source"] == "DbtSourceAsyncOperator"
    assert set(dag.get_task("dbt_setup_async").sources) == {ORDERS, STOCK}


def test_what_reads_a_source_waits_for_its_freshness_and_its_tests(rendered: Callable[..., DAG]) -> None:
    """In this order, as in Cosmos."""
    dag = rendered(WITH)
    task = dag.get_task("till_orders.source")

    assert (task.work, task.unique_id) == ("freshness", ORDERS)
    assert task.upstream_task_ids == {"dbt_setup_async"}
    assert task.downstream_task_ids == {"till_orders.test"}
    assert dag.get_task("till_orders.test").downstream_task_ids == {"stg_orders.run"}


@pytest.mark.parametrize("behavior", [TestBehavior.NONE, TestBehavior.AFTER_ALL, TestBehavior.BUILD])
def test_freshness_needs_no_group_of_tests(rendered: Callable[..., DAG], behavior: TestBehavior) -> None:
    """A source is measured where its tests are elsewhere, or nowhere."""
    dag = rendered(WITH, test_behavior=behavior)
    build = behavior is TestBehavior.BUILD
    behind = {"till_orders_test"} if build else {"stg_orders_run"}

    assert dag.get_task("till_orders_source").downstream_task_ids == behind


def test_a_source_for_which_nobody_waits_fails_the_run_all_the_same(rendered: Callable[..., DAG]) -> None:
    """The results wait for it."""
    assert "dbt_results_async" in rendered(WITH).get_task("till_stock_source").downstream_task_ids


def test_a_source_stands_in_its_files_folder(rendered: Callable[..., DAG]) -> None:
    """As in Cosmos, where nodes are grouped by folder."""
    kinds = of_sources(rendered(WITH, group_nodes_by_folder=True))

    assert set(kinds) == {"models.till_orders.source", "models.till_orders.test", "models.till_stock_source"}


def test_pruning_leaves_out_what_nothing_reads(rendered: Callable[..., DAG]) -> None:
    """Cosmos' ``source_pruning``."""
    assert set(of_sources(rendered(ALL, source_pruning=True))) == {"till_orders.source", "till_orders.test"}


def test_a_source_that_is_not_selected_has_no_task(sources: dict[str, Any]) -> None:
    """As in Cosmos, ``select=["stg_orders"]`` leaves it out and ``+stg_orders`` does not."""
    config = RenderConfig(source_rendering_behavior=ALL)
    model = "model.corner_shop.stg_orders"

    assert rendered_sources(graph_of(sources, {model}), config) == {}
    assert set(rendered_sources(graph_of(sources, {model, ORDERS}), config)) == {ORDERS}


def test_sources_survive_being_kept(sources: dict[str, Any]) -> None:
    """As JSON text, every field of them."""
    graph = graph_of(sources)

    assert graph.sources[ORDERS].is_read
    assert graph.sources[ORDERS].holds_back == ("model.corner_shop.stg_orders",)
    assert graph_from_json(json.loads(json.dumps(graph_to_json(graph)))) == graph


def test_a_source_that_setup_did_not_plan_is_not_passed_by() -> None:
    """It has tests, but its freshness would not be measured."""
    test = IndexEntry("t", "test", Level.STATIC, "", "", owner=ORDERS)
    index = SimpleNamespace(nodes={"test.t": test}, tests_of=lambda _: ["test.t"], unit_tests_of=lambda _: [])

    with pytest.raises(PlanNotFound, match="sources="):
        nodes_of(index, "freshness", ORDERS)  # type: ignore[arg-type]
    index.nodes[ORDERS] = IndexEntry("till.orders", "source", Level.DBT, "", "")
    assert nodes_of(index, "freshness", ORDERS) == [[ORDERS]]  # type: ignore[arg-type]
