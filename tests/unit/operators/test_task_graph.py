"""
Which tasks a triggerer may begin by itself: those that wait for tasks of the same dbt run alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cosmos_async import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.airflow import compat
from cosmos_async.airflow.compat import DAG
from cosmos_async.dag.tasks import empty_operator
from cosmos_async.operators import SetupAsyncOperator
from cosmos_async.operators.node import DbtRunAsyncOperator, DbtTestAsyncOperator
from cosmos_async.operators.task_graph import task_graph
from cosmos_async.operators.teardown import TeardownAsyncOperator
from cosmos_async.plan.task_graph import GraphTask

ENDS = compat.ENDS_IN_TRIGGERER


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins of the person who runs the tests do not decide."""
    monkeypatch.setattr("cosmos_async.operators.deferred.task_listeners", list)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[SetupAsyncOperator]:
    """A setup task, in a DAG that is open."""
    with DAG("shop", schedule=None):
        yield SetupAsyncOperator(
            task_id="dbt_setup_async",
            project_config=ProjectConfig(tmp_path),
            profile_config=ProfileConfig("shop", "prod", profiles_yml_filepath=tmp_path / "profiles.yml"),
            execution_config=ExecutionConfig(),
        )


def model(name: str, setup: Any, *above: Any, cls: type = DbtRunAsyncOperator, **kwargs: Any) -> Any:
    task = cls(task_id=f"{name}.run", unique_id=f"model.shop.{name}", setup=setup, **kwargs)
    setup >> task
    for each in above:
        each >> task
    return task


def above(setup: Any) -> dict[str, Any]:
    return {task_id: task.above for task_id, task in task_graph(setup).tasks.items()}


def test_tasks_are_known_with_what_they_wait_for(setup: Any) -> None:
    """The setup task is done by then, and an empty task only hands on."""
    first = model("first", setup)
    hands_on = empty_operator()(task_id="ephemeral")
    first >> hands_on
    second = model("second", setup, hands_on)
    test = DbtTestAsyncOperator(task_id="second.test", unique_id="model.shop.second", setup=setup)
    second >> test
    TeardownAsyncOperator(task_id="dbt_teardown_async", setup=setup)

    assert task_graph(setup).tasks == {
        "first.run": GraphTask("node", "model.shop.first", (), ENDS),
        "second.run": GraphTask("node", "model.shop.second", ("first.run",), ENDS),
        "second.test": GraphTask("tests", "model.shop.second", ("second.run",), ENDS),
    }


def test_a_task_of_somebody_else_is_waited_for(setup: Any) -> None:
    """Also where only an empty task stands between."""
    first = model("first", setup)
    sensor = DbtRunAsyncOperator(
        task_id="sensor", unique_id="model.other.m", setup_task_id="other", identity={"conn_id": "gcp"}
    )
    between = empty_operator()(task_id="between")
    sensor >> between
    model("second", setup, first, sensor)
    model("third", setup, first, between)

    assert above(setup) == {"first.run": (), "second.run": None, "third.run": None}


class OwnExecute(DbtRunAsyncOperator):
    """Something comes before the work, on a worker."""

    def execute(self, context: Any) -> Any:
        """Do it."""
        return super().execute(context)


class OwnTrigger(DbtRunAsyncOperator):
    """The work is another trigger's."""

    def trigger_kwargs(self) -> dict[str, Any]:
        """Say more."""
        return {**super().trigger_kwargs(), "more": 1}


class OwnColour(DbtRunAsyncOperator):
    """Nothing of its own that matters."""

    ui_color = "#000000"


@pytest.mark.parametrize(
    ("cls", "arguments", "free"),
    [
        (OwnColour, {"retries": 3, "pool": "default_pool"}, True),
        (OwnExecute, {}, False),
        (OwnTrigger, {}, False),
        (DbtRunAsyncOperator, {"trigger_rule": "all_done"}, False),
        (DbtRunAsyncOperator, {"depends_on_past": True}, False),
        (DbtRunAsyncOperator, {"wait_for_downstream": True}, False),
        (DbtRunAsyncOperator, {"max_active_tis_per_dag": 1}, False),
        (DbtRunAsyncOperator, {"on_execute_callback": print}, False),
    ],
)
def test_what_airflow_looks_at_before_it_begins_a_task_is_airflows(
    setup: Any, cls: type, arguments: dict[str, Any], free: bool
) -> None:
    """Nobody else knows of other runs, or runs the author's code on a worker."""
    first = model("first", setup)
    model("second", setup, first, cls=cls, **arguments)

    assert above(setup)["second.run"] == (("first.run",) if free else None)


def test_a_task_that_a_worker_ends_begins_nothing(setup: Any) -> None:
    """It may fail there."""
    model("first", setup, on_success_callback=print)

    assert task_graph(setup).tasks["first.run"].ends_in_triggerer is False


def test_a_task_with_an_identity_of_its_own_neither_begins_ahead_nor_begins_others(setup: Any) -> None:
    """Their jobs would be submitted as somebody else."""
    kwargs = {"setup_task_id": setup.task_id, "identity": {"conn_id": "other"}}
    own = DbtRunAsyncOperator(task_id="own.run", unique_id="model.shop.own", **kwargs)
    first = model("first", setup)
    first >> own
    model("second", setup, own)

    assert task_graph(setup).tasks == {
        "own.run": GraphTask("node", "model.shop.own", None, False),
        "first.run": GraphTask("node", "model.shop.first", (), ENDS),
        "second.run": GraphTask("node", "model.shop.second", ("own.run",), ENDS),
    }
