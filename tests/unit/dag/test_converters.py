"""What an author's converters are asked for, are told, and may return."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.airflow.compat import DAG, BaseOperator, TaskGroup
from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.constants import (
    DbtResourceType,
    SeedRenderingBehavior,
    SourceRenderingBehavior,
    TestBehavior,
    TestIndirectSelection,
)
from cosmos_async.dag.converters import by_kind
from cosmos_async.exceptions import ConfigError
from cosmos_async.operators.node import DbtSourceAsyncOperator, DbtTestAsyncOperator

MakeDag = Callable[..., DAG]
SOURCE, EXPOSURE = "source.corner_shop.till.orders", "exposure.corner_shop.board"
STAGED = "test.corner_shop.every_order_was_staged.86529e793a"
RELATIONSHIPS = "test.corner_shop.relationships_orders_customer_id__id__ref_customers_.4282b0c525"


class Asked:
    """A converter that makes a task of each node and remembers for what it was asked."""

    def __init__(self, leaves_out: Any = ()) -> None:
        self.calls: list[dict[str, Any]] = []
        self.leaves_out = leaves_out

    def __call__(self, **kwargs: Any) -> Any:
        self.calls.append(kwargs)
        if kwargs["node"] is not None and kwargs["node"].name in self.leaves_out:
            return None
        return BaseOperator(
            task_id=f"{kwargs['task_id']}_c", dag=kwargs["dag"], task_group=kwargs["task_group"]
        )

    @property
    def asked(self) -> set[tuple[Any, str]]:
        """The nodes and the ids that their tasks would have."""
        return {
            (call["node"] and call["node"].unique_id, _full(call["task_group"], call["task_id"]))
            for call in self.calls
        }


def _full(group: TaskGroup | None, task_id: str) -> str:
    return group.child_id(task_id) if group is not None else task_id


@pytest.fixture
def with_exposure(shop: Path, manifest: dict[str, Any], tmp_path: Path) -> ProjectConfig:
    """The project with a dashboard on orders, customers and a source."""
    manifest["exposures"] = {
        EXPOSURE: {
            "resource_type": "exposure",
            "package_name": "corner_shop",
            "original_file_path": "models/board.yml",
            "depends_on": {"nodes": ["model.corner_shop.orders", "model.corner_shop.customers", SOURCE]},
            "tags": ["weekly"],
            "config": {"enabled": True, "meta": {"cosmos": {"url": "https://board"}}},
        }
    }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    return ProjectConfig(shop, manifest_path=path)


# -- for what a converter is asked ------------------------------------------------------------------------------------


def test_a_converter_of_tests_makes_each_test_task(make_dag: MakeDag) -> None:
    """As in Cosmos it is given the node that is tested; a test with a task of its own is given itself."""
    convert = Asked()
    dag = make_dag(RenderConfig(node_converters={DbtResourceType.TEST: convert}))

    assert ("model.corner_shop.orders", "orders.test") in convert.asked
    assert ("seed.corner_shop.raw_orders", "raw_orders.test") in convert.asked
    assert (SOURCE, "till_orders.test") in convert.asked
    assert (RELATIONSHIPS, "relationships_orders_customer_id__id__ref_customers__test") in convert.asked
    assert not any(isinstance(task, DbtTestAsyncOperator) for task in dag.tasks)
    assert dag.get_task("orders.test_c").upstream_task_ids == {"orders.run"}
    assert "orders.test_c" in dag.get_task("prices_v1_run").upstream_task_ids
    assert dag.get_task("till_orders.test_c").downstream_task_ids == {"stg_orders.run"}


def test_a_converter_of_tests_is_given_a_detached_test_itself(make_dag: MakeDag) -> None:
    """Cosmos gives it whichever node came last."""
    convert = Asked()
    make_dag(RenderConfig(node_converters={"test": convert}, should_detach_multiple_parents_tests=True))

    assert (STAGED, "every_order_was_staged_test") in convert.asked
    detached = convert.calls[0]["detached_from_parent"]
    assert STAGED in {test.unique_id for test in detached["model.corner_shop.orders"]}


def test_the_task_of_all_tests_belongs_to_no_node(make_dag: MakeDag) -> None:
    """With AFTER_ALL a converter of tests is asked once."""
    convert = Asked()
    render = RenderConfig(test_behavior=TestBehavior.AFTER_ALL, node_converters={"test": convert})
    dag = make_dag(render)

    assert convert.asked == {(None, "shop_test")}
    assert "order_history_run" in dag.get_task("shop_test_c").upstream_task_ids
    assert dag.get_task("shop_test_c").downstream_task_ids == {"dbt_results_async", "dbt_teardown_async"}


def test_a_converter_may_leave_tests_out(make_dag: MakeDag) -> None:
    """Their nodes' children then wait for the nodes alone."""
    dag = make_dag(RenderConfig(node_converters={"test": lambda **kwargs: None}))

    assert not any("test" in task_id for task_id in dag.task_ids)
    assert dag.get_task("orders.run").downstream_task_ids >= {"prices_v1_run", "order_history.run"}


