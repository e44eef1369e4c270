"""Each of Airflow's arguments reaches the tasks that it is meant for, and no other."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.airflow.compat import DAG, BaseOperator
from cosmos_async.config import ExecutionConfig, RenderConfig
from cosmos_async.dag.task_arguments import AIRFLOW, Scope
from cosmos_async.exceptions import ConfigError

MakeDag = Callable[..., DAG]
DOCS = Path(__file__).parents[3] / "docs" / "options.md"
AROUND = ("dbt_setup_async", "dbt_results_async", "dbt_teardown_async")


def where(dag: DAG, name: str) -> dict[str, Any]:
    """Return the value of an attribute of a node's task, of a test's and of those around them."""
    return {
        task_id: getattr(dag.get_task(task_id), name) for task_id in ("orders.run", "customers.test", *AROUND)
    }


def test_every_argument_of_airflows_tasks_is_decided_about() -> None:
    """A new Airflow may bring one more; whether it is for the tasks around the nodes is no accident."""
    known = set(inspect.signature(BaseOperator.__init__).parameters) - {"self", "kwargs"}

    assert known - set(AIRFLOW) == set()


def test_no_argument_is_decided_about_that_no_airflow_has() -> None:
    """Those that one of the supported versions does not have are named."""
    known = set(inspect.signature(BaseOperator.__init__).parameters)

    assert set(AIRFLOW) - known <= {
        "allow_nested_operators",  # since 2.9
        "executor",  # since 2.10
        "map_index_template",  # since 2.9
        "multiple_outputs",  # since 2.9
        "on_skipped_callback",  # since 2.9
        "render_template_as_native_obj",  # since 3.2
        "retry_policy",  # since 3.3
        "task_concurrency",  # Airflow 2's
        "task_display_name",  # since 2.9
    }


def test_the_docs_name_every_argument_that_does_not_reach_every_task() -> None:
    """In one table, each with the tasks that get it."""
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    for name, scope in AIRFLOW.items():
        if scope is not Scope.EVERY:
            assert any(f"`{name}`" in row and f"| {scope.value} |" in row for row in rows), name


@pytest.mark.parametrize("place", ["operator_args", "default_args"])
def test_what_is_about_the_work_does_not_reach_the_tasks_around_it(make_dag: MakeDag, place: str) -> None:
    """Setup must not announce the author's asset before anything is built, and no results task may wait for another run."""
    told: dict[str, Any] = {"depends_on_past": True, "outlets": [asset()], "inlets": [asset()]}
    dag = make_dag(RenderConfig(emit_datasets=False), **{place: told})

    for name, value in told.items():
        found = where(dag, name)
        assert found["orders.run"] == found["customers.test"] == value
        assert [bool(found[task_id]) for task_id in AROUND] == [False, False, False]
        assert not getattr(dag.get_task("dbt_done_async"), name)


def asset() -> Any:
    """Return one of Airflow's."""
    try:
        from airflow.sdk import Asset
    except ImportError:  # removable when Airflow 2.11 is dropped
        from airflow.datasets import Dataset as Asset  # type: ignore[no-redef]
    return Asset("bigquery://acme-prod/shop/orders")


@pytest.mark.parametrize("place", ["operator_args", "default_args"])
def test_a_trigger_rule_is_about_what_comes_before_the_run(make_dag: MakeDag, place: str) -> None:
    """Such as after a branch. Between nodes dbt's order rules; Airflow refuses any other behind a setup task."""
    dag = make_dag(**{place: {"trigger_rule": "none_failed"}})

    found = {
        task_id: str(getattr(rule, "value", rule)) for task_id, rule in where(dag, "trigger_rule").items()
    }
    assert found["dbt_setup_async"] == "none_failed"
    assert found["orders.run"] == found["customers.test"] == "all_success"
    assert found["dbt_results_async"] == found["dbt_teardown_async"] == "all_done_setup_success"
    dag.validate_setup_teardown()


def test_setup_may_be_told_otherwise(make_dag: MakeDag) -> None:
    """What is said of it alone counts."""
    execution = ExecutionConfig(setup_operator_args={"depends_on_past": True, "retries": 5})
    dag = make_dag(execution_config=execution, operator_args={"retries": 1})

    assert where(dag, "depends_on_past") == {
        "orders.run": False,
        "customers.test": False,
        "dbt_setup_async": True,
        "dbt_results_async": False,
        "dbt_teardown_async": False,
    }
    assert dag.get_task("dbt_setup_async").retries == 5


def test_where_a_task_ends_is_a_matter_of_those_in_the_triggerer(make_dag: MakeDag) -> None:
    """``completion`` is our own; setup and results run on workers anyway."""
    dag = make_dag(operator_args={"completion": "worker"})

    assert dag.get_task("orders.run").completion == dag.get_task("dbt_teardown_async").completion == "worker"


@pytest.mark.parametrize("name", sorted(name for name, scope in AIRFLOW.items() if scope is Scope.NOBODY))
def test_what_each_task_has_of_its_own_is_refused(make_dag: MakeDag, name: str) -> None:
    """Airflow would only speak of a keyword argument given twice."""
    with pytest.raises(ConfigError, match=f"operator_args has '{name}', but each task has its own"):
        make_dag(operator_args={name: "x"})


def test_what_nobody_knows_is_refused_by_airflow(make_dag: MakeDag) -> None:
    """A slip of the pen is not left out silently."""
    with pytest.raises(Exception, match="retrys"):
        make_dag(operator_args={"retrys": 3})
