"""Tasks, groups and edges: Cosmos' ids, dbt's order."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cosmos_async.airflow.compat import AIRFLOW_VERSION, DAG, BaseOperator, TaskGroup
from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.constants import (
    DbtResourceType,
    SeedRenderingBehavior,
    SourceRenderingBehavior,
    TestBehavior,
)
from cosmos_async.dag.dbt_dag import DbtDag, DbtTaskGroup
from cosmos_async.dag.edges import Placed, connect_placed
from cosmos_async.exceptions import ConfigError, ProfileError, ProjectError

MakeDag = Callable[..., DAG]
COSMOS = json.loads((Path(__file__).parent / "cosmos_task_ids.json").read_text())


def above(dag: DAG, task_id: str) -> set[str]:
    """Return every task that must be done before *task_id*."""
    return {task.task_id for task in dag.get_task(task_id).get_flat_relatives(upstream=True)}


RELATIONSHIPS = "relationships_orders_customer_id__id__ref_customers__test"
COMPLETE = "history_is_complete_test"

#: What dbt's order needs beside Cosmos' tasks, by behavior: tests of sources, and of nodes of which none lies below all
#: others (Cosmos has these behind each of their nodes, several times, unless they are detached).
EXTRA = {
    TestBehavior.AFTER_EACH: {"till_orders.test", RELATIONSHIPS, COMPLETE},
    TestBehavior.BUILD: {"till_orders_test", RELATIONSHIPS, COMPLETE},
}


@pytest.mark.parametrize("detach", [False, True], ids=["with their nodes", "detached"])
@pytest.mark.parametrize("behavior", list(TestBehavior), ids=lambda behavior: behavior.name)
def test_task_ids_are_those_of_cosmos(make_dag: MakeDag, behavior: TestBehavior, detach: bool) -> None:
    """A migrated DAG keeps its history; new are the tasks at the end and those of tests that dbt's order needs."""
    dag = make_dag(RenderConfig(test_behavior=behavior, should_detach_multiple_parents_tests=detach))

    expected = set(COSMOS[behavior.value + ("+detach" if detach else "")])
    extra = {"dbt_results_async", "dbt_done_async"} | EXTRA.get(behavior, set())
    assert set(dag.task_ids) == expected | extra


@pytest.mark.parametrize("behavior", list(EXTRA), ids=lambda behavior: behavior.name)
def test_the_tests_of_a_source_hold_back_what_reads_it(make_dag: MakeDag, behavior: TestBehavior) -> None:
    """As in ``dbt build``; they need nothing but the plan."""
    dag = make_dag(RenderConfig(test_behavior=behavior))
    build = behavior is TestBehavior.BUILD
    task = dag.get_task("till_orders_test" if build else "till_orders.test")

    assert (task.work, task.unique_id) == ("tests", "source.corner_shop.till.orders")
    assert task.upstream_task_ids == {"dbt_setup_async"}
    assert task.downstream_task_ids == {"stg_orders_model_build" if build else "stg_orders.run"}


def test_a_source_named_like_a_node_gets_another_group(
    shop: Path, manifest: dict[str, Any], profile: ProfileConfig, tmp_path: Path
) -> None:
    """A source ``raw.orders`` beside a seed ``raw_orders`` is no mistake."""
    text = json.dumps(manifest).replace("corner_shop.till.orders", "corner_shop.raw.orders")
    path = tmp_path / "manifest.json"
    path.write_text(text)

    dag = DbtDag(dag_id="d", project_config=ProjectConfig(shop, manifest_path=path), profile_config=profile)

    assert "raw_orders.test" in dag.task_ids
    assert dag.get_task("source_raw_orders.test").unique_id == "source.corner_shop.raw.orders"


def changed(manifest: dict[str, Any], tmp_path: Path, **tests: list[str]) -> Path:
    """Return the path of *manifest* with more tests: their parents by name."""
    for name, parents in tests.items():
        manifest["nodes"][f"test.corner_shop.{name}"] = {
            "resource_type": "test",
            "depends_on": {"nodes": parents},
        }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    return path