def test_a_node_and_its_tests_may_both_be_left_out(make_dag: MakeDag) -> None:
    """No empty group stays behind."""
    render = RenderConfig(
        node_converters={"model": Asked(["int_orders"]), "test": Asked(["int_orders"])},
        node_conversion_by_task_group=False,
    )
    dag = make_dag(render)

    assert "int_orders" not in dag.task_group.children
    assert "stg_orders.test_c" in dag.get_task("orders.run_c").upstream_task_ids


def test_a_converter_of_sources_is_asked_though_sources_are_not_rendered(make_dag: MakeDag) -> None:
    """As in Cosmos, whose documentation has it as the example; the source's tests stay."""
    convert = Asked()
    dag = make_dag(RenderConfig(node_converters={DbtResourceType.SOURCE: convert}))

    assert convert.asked == {(SOURCE, "till_orders_source")}
    assert dag.get_task("till_orders_source_c").upstream_task_ids == {"dbt_setup_async"}
    assert dag.get_task("till_orders_source_c").downstream_task_ids == {"till_orders.test"}
    assert "till_orders.test" in dag.get_task("stg_orders.run").upstream_task_ids


@pytest.mark.parametrize("by_group", [True, False])
def test_a_converter_of_sources_replaces_the_measure_of_freshness(make_dag: MakeDag, by_group: bool) -> None:
    """Setup then plans no freshness that nobody would measure."""
    convert = Asked()
    render = RenderConfig(
        node_converters={"source": convert},
        source_rendering_behavior=SourceRenderingBehavior.ALL,
        node_conversion_by_task_group=by_group,
    )
    dag = make_dag(render)

    assert convert.asked == {(SOURCE, "till_orders.source")}
    assert dag.get_task("till_orders.test").upstream_task_ids == {"till_orders.source_c"}
    assert dag.get_task("dbt_setup_async").sources == ()


def test_a_source_that_is_left_out_has_its_tests_still(make_dag: MakeDag) -> None:
    """They are dbt's, and hold back what reads the source."""
    dag = make_dag(RenderConfig(node_converters={"source": lambda **kwargs: None}))

    assert dag.get_task("till_orders.test").upstream_task_ids == {"dbt_setup_async"}


def test_our_own_operator_measures_freshness_that_setup_plans(make_dag: MakeDag) -> None:
    """Whoever makes one for a source has asked for it."""

    def convert(dag: DAG, task_group: Any, task_id: str, node: Any, setup: Any, airflow_args: Any) -> Any:
        return DbtSourceAsyncOperator(
            task_id=task_id,
            dag=dag,
            task_group=task_group,
            unique_id=node.unique_id,
            setup=setup,
            **airflow_args,
        )

    dag = make_dag(
        RenderConfig(node_converters={"source": convert}), operator_args={"retries": 3, "vars": {}}
    )

    assert dag.get_task("till_orders_source").retries == 3
    assert dag.get_task("dbt_setup_async").sources == (SOURCE,)


def test_exposures_become_tasks_by_a_converter_alone(make_dag: MakeDag, with_exposure: ProjectConfig) -> None:
    """They come behind all that they show and its tests, and the end of dbt's run does not wait for them."""
    convert = Asked()
    dag = make_dag(RenderConfig(node_converters={"exposure": convert}), project_config=with_exposure)

    assert convert.asked == {(EXPOSURE, "board_exposure")}
    task = dag.get_task("board_exposure_c")
    assert task.upstream_task_ids == {
        "orders.test",
        "customers.test",
        "relationships_orders_customer_id__id__ref_customers__test",
        "till_orders.test",
    }
    assert task.downstream_task_ids == set()
    assert "board_exposure_c" not in make_dag(project_config=with_exposure).task_ids


