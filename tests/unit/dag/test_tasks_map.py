"""What an author who goes on with a rendered DAG finds, and that its additions are honoured."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.airflow.compat import AIRFLOW_VERSION, DAG, BaseOperator, TaskGroup
from cosmos_async.config import ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.constants import DbtResourceType, SourceRenderingBehavior, TestBehavior
from cosmos_async.dag.dbt_dag import DbtTaskGroup
from cosmos_async.operators.task_graph import task_graph

MakeDag = Callable[..., Any]
ORDERS, SOURCE = "model.corner_shop.orders", "source.corner_shop.till.orders"
RELATIONSHIPS = "test.corner_shop.relationships_orders_customer_id__id__ref_customers_.4282b0c525"
AROUND = {"dbt_setup_async", "dbt_results_async", "dbt_done_async", "dbt_teardown_async"}


def ids(tasks_map: Any) -> dict[str, str]:
    return {key: task.node_id for key, task in tasks_map.items()}


def test_tasks_are_found_by_their_nodes(make_dag: MakeDag) -> None:
    """A node with tests has a group, as in Cosmos; what is around the nodes stands under its id."""
    tasks = make_dag().tasks_map

    assert isinstance(tasks[ORDERS], TaskGroup)
    found = ids(tasks)
    assert found[ORDERS] == "orders"
    assert found["model.corner_shop.prices.v1"] == "prices_v1_run"
    assert found[SOURCE] == "till_orders"
    assert found[RELATIONSHIPS] == "relationships_orders_customer_id__id__ref_customers__test"
    assert {key: found[key] for key in AROUND} == {key: key for key in AROUND}
    assert "test.corner_shop.unique_raw_orders_id.f386da26c2" not in tasks


def test_the_task_of_all_tests_is_found_under_its_id(make_dag: MakeDag) -> None:
    """As in Cosmos."""
    assert (
        ids(make_dag(RenderConfig(test_behavior=TestBehavior.AFTER_ALL)).tasks_map)["shop_test"]
        == "shop_test"
    )


@pytest.mark.parametrize(
    ("behavior", "rendering", "node_id"),
    [
        (TestBehavior.AFTER_EACH, SourceRenderingBehavior.ALL, "till_orders"),
        (TestBehavior.BUILD, SourceRenderingBehavior.ALL, "till_orders_source"),
        (TestBehavior.BUILD, SourceRenderingBehavior.NONE, "till_orders_test"),
    ],
)
def test_a_source_is_found_by_what_comes_first_of_it(
    make_dag: MakeDag, behavior: TestBehavior, rendering: SourceRenderingBehavior, node_id: str
) -> None:
    """Its group, its freshness, or its tests."""
    render = RenderConfig(test_behavior=behavior, source_rendering_behavior=rendering)

    assert ids(make_dag(render).tasks_map)[SOURCE] == node_id


def test_a_node_without_a_task_is_named(make_dag: MakeDag) -> None:
    """With what may be the reason."""
    with pytest.raises(KeyError, match=r"model\.corner_shop\.nobody has no task here: it is not selected"):
        make_dag().tasks_map["model.corner_shop.nobody"]


def test_a_task_group_has_its_own(shop: Path, manifest_path: Path, profile: ProfileConfig) -> None:
    """With the same keys, whatever the ids begin with."""
    with DAG("one", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        group = DbtTaskGroup(
            group_id="dbt",
            project_config=ProjectConfig(shop, manifest_path=manifest_path),
            profile_config=profile,
        )

    assert group.tasks_map["dbt_setup_async"] is dag.get_task("dbt.dbt_setup_async")
    assert ids(group.tasks_map)[ORDERS] == "dbt.orders"
    assert ORDERS in group.dbt_graph.filtered_nodes


def test_an_author_can_go_through_the_nodes(make_dag: MakeDag) -> None:
    """The way of Cosmos' documentation."""
    dag = make_dag()
    for unique_id, node in dag.dbt_graph.filtered_nodes.items():
        if node.resource_type is DbtResourceType.MODEL and "mart" in node.tags:
            dag.tasks_map[unique_id] >> BaseOperator(task_id=f"tell_{node.name}", dag=dag)

    assert dag.get_task("tell_orders").upstream_task_ids == {"orders.test"}
    assert "tell_stg_orders" not in dag.task_ids


def test_a_sensor_before_a_model_is_waited_for(make_dag: MakeDag, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Airflow; and nobody in the triggerer begins the model, or what comes after it, ahead of the sensor."""
    monkeypatch.setattr("cosmos_async.operators.deferred.task_listeners", list)
    dag = make_dag()
    before = task_graph(dag.get_task("dbt_setup_async")).tasks
    sensor = BaseOperator(task_id="sensor", dag=dag)
    sensor >> dag.tasks_map[ORDERS]

    after = task_graph(dag.get_task("dbt_setup_async")).tasks

    assert "sensor" in dag.get_task("orders.run").upstream_task_ids
    assert dag.get_task("orders.run").trigger_rule == "all_success"
    assert before["orders.run"].above == ("int_orders.test",)
    assert after["orders.run"].above is None
    assert after["orders.test"].above == ("orders.run",)
    assert after["stg_orders.run"] == before["stg_orders.run"]


def test_nothing_of_it_is_serialized(make_dag: MakeDag, manifest: dict[str, Any]) -> None:
    """What the scheduler reads is as small as ever."""
    from airflow.serialization import serialized_objects

    # Airflow 3.3 calls it so; the older name is removable when 3.2 is dropped.
    serializer = getattr(serialized_objects, "DagSerialization", None) or serialized_objects.SerializedDAG
    # Airflow 2.10 and 2.11 ask their database what an alias has led to so far.
    dag = make_dag(RenderConfig(emit_datasets=not (2, 10) <= AIRFLOW_VERSION < (3, 0)))
    with_it = serializer.to_dict(dag)
    del dag.tasks_map, dag.dbt_graph

    assert with_it == serializer.to_dict(dag)


def test_a_copy_of_a_dag_has_the_copied_tasks(make_dag: MakeDag) -> None:
    """Airflow copies DAGs; the project's nodes are not copied along."""
    dag = make_dag()

    copied = copy.deepcopy(dag)

    assert copied.tasks_map["dbt_setup_async"] is copied.get_task("dbt_setup_async")
    assert copied.dbt_graph is dag.dbt_graph