def test_tests_that_stand_on_nothing_have_one_task(
    make_dag: MakeDag, shop: Path, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """They need nothing but the plan and hold nothing back, but a failing one fails the run."""
    project = ProjectConfig(shop, manifest_path=changed(manifest, tmp_path, today=[], yesterday=[]))
    dag = make_dag(project_config=project)

    assert "dbt_other_tests_async" not in make_dag().task_ids
    task = dag.get_task("dbt_other_tests_async")
    assert (task.work, task.unique_id) == ("others", None)
    assert task.upstream_task_ids == {"dbt_setup_async"}
    assert task.downstream_task_ids == {"dbt_results_async", "dbt_teardown_async"}


def test_a_test_of_unrelated_nodes_has_a_task_of_its_own(make_dag: MakeDag) -> None:
    """Only what lies below all of them waits for it; the children of one of them need not."""
    dag = make_dag()
    task = dag.get_task(RELATIONSHIPS)

    assert task.upstream_task_ids == {"orders.run", "customers.run"}
    assert task.downstream_task_ids == {"order_history.run"}
    assert RELATIONSHIPS not in above(dag, "prices_v1_run")
    assert dag.get_task(COMPLETE).downstream_task_ids == {"dbt_results_async", "dbt_teardown_async"}


@pytest.mark.parametrize("name", ["my test", "x" * 300, "twice"])
def test_a_test_may_have_any_name(
    make_dag: MakeDag, shop: Path, manifest: dict[str, Any], tmp_path: Path, name: str
) -> None:
    """dbt names singular tests after their files; Airflow allows less, and once only."""
    parents = ["model.corner_shop.customers", "model.corner_shop.stg_orders"]
    manifest["nodes"][f"test.other_package.{name}"] = {
        "resource_type": "test",
        "depends_on": {"nodes": parents},
    }
    project = ProjectConfig(shop, manifest_path=changed(manifest, tmp_path, **{name: parents}))

    dag = make_dag(project_config=project)

    ids = {f"test.{package}.{name}" for package in ("corner_shop", "other_package")}
    found = [task for task in dag.tasks if getattr(task, "unique_id", None) in ids]
    assert len(found) == 2
    assert all(task.upstream_task_ids == {"customers.run", "stg_orders.run"} for task in found)


def with_unit_tests(manifest: dict[str, Any], tmp_path: Path, *models: str) -> Path:
    """Return the path of *manifest* with a unit test for each of *models*."""
    manifest["unit_tests"] = {
        f"unit_test.corner_shop.{model}.u": {"depends_on": {"nodes": [f"model.corner_shop.{model}"]}}
        for model in models
    }
    return changed(manifest, tmp_path)


@pytest.mark.parametrize("behavior", list(EXTRA), ids=lambda behavior: behavior.name)
def test_an_ephemeral_model_with_unit_tests_runs_these(
    make_dag: MakeDag, shop: Path, manifest: dict[str, Any], tmp_path: Path, behavior: TestBehavior
) -> None:
    """Its children wait for them although there is nothing to build."""
    project = ProjectConfig(shop, manifest_path=with_unit_tests(manifest, tmp_path, "int_orders", "orders"))
    dag = make_dag(RenderConfig(test_behavior=behavior), project_config=project)

    if behavior is TestBehavior.BUILD:
        assert dag.get_task("int_orders_model_build").work == "build"
    else:
        assert dag.get_task("int_orders.run").work == "unit_tests"
        assert dag.get_task("int_orders.test").work == "tests"
        assert dag.get_task("orders.run").work == "node"  # the trigger knows its unit tests


@pytest.mark.parametrize("behavior", [TestBehavior.AFTER_ALL, TestBehavior.NONE], ids=lambda b: b.name)
def test_unit_tests_come_with_the_others_where_these_come_last(
    make_dag: MakeDag, shop: Path, manifest: dict[str, Any], tmp_path: Path, behavior: TestBehavior
) -> None:
    """Or not at all."""
    project = ProjectConfig(shop, manifest_path=with_unit_tests(manifest, tmp_path, "int_orders"))
    dag = make_dag(RenderConfig(test_behavior=behavior), project_config=project)

    assert type(dag.get_task("int_orders_run")).__name__ == "EmptyOperator"


def test_a_task_of_somebody_else_comes_after_its_models_unit_tests(
    make_dag: MakeDag, shop: Path, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """It would not execute them; our own operators do."""

    def convert(node: Any, task_group: Any, task_id: str, **kwargs: Any) -> Any:
        if node.name == "orders":
            return None
        return BaseOperator(task_id=task_id, task_group=task_group)

    project = ProjectConfig(
        shop,
        manifest_path=with_unit_tests(manifest, tmp_path, "stg_orders", "orders", "order_history"),
    )
    render = RenderConfig(
        node_converters={DbtResourceType.MODEL: convert}, node_conversion_by_task_group=False
    )
    dag = make_dag(render, project_config=project)

    assert dag.get_task("stg_orders.run").upstream_task_ids == {"stg_orders.unit_test"}
    assert dag.get_task("stg_orders.unit_test").work == "unit_tests"
    assert "raw_orders.test" in dag.get_task("stg_orders.unit_test").upstream_task_ids
    assert dag.get_task("orders.test").upstream_task_ids == {"orders.unit_test"}


def test_a_node_without_a_task_passes_the_order_on(make_dag: MakeDag) -> None:
    """A converter that leaves it out leaves its children behind its parents."""

    def convert(node: Any, task_id: str, task_group: Any, **kwargs: Any) -> Any:
        return None if node.name == "orders" else BaseOperator(task_id=task_id, task_group=task_group)

    render = RenderConfig(test_behavior=TestBehavior.BUILD, node_converters={DbtResourceType.MODEL: convert})
    dag = make_dag(render)

    assert dag.get_task("prices_v1_model_build").upstream_task_ids == {"int_orders_model_build"}
    assert "int_orders_model_build" in dag.get_task(RELATIONSHIPS).upstream_task_ids


def test_functions_wait_for_no_test(
    make_dag: MakeDag, shop: Path, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """dbt holds back models, seeds and snapshots; what lies behind a function waits as if it were not there."""
    model, function = manifest["nodes"]["model.corner_shop.prices.v1"], "function.corner_shop.f"
    manifest["functions"] = {
        function: {
            **model,
            "resource_type": "function",
            "depends_on": {"nodes": ["model.corner_shop.orders"]},
        }
    }
    manifest["nodes"]["model.corner_shop.last"] = {**model, "depends_on": {"nodes": [function]}}
    dag = make_dag(project_config=ProjectConfig(shop, manifest_path=changed(manifest, tmp_path)))

    assert dag.get_task("f_function").upstream_task_ids == {"orders.run"}
    assert dag.get_task("last_run").upstream_task_ids == {"f_function", "orders.test"}


def test_a_nodes_group_is_named_like_the_node(make_dag: MakeDag) -> None:
    """Group ids are what one collapses in the UI, and part of the task ids."""
    groups = make_dag().task_group.get_task_group_dict()

    assert {"orders", "prices_v2", "raw_orders"} <= set(groups)
    assert set(groups["orders"].children) == {"orders.run", "orders.test"}


OURS = {"dbt_setup_async", "dbt_results_async", "dbt_teardown_async", "dbt_done_async"}


@pytest.mark.parametrize("behavior", list(TestBehavior), ids=lambda behavior: behavior.name)
def test_everything_runs_between_setup_and_results(make_dag: MakeDag, behavior: TestBehavior) -> None:
    """Nothing starts before it is planned, and results come when all is over; the teardown's trigger waits for them."""
    dag = make_dag(RenderConfig(test_behavior=behavior))
    work = set(dag.task_ids) - OURS

    assert [task.task_id for task in dag.roots] == ["dbt_setup_async"]
    assert above(dag, "dbt_results_async") == work | {"dbt_setup_async"}
    assert above(dag, "dbt_teardown_async") == work | {"dbt_setup_async"}
    assert dag.get_task("dbt_teardown_async").results_task_id == "dbt_results_async"
    assert above(dag, "dbt_done_async") == work | {"dbt_setup_async", "dbt_results_async"}


class Ended(NamedTuple):
    """What Airflow looks at of a task instance when a run is over."""

    task_id: str
    state: str


@pytest.mark.parametrize("teardown", ["True", "False"], ids=["with a teardown", "without"])
@pytest.mark.parametrize("behavior", list(TestBehavior), ids=lambda behavior: behavior.name)
def test_the_nodes_and_dbts_end_of_the_run_decide_how_the_run_ends(
    make_dag: MakeDag, monkeypatch: pytest.MonkeyPatch, behavior: TestBehavior, teardown: str
) -> None:
    """Results and teardown run in any case; if Airflow looked at these, a failed run would end green."""
    from airflow.models.dagrun import DagRun

    monkeypatch.setenv("AIRFLOW__COSMOS__ENABLE_TEARDOWN_ASYNC_TASK", teardown)
    dag = make_dag(RenderConfig(test_behavior=behavior))

    instances = [Ended(task.task_id, "success") for task in dag.tasks]
    decisive = {ended.task_id for ended in DagRun._tis_for_dagrun_state(DagRun(), dag=dag, tis=instances)}

    assert decisive & OURS == {"dbt_done_async"}
    # What fails further up reaches them as upstream_failed, and a failed end of the run the last task.
    assert decisive.union(*(above(dag, task_id) for task_id in decisive)) - OURS == set(dag.task_ids) - OURS
    assert "dbt_results_async" in dag.get_task("dbt_done_async").upstream_task_ids


@pytest.mark.parametrize("teardown", ["True", "False"], ids=["with a teardown", "without"])
def test_what_follows_a_group_waits_for_its_nodes_and_for_dbts_end_of_the_run(
    shop: Path,
    manifest_path: Path,
    profile: ProfileConfig,
    monkeypatch: pytest.MonkeyPatch,
    teardown: str,
) -> None:
    """Airflow leaves teardowns out of the arrow behind a group, and with them a failed on-run-end hook."""
    monkeypatch.setenv("AIRFLOW__COSMOS__ENABLE_TEARDOWN_ASYNC_TASK", teardown)
    with DAG("d", schedule=None) as dag:
        group = DbtTaskGroup(
            group_id="dbt",
            project_config=ProjectConfig(shop, manifest_path=manifest_path),
            profile_config=profile,
        )
        group >> BaseOperator(task_id="after")

    assert "dbt.dbt_done_async" in dag.get_task("after").upstream_task_ids
    work = set(dag.task_ids) - {"after", "dbt.dbt_teardown_async", "dbt.dbt_results_async"}
    # Not by way of the results, which end well however the nodes end.
    before, waiting = set(), ["after"]
    while waiting:
        for task_id in dag.get_task(waiting.pop()).upstream_task_ids - before - {"dbt.dbt_results_async"}:
            before.add(task_id)
            waiting.append(task_id)
    assert before == work


def test_the_last_task_needs_no_worker(make_dag: MakeDag) -> None:
    """Airflow ends an empty task by itself, unless it has callbacks; those of default_args are for other tasks."""
    dag = make_dag(default_args={"on_success_callback": print, "on_execute_callback": print, "retries": 3})
    done = dag.get_task("dbt_done_async")

    assert not done.on_success_callback
    assert not done.on_execute_callback
    assert not done.outlets
    assert dag.get_task("orders.run").on_success_callback


def test_a_nodes_children_wait_for_its_tests(make_dag: MakeDag) -> None:
    """As in ``dbt build``, where a failed test skips what is below it."""
    dag = make_dag()

    assert "stg_customers.test" in above(dag, "customers.run")
    assert {"orders.test", "customers.test"} <= above(dag, "order_history.run")


def test_a_test_of_nodes_below_one_another_runs_with_the_last(make_dag: MakeDag) -> None:
    """It needs no edges of its own: what lies below the last lies below them all."""
    dag = make_dag()

    assert dag.get_task("orders.test").upstream_task_ids == {"orders.run"}
    assert "stg_orders.run" in above(dag, "orders.test")


def test_a_parent_that_owns_no_test_still_has_its_task(make_dag: MakeDag) -> None:
    """Cosmos has one there; the test itself runs with a later parent."""
    dag = make_dag()

    assert dag.get_task("stg_orders.test").unique_id == "model.corner_shop.stg_orders"
    assert dag.get_task("stg_orders.test").upstream_task_ids == {"stg_orders.run"}


def test_with_build_a_node_and_its_tests_are_one_task(make_dag: MakeDag) -> None:
    """Edges that tests need connect these."""
    dag = make_dag(RenderConfig(test_behavior=TestBehavior.BUILD))

    assert dag.get_task(RELATIONSHIPS).upstream_task_ids == {"orders_model_build", "customers_model_build"}
    assert dag.get_task(RELATIONSHIPS).downstream_task_ids == {"order_history_model_build"}
    assert type(dag.get_task("orders_model_build")).__name__ == "DbtBuildAsyncOperator"


def test_with_build_an_ephemeral_model_is_its_tests(make_dag: MakeDag) -> None:
    """There is nothing to build, but an empty task would leave its tests out."""
    dag = make_dag(RenderConfig(test_behavior=TestBehavior.BUILD))

    assert dag.get_task("int_orders_model_build").work == "tests"


def test_a_detached_test_holds_back_what_lies_below_all_of_its_parents(make_dag: MakeDag) -> None:
    """And only that, as in ``dbt build``."""
    dag = make_dag(RenderConfig(should_detach_multiple_parents_tests=True))
    task = dag.get_task("relationships_orders_customer_id__id__ref_customers__test")

    assert task.upstream_task_ids == {"orders_run", "customers_run"}
    assert "order_history_run" in task.downstream_task_ids
    assert "prices_v1_run" not in task.downstream_task_ids


def test_ephemeral_models_are_empty_tasks(make_dag: MakeDag) -> None:
    """They are in the way of others, but there is nothing to do."""
    dag = make_dag()

    assert type(dag.get_task("int_orders.run")).__name__ == "EmptyOperator"
    assert "stg_orders.run" in above(dag, "orders.run")


def test_seeds_may_be_shown_without_being_loaded_or_not_at_all(make_dag: MakeDag) -> None:
    """As in Cosmos; whoever does so loads them otherwise."""
    shown = make_dag(RenderConfig(seed_rendering_behavior=SeedRenderingBehavior.RENDER_ONLY))
    hidden = make_dag(RenderConfig(seed_rendering_behavior=SeedRenderingBehavior.NONE))

    assert type(shown.get_task("raw_customers_seed")).__name__ == "EmptyOperator"
    assert not any("raw_" in task_id for task_id in hidden.task_ids)
    assert hidden.get_task("stg_customers.run").upstream_task_ids == {"dbt_setup_async"}


@pytest.mark.parametrize("behavior", list(TestBehavior), ids=lambda behavior: behavior.name)
def test_whether_a_seed_has_changed_is_asked_at_its_turn(make_dag: MakeDag, behavior: TestBehavior) -> None:
    """Its tasks are those of a seed that is loaded; setup writes into the plan what is wanted."""
    usual = make_dag(RenderConfig(test_behavior=behavior))
    dag = make_dag(
        RenderConfig(test_behavior=behavior, seed_rendering_behavior=SeedRenderingBehavior.WHEN_SEED_CHANGES)
    )

    assert dag.task_ids == usual.task_ids
    assert dag.get_task("dbt_setup_async").seeds_when_changed
    assert not usual.get_task("dbt_setup_async").seeds_when_changed


def test_a_nodes_meta_sets_its_tasks_arguments(make_dag: MakeDag) -> None:
    """``meta.cosmos.operator_kwargs`` and ``meta.owner``, as in Cosmos."""
    dag = make_dag(operator_args={"retries": 1})

    run, other = dag.get_task("customers.run"), dag.get_task("orders.run")
    assert (run.queue, run.retries, run.owner) == ("fast", 3, "ada")
    assert (other.retries, other.owner) == (1, "airflow")
    assert make_dag(RenderConfig(enable_owner_inheritance=False)).get_task("customers.run").owner == "airflow"


def test_what_dbt_says_of_a_node_is_shown_with_its_task(
    make_dag: MakeDag, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """Its description as documentation, unless the author has another one; and all of its owners."""
    for name in ("customers", "orders"):
        manifest["nodes"][f"model.corner_shop.{name}"]["description"] = f"All {name}."
    project = asking(manifest, tmp_path, {"model.corner_shop.orders": {"doc_md": "Mine."}})
    meta = manifest["nodes"]["model.corner_shop.orders"]["config"]["meta"]
    meta["owner"] = ["ada", "grace"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))

    dag = make_dag(project_config=project)

    assert dag.get_task("customers.run").doc_md == "All customers."
    assert dag.get_task("orders.run").doc_md == "Mine."
    assert dag.get_task("orders.run").owner == "ada, grace"
    assert dag.get_task("customers.test").doc_md is None


UNIQUE = "test.corner_shop.unique_stg_customers_id.a6a76acf47"
NOT_NULL = "test.corner_shop.not_null_stg_customers_id.6bd2c50f02"


def asking(manifest: dict[str, Any], tmp_path: Path, own: dict[str, dict[str, Any]]) -> ProjectConfig:
    """Return a project whose resources have ``meta.cosmos.operator_kwargs``, by unique id, and an owner."""
    resources = {**manifest["nodes"], **manifest.get("unit_tests", {})}
    for unique_id, kwargs in own.items():
        meta = {"cosmos": {"operator_kwargs": kwargs}, "owner": unique_id.split(".")[0]}
        resources[unique_id].setdefault("config", {})["meta"] = meta
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    return ProjectConfig(Path(__file__).parents[1] / "shop", manifest_path=path)


def test_a_tests_meta_sets_its_tasks_arguments(
    make_dag: MakeDag, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """Over those of the node it belongs to, as in Cosmos: models may be retried and their tests not."""
    (relationships,) = (unique_id for unique_id in manifest["nodes"] if "relationships_orders" in unique_id)
    project = asking(
        manifest,
        tmp_path,
        {
            "model.corner_shop.stg_customers": {"retries": 4, "queue": "fast"},
            UNIQUE: {"retries": 0},
            relationships: {"retries": 2},
        },
    )
    dag = make_dag(project_config=project, operator_args={"retries": 1})

    run, test = dag.get_task("stg_customers.run"), dag.get_task("stg_customers.test")
    assert (run.retries, test.retries) == (4, 0)
    assert (test.queue, test.owner) == ("fast", "model")
    own = dag.get_task(RELATIONSHIPS)
    assert (own.retries, own.owner) == (2, "test")


def test_a_node_that_is_built_and_tested_in_one_task_has_its_own_arguments(
    make_dag: MakeDag, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """What is said of a test must not take away the model's retries; a test with a task of its own keeps its own."""
    project = asking(
        manifest, tmp_path, {"model.corner_shop.stg_customers": {"retries": 4}, UNIQUE: {"retries": 0}}
    )
    dag = make_dag(RenderConfig(test_behavior=TestBehavior.BUILD), project_config=project)

    assert dag.get_task("stg_customers_model_build").retries == 4


def test_a_sources_meta_sets_the_arguments_of_its_tasks(
    make_dag: MakeDag, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """Its freshness' and its tests'; before dbt 1.10 a source has its meta beside its configuration."""
    manifest["sources"]["source.corner_shop.till.orders"]["meta"] = {
        "cosmos": {"operator_kwargs": {"retries": 5, "queue": "slow"}}
    }
    manifest["sources"]["source.corner_shop.till.orders"]["freshness"] = {
        "warn_after": {"count": 1, "period": "day"}
    }
    (test,) = (unique_id for unique_id in manifest["nodes"] if "source_not_null" in unique_id)
    render = RenderConfig(source_rendering_behavior=SourceRenderingBehavior.ALL)

    dag = make_dag(render, project_config=asking(manifest, tmp_path, {test: {"retries": 0}}))

    assert (dag.get_task("till_orders.source").retries, dag.get_task("till_orders.source").queue) == (
        5,
        "slow",
    )
    assert (dag.get_task("till_orders.test").retries, dag.get_task("till_orders.test").queue) == (0, "slow")


def test_tests_of_one_task_that_disagree_are_an_error_that_names_both(
    make_dag: MakeDag, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """Whose word would count, nobody could tell."""
    project = asking(manifest, tmp_path, {UNIQUE: {"retries": 0}, NOT_NULL: {"retries": 2}})

    with pytest.raises(ProjectError, match=f"{NOT_NULL}.* and {UNIQUE}.*retries is 2 and 0"):
        make_dag(project_config=project)


def test_tests_that_stand_on_nothing_set_the_arguments_of_their_task(
    make_dag: MakeDag, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """Those that say something."""
    changed(manifest, tmp_path, today=[], yesterday=[])
    project = asking(manifest, tmp_path, {"test.corner_shop.today": {"retries": 0}})

    dag = make_dag(project_config=project, operator_args={"retries": 2})

    assert dag.get_task("dbt_other_tests_async").retries == 0


def test_unit_tests_set_the_arguments_of_a_task_of_their_own(
    make_dag: MakeDag, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """In their model's task, the model's count: what is said of a unit test must not take away the model's retries."""
    with_unit_tests(manifest, tmp_path, "int_orders", "customers")
    own = {
        f"unit_test.corner_shop.{model}.u": {"retries": 0, "queue": "q"}
        for model in ("int_orders", "customers")
    }
    project = asking(manifest, tmp_path, own)

    dag = make_dag(project_config=project, operator_args={"retries": 2})

    assert (dag.get_task("int_orders.run").retries, dag.get_task("int_orders.run").queue) == (0, "q")
    assert (dag.get_task("customers.run").retries, dag.get_task("customers.run").queue) == (3, "fast")


def test_a_node_may_not_name_its_task(make_dag: MakeDag, manifest: dict[str, Any], tmp_path: Path) -> None:
    """Airflow would only speak of a keyword argument given twice."""
    project = asking(manifest, tmp_path, {UNIQUE: {"task_id": "x"}})

    with pytest.raises(ProjectError, match="operator_kwargs has 'task_id', but each task has its own"):
        make_dag(project_config=project)


def test_a_profile_of_its_own_for_a_node_is_refused(
    shop: Path, manifest: dict[str, Any], profile: ProfileConfig, tmp_path: Path
) -> None:
    """One dbt plans all nodes of a run; doing it with another profile silently would build into the wrong place."""
    manifest["nodes"]["model.corner_shop.orders"]["config"]["meta"] = {
        "cosmos": {"profile_config": {"target_name": "x"}}
    }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))

    with pytest.raises(ProjectError, match=r"model\.corner_shop\.orders .*profile_config is not supported"):
        DbtDag(dag_id="d", project_config=ProjectConfig(shop, manifest_path=path), profile_config=profile)


def test_operator_args_reach_those_they_are_meant_for(make_dag: MakeDag) -> None:
    """dbt's go to the task that runs dbt, Airflow's to all."""
    dag = make_dag(
        operator_args={
            "location": "EU",
            "install_deps": True,
            "full_refresh": "{{ params.full }}",
            "vars": {"day": 1},
            "doc_md": "daily",
            "deferrable": True,
        }
    )
    invocation = dag.get_task("dbt_setup_async").dbt

    assert (invocation.location, invocation.install_deps, invocation.full_refresh) == (
        "EU",
        True,
        "{{ params.full }}",
    )
    assert invocation.vars == {"day": 1}
    documented = {task.task_id: task.doc_md for task in dag.tasks if type(task).__name__ != "EmptyOperator"}
    # On Airflow 3 the project's version stands below it.
    assert documented.pop("dbt_setup_async").partition("\n\n**dbt project hash:**")[0] == "daily"
    assert set(documented.values()) == {"daily"}


def test_the_virtualenv_of_operator_args_is_the_executions(make_dag: MakeDag, tmp_path: Path) -> None:
    """Cosmos' guide writes it there. The author's own object stays as it was."""
    execution = ExecutionConfig(async_py_requirements=["dbt-bigquery==1.9"])

    dag = make_dag(execution_config=execution, operator_args={"virtualenv_dir": str(tmp_path)})

    assert dag.get_task("dbt_setup_async").dbt.execution_config.virtualenv_dir == str(tmp_path)
    assert execution.virtualenv_dir is None


def test_install_deps_is_decided_as_in_cosmos(make_dag: MakeDag, shop: Path, manifest_path: Path) -> None:
    """ExecutionConfig before operator_args before ProjectConfig."""
    project = ProjectConfig(shop, install_dbt_deps=False, manifest_path=manifest_path)
    cases = [
        ({}, {}, False),
        ({}, {"install_deps": True}, True),
        ({"install_dbt_deps": "{{ params.deps }}"}, {"install_deps": True}, "{{ params.deps }}"),
    ]
    for execution, operator_args, expected in cases:
        dag = make_dag(
            project_config=project, execution_config=ExecutionConfig(**execution), operator_args=operator_args
        )
        assert dag.get_task("dbt_setup_async").dbt.install_deps == expected


@pytest.mark.parametrize(
    "name", ["select", "project_dir", "profile_config", "callback", "warn_error", "schema"]
)
def test_an_operator_arg_with_another_place_is_refused_with_that_place(make_dag: MakeDag, name: str) -> None:
    """Leaving it out silently would change what happens."""
    with pytest.raises(ConfigError, match=f"operator_args has '{name}', which is not supported"):
        make_dag(operator_args={name: "x"})


@pytest.mark.parametrize(
    "args", [{"on_warning_callback": print}, {"operator_args": {"on_warning_callback": print}}]
)
def test_a_warning_callback_reaches_what_may_warn(make_dag: MakeDag, args: dict[str, Any]) -> None:
    """As in Cosmos it may stand in either place."""
    dag = make_dag(**args)

    assert dag.get_task("customers.test").on_warning_callback is print
    assert dag.get_task("customers.test").trigger_kwargs()["warns_on_worker"]


def test_a_dag_without_a_profile_is_refused(make_dag: MakeDag) -> None:
    """In the words of the argument that is missing."""
    with pytest.raises(ProfileError, match="no profile_config"):
        make_dag(profile_config=None)


def test_groups_of_one_dag_keep_their_tasks_apart(
    shop: Path, manifest_path: Path, profile: ProfileConfig
) -> None:
    """Each has its own setup, and what comes before and after waits as for any group."""
    with DAG("two", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        before, after = BaseOperator(task_id="before"), BaseOperator(task_id="after")
        groups = [
            DbtTaskGroup(
                group_id=name,
                project_config=ProjectConfig(shop, manifest_path=manifest_path),
                profile_config=profile,
                render_config=RenderConfig(test_behavior=behavior),
            )
            for name, behavior in (("first", TestBehavior.AFTER_EACH), ("second", TestBehavior.NONE))
        ]
        before >> groups[0] >> groups[1] >> after

    assert dag.get_task("first.orders.test").setup_task_id == "first.dbt_setup_async"
    assert dag.get_task("second.orders_run").setup_task_id == "second.dbt_setup_async"
    assert dag.get_task("first.dbt_setup_async").upstream_task_ids == {"before"}
    assert "second.order_history_run" in dag.get_task("after").upstream_task_ids
    assert [name for name in dag.get_task("after").upstream_task_ids if "async" in name] == [
        "second.dbt_done_async"
    ]


def test_a_group_without_a_name_is_called_as_in_cosmos(
    shop: Path, manifest_path: Path, profile: ProfileConfig
) -> None:
    """``dbt_task_group`` is part of the ids of those who never named theirs."""
    with DAG("one", schedule=None):
        DbtTaskGroup(project_config=ProjectConfig(shop, manifest_path=manifest_path), profile_config=profile)

    with DAG("one", schedule=None) as dag:
        DbtTaskGroup(project_config=ProjectConfig(shop, manifest_path=manifest_path), profile_config=profile)
    assert "dbt_task_group.dbt_setup_async" in dag.task_ids


def test_nodes_may_be_grouped_by_folder(make_dag: MakeDag, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cosmos' ids: a group per folder name."""
    dag = make_dag(RenderConfig(group_nodes_by_folder=True, test_behavior=TestBehavior.NONE))

    assert "models.marts.orders_run" in dag.task_ids
    assert "seeds.raw_orders_seed" in dag.task_ids
    assert "dbt_setup_async" in dag.task_ids


def test_ids_may_be_chosen_by_the_author(make_dag: MakeDag) -> None:
    """The usual one is then shown in its place."""
    render = RenderConfig(test_behavior=TestBehavior.NONE, normalize_task_id=lambda node: f"do_{node.name}")

    task = make_dag(render).get_task("do_orders")

    assert getattr(task, "task_display_name", "orders_run") == "orders_run"  # Airflow 2.8 has only ids


def test_names_may_be_chosen_by_the_author(make_dag: MakeDag) -> None:
    """The id stays."""
    render = RenderConfig(
        test_behavior=TestBehavior.NONE, normalize_task_display_name=lambda node: f"🛒 {node.name}"
    )

    task = make_dag(render).get_task("orders_run")

    assert getattr(task, "task_display_name", "🛒 orders") == "🛒 orders"  # Airflow 2.8 has only ids


def test_a_converter_makes_the_tasks_of_its_kind(make_dag: MakeDag) -> None:
    """Someone else loads the seeds, and their tests are that one's business, too."""

    def convert(dag: DAG, task_group: Any, node: Any, **kwargs: Any) -> Any:
        return BaseOperator(task_id=f"{node.name}_from_elsewhere", dag=dag, task_group=task_group)

    dag = make_dag(RenderConfig(node_converters={DbtResourceType.SEED: convert}))

    assert dag.get_task("raw_orders_from_elsewhere").upstream_task_ids == {"dbt_setup_async"}
    assert "raw_orders_from_elsewhere" in dag.get_task("stg_orders.run").upstream_task_ids
    assert not any("seed" in task_id for task_id in dag.task_ids)


@pytest.mark.parametrize("extra", ["seed.corner_shop.orders", "model.other_package.orders"])
def test_two_nodes_with_one_name_are_an_error_that_names_both(
    shop: Path, manifest: dict[str, Any], profile: ProfileConfig, tmp_path: Path, extra: str
) -> None:
    """Airflow would only speak of a duplicate task id."""
    kind, package, _ = extra.split(".")
    manifest["nodes"][extra] = {
        **manifest["nodes"]["model.corner_shop.orders"],
        "resource_type": kind,
        "package_name": package,
    }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))

    with pytest.raises(ProjectError, match=f"{extra}.*both are named 'orders'") as caught:
        DbtDag(dag_id="d", project_config=ProjectConfig(shop, manifest_path=path), profile_config=profile)
    assert "model.corner_shop.orders" in str(caught.value)


def test_a_node_whose_name_airflow_does_not_allow_is_an_error_that_names_its_file(
    shop: Path, manifest: dict[str, Any], profile: ProfileConfig, tmp_path: Path
) -> None:
    """dbt names models after their files, where blanks are possible."""
    node = {**manifest["nodes"]["model.corner_shop.orders"], "original_file_path": "models/my orders.sql"}
    manifest["nodes"]["model.corner_shop.my orders"] = node
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))

    with pytest.raises(ProjectError, match=r"models/my orders\.sql.*'my orders_run'"):
        DbtDag(dag_id="d", project_config=ProjectConfig(shop, manifest_path=path), profile_config=profile)


def test_a_converter_may_leave_a_node_out(make_dag: MakeDag) -> None:
    """By returning nothing, as in Cosmos."""
    dag = make_dag(RenderConfig(node_converters={DbtResourceType.SNAPSHOT: lambda **kwargs: None}))

    assert not any("orders_over_time" in task_id for task_id in dag.task_ids)


def test_a_converter_may_take_a_node_and_leave_its_tests(make_dag: MakeDag) -> None:
    """With ``node_conversion_by_task_group=False`` it is asked for the task alone."""

    def convert(task_group: Any, task_id: str, **kwargs: Any) -> Any:
        return BaseOperator(task_id=task_id, task_group=task_group)

    render = RenderConfig(
        node_converters={DbtResourceType.SEED: convert}, node_conversion_by_task_group=False
    )
    dag = make_dag(render)

    assert type(dag.get_task("raw_orders.seed")) is BaseOperator
    assert dag.get_task("raw_orders.test").upstream_task_ids == {"raw_orders.seed"}
    assert dag.get_task("raw_orders.seed").upstream_task_ids == {"dbt_setup_async"}


@pytest.mark.parametrize("child_is_group", [False, True], ids=["to a task", "to a group"])
@pytest.mark.parametrize("parent_is_group", [False, True], ids=["from a task", "from a group"])
def test_edges_are_those_that_airflow_itself_would_make(parent_is_group: bool, child_is_group: bool) -> None:
    """Ours are made faster; tasks, groups and the UI's arrows between them must not show it."""

    def place(dag: DAG, name: str, is_group: bool) -> Placed:
        if not is_group:
            task = BaseOperator(task_id=name, dag=dag)
            return Placed(task, task, task)
        group = TaskGroup(group_id=name, dag=dag, parent_group=dag.task_group)
        first, last = (
            BaseOperator(task_id=task_id, dag=dag, task_group=group) for task_id in ("run", "test")
        )
        first >> last
        return Placed(group, first, last)

    pictures = []
    for connect in (connect_placed, lambda parent, child: parent.whole >> child.whole):
        dag = DAG("d", schedule=None)
        parent, child = place(dag, "parent", parent_is_group), place(dag, "child", child_is_group)
        connect(parent, child)
        groups = [placed.whole for placed in (parent, child) if isinstance(placed.whole, TaskGroup)]
        pictures.append(
            [(node.upstream_task_ids, node.downstream_task_ids) for node in [*dag.tasks, *groups]]
            + [(group.upstream_group_ids, group.downstream_group_ids) for group in groups]
        )

    assert pictures[0] == pictures[1]


def test_the_run_deletes_nothing_where_teardown_is_switched_off(
    make_dag: MakeDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cosmos' setting is honoured."""
    monkeypatch.setenv("AIRFLOW__COSMOS__ENABLE_TEARDOWN_ASYNC_TASK", "False")

    assert "dbt_teardown_async" not in make_dag().task_ids


def test_a_dag_survives_airflows_serialization(make_dag: MakeDag) -> None:
    """The scheduler and the triggerer see nothing else of it."""
    from airflow.serialization import serialized_objects

    # Airflow 2 and the first versions of 3 have the one, later ones the other.
    serializer = getattr(serialized_objects, "DagSerialization", None) or serialized_objects.SerializedDAG
    # Airflow 2.10 and 2.11 ask their database what an alias has led to so far.
    dag = make_dag(RenderConfig(emit_datasets=not (2, 10) <= AIRFLOW_VERSION < (3, 0)))

    document = serializer.to_dict(dag)

    # Airflow 2.8 has a task's fields without a frame.
    assert {task.get("__var", task)["task_id"] for task in document["dag"]["tasks"]} == set(dag.task_ids)


def test_the_authors_configuration_is_not_changed(make_dag: MakeDag, shop: Path, manifest_path: Path) -> None:
    """Several DAGs share these objects."""
    render, execution = RenderConfig(select=[]), ExecutionConfig()
    project = ProjectConfig(shop, manifest_path=manifest_path)
    before = [dict(vars(item)) for item in (render, execution, project)]

    make_dag(
        render, execution_config=execution, project_config=project, operator_args={"virtualenv_dir": "v"}
    )

    assert [vars(item) for item in (render, execution, project)] == before


def test_two_dags_of_one_project_have_settings_of_their_own(
    make_dag: MakeDag, shop: Path, manifest_path: Path
) -> None:
    """Whichever is imported first: neither graphs that are kept nor shared objects carry anything over."""
    project = ProjectConfig(shop, manifest_path=manifest_path, dbt_vars={"day": 1})

    def tasks(behavior: TestBehavior, **args: Any) -> tuple[set[str], Any]:
        dag = make_dag(RenderConfig(test_behavior=behavior), project_config=project, operator_args=args)
        return set(dag.task_ids), dag.get_task("dbt_setup_async").full_refresh

    first = tasks(TestBehavior.NONE, full_refresh=True)
    second = tasks(TestBehavior.AFTER_EACH)

    assert [any("test" in task_id for task_id in each[0]) for each in (first, second)] == [False, True]
    assert (first[1], second[1]) == (True, False)
    assert tasks(TestBehavior.NONE, full_refresh=True) == first