def test_an_exposure_may_be_left_out(make_dag: MakeDag, with_exposure: ProjectConfig) -> None:
    """By returning nothing."""
    render = RenderConfig(node_converters={"exposure": lambda **kwargs: None})

    assert EXPOSURE not in make_dag(render, project_config=with_exposure).tasks_map


def test_an_exposure_of_something_else_waits_for_setup(
    make_dag: MakeDag, shop: Path, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """Such as one on metrics."""
    manifest["exposures"] = {
        EXPOSURE: {"resource_type": "exposure", "depends_on": {"nodes": ["metric.corner_shop.sales"]}}
    }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    dag = make_dag(
        RenderConfig(node_converters={"exposure": Asked()}),
        project_config=ProjectConfig(shop, manifest_path=path),
    )

    assert dag.get_task("board_exposure_c").upstream_task_ids == {"dbt_setup_async"}


def test_a_converter_of_seeds_is_asked_though_seeds_are_not_rendered(make_dag: MakeDag) -> None:
    """As in Cosmos."""
    convert = Asked()
    make_dag(
        RenderConfig(
            test_behavior=TestBehavior.NONE,
            seed_rendering_behavior=SeedRenderingBehavior.NONE,
            node_converters={"seed": convert},
        )
    )

    assert ("seed.corner_shop.raw_orders", "raw_orders_seed") in convert.asked


# -- what it is told --------------------------------------------------------------------------------------------------


def test_a_converter_is_told_what_cosmos_tells_it(
    make_dag: MakeDag, shop: Path, manifest_path: Path, profile: ProfileConfig
) -> None:
    """By name, and with Cosmos' names in task_args; it may change its arguments."""
    convert = Asked()
    dag = make_dag(
        RenderConfig(test_behavior=TestBehavior.NONE, node_converters={DbtResourceType.MODEL: convert}),
        project_config=ProjectConfig(
            shop, manifest_path=manifest_path, env_vars={"A": "1"}, install_dbt_deps=False
        ),
        execution_config=ExecutionConfig(dbt_executable_path="/opt/dbt/bin/dbt"),
        operator_args={"retries": 2, "vars": {"day": "{{ ds }}"}, "copy_dbt_packages": True},
    )

    told = convert.calls[0]
    cosmos = (
        "dag task_group dbt_project_name execution_mode task_args test_behavior source_pruning node task_id "
    )
    cosmos += (
        "source_rendering_behavior normalize_task_id normalize_task_display_name enable_owner_inheritance "
    )
    cosmos += "test_indirect_selection on_warning_callback detached_from_parent"
    assert set(told) == {
        *cosmos.split(),
        "setup",
        "render_config",
        "node_conversion_by_task_group",
        "airflow_args",
    }
    assert told["test_indirect_selection"] is TestIndirectSelection.EAGER
    assert (told["dbt_project_name"], told["setup"]) == ("shop", dag.get_task("dbt_setup_async"))
    assert told["task_args"] == {
        "retries": 2,
        "vars": {"day": "{{ ds }}"},
        "copy_dbt_packages": True,
        "project_dir": shop,
        "partial_parse": True,
        "profile_config": profile,
        "emit_datasets": True,
        "env": {"A": "1"},
        "install_deps": False,
        "cache_dir": None,
        "manifest_filepath": manifest_path,
        "dbt_executable_path": "/opt/dbt/bin/dbt",
    }
    assert told["airflow_args"] == {"retries": 2}
    assert told["task_args"] is not convert.calls[1]["task_args"]


def test_a_converter_is_told_only_what_it_takes(make_dag: MakeDag) -> None:
    """One that names its arguments runs here and in Cosmos alike."""

    def convert(dag: DAG, task_group: Any, task_id: str) -> Any:
        return BaseOperator(task_id=task_id, dag=dag, task_group=task_group)

    dag = make_dag(RenderConfig(node_converters={"seed": convert}))

    assert "raw_orders" not in dag.task_group.children


def test_functions_that_name_tasks_see_the_same_node(make_dag: MakeDag) -> None:
    """With Cosmos' attributes, such as a path that can be taken apart."""
    render = RenderConfig(
        test_behavior=TestBehavior.NONE,
        normalize_task_id=lambda node: f"{node.original_file_path.stem}_{node.meta.get('colour', 'plain')}",
        normalize_task_display_name=lambda node: f"{node.file_path.parent.name} {node.name}",
    )

    task = make_dag(render).get_task("orders_plain")

    assert getattr(task, "task_display_name", "marts orders") == "marts orders"  # Airflow 2.8 has only ids


class Foreign(str, Enum):
    """Cosmos' own enum, say."""

    MODEL = "model"
    EXPOSURE = "exposure"


def test_kinds_are_taken_by_their_value() -> None:
    """Strings, ours, or members of Cosmos' enum."""
    assert by_kind({"source": print, Foreign.MODEL: repr, DbtResourceType.TEST: str}) == {
        DbtResourceType.SOURCE: print,
        DbtResourceType.MODEL: repr,
        DbtResourceType.TEST: str,
    }
    assert by_kind(None) == {}


@pytest.mark.parametrize(
    ("converters", "message"),
    [
        ({"analysis": print}, "node_converters for analysis is not supported.*model, snapshot"),
        ({DbtResourceType.UNIT_TEST: print}, "node_converters for unit_test"),
        ({3: print}, "node_converters for 3"),
        ({"model": "convert"}, "node_converters for model is 'convert'.*function"),
    ],
)
def test_what_has_no_tasks_is_named(make_dag: MakeDag, converters: Any, message: str) -> None:
    """Before dbt is asked for anything."""
    with pytest.raises(ConfigError, match=message):
        make_dag(RenderConfig(node_converters=converters))


# -- what it may return -----------------------------------------------------------------------------------------------


def broken(node: Any, **kwargs: Any) -> Any:
    """Stumble over one node."""
    if node.name == "orders":
        raise KeyError("profile")
    return None


def elsewhere(**kwargs: Any) -> Any:
    """Make a task of another DAG."""
    return BaseOperator(task_id="t", dag=DAG("elsewhere", schedule=None))


@pytest.mark.parametrize(
    ("converter", "message"),
    [
        (
            broken,
            r"The converter .*\.broken of RenderConfig.node_converters failed for model\.corner_shop\.orders "
            r"\(models/marts/orders\.sql\): KeyError: 'profile'",
        ),
        (elsewhere, r"\.elsewhere of .* returned for .*'t' of the DAG 'elsewhere', but this DAG is 'shop'"),
        (lambda **kwargs: "a task", r"<lambda> of .* returned 'a task' for .*Return an operator"),
    ],
)
def test_a_mistake_of_a_converter_names_it_and_its_node(
    make_dag: MakeDag, converter: Any, message: str
) -> None:
    """Else Airflow would show a traceback of ours."""
    with pytest.raises(ConfigError, match=message):
        make_dag(RenderConfig(node_converters={DbtResourceType.MODEL: converter}))


def test_a_converter_may_return_a_group(make_dag: MakeDag) -> None:
    """What is in it takes the node's place."""

    def convert(dag: DAG, task_group: Any, node: Any, **kwargs: Any) -> Any:
        group = TaskGroup(node.name, dag=dag, parent_group=task_group or dag.task_group)
        first, last = (BaseOperator(task_id=name, dag=dag, task_group=group) for name in ("load", "check"))
        first >> last
        return group

    dag = make_dag(RenderConfig(node_converters={"seed": convert}))

    assert dag.get_task("raw_orders.load").upstream_task_ids == {"dbt_setup_async"}
    assert "raw_orders.check" in dag.get_task("stg_orders.run").upstream_task_ids


def test_a_converter_may_forget_the_dag(make_dag: MakeDag) -> None:
    """Its task is this DAG's, as where Airflow meets such a task behind another one."""
    dag = make_dag(
        RenderConfig(
            node_converters={"seed": lambda node, **kwargs: BaseOperator(task_id=f"{node.name}_own")}
        )
    )

    assert "raw_orders_own" in dag.get_task("stg_orders.run").upstream_task_ids
    assert dag.get_task("raw_orders_own").upstream_task_ids == {"dbt_setup_async"}
