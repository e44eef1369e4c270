"""Where a task begins and ends: in the triggerer, unless something of it needs a worker."""

from __future__ import annotations

import importlib
import logging
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.airflow import compat, openlineage
from cosmos_async.airflow.compat import DAG, AirflowException
from cosmos_async.exceptions import ConfigError
from cosmos_async.operators.deferred import warn_of_listeners
from cosmos_async.operators.node import DbtRunAsyncOperator, DbtTestAsyncOperator
from cosmos_async.operators.teardown import TeardownAsyncOperator

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:
    from airflow.exceptions import TaskDeferred


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins of the person who runs the tests do not decide."""
    monkeypatch.setattr("cosmos_async.operators.deferred.task_listeners", list)


def make(cls: type = DbtRunAsyncOperator, **kwargs: Any) -> Any:
    """Make a task in a DAG of its own."""
    kwargs = {"task_id": "t", "setup_task_id": "dbt_setup_async", "identity": {"conn_id": "gcp"}, **kwargs}
    if cls is DbtRunAsyncOperator or issubclass(cls, DbtRunAsyncOperator):
        kwargs.setdefault("unique_id", "model.shop.orders")
    with DAG("d", schedule=None):
        return cls(**kwargs)


def begins_there(task: Any) -> bool:
    """Tell whether the task needs no worker to begin; before 2.10 Airflow has no word for it."""
    return bool(getattr(task, "start_from_trigger", False))


def test_a_plain_node_begins_and_ends_in_the_triggerer() -> None:
    """No worker is used for it at all, where Airflow allows that."""
    task = make()

    assert begins_there(task) is compat.STARTS_IN_TRIGGERER
    assert task.trigger_kwargs() == {
        "work": "node",
        "unique_id": "model.shop.orders",
        "setup_task_id": "dbt_setup_async",
        "identity": {"conn_id": "gcp"},
        "succeeds_in_triggerer": compat.ENDS_IN_TRIGGERER,
        "fails_in_triggerer": compat.ENDS_IN_TRIGGERER,
        "skips_in_triggerer": compat.ENDS_IN_TRIGGERER,
        "mapped_with_setup": False,
    }


@pytest.mark.skipif(not compat.STARTS_IN_TRIGGERER, reason="this Airflow starts no trigger itself")
@pytest.mark.parametrize(
    "task",
    [
        {},
        {"completion": "worker"},
        {"cls": DbtTestAsyncOperator, "unique_id": "model.shop.orders"},
        {"cls": TeardownAsyncOperator},
    ],
)
def test_a_trigger_that_airflow_starts_is_the_one_that_the_task_would_defer_to(task: dict[str, Any]) -> None:
    """Though less is said: what it takes for said anyway is not serialized with each task."""
    made = make(**task)
    module, _, name = made.trigger_classpath.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    said = made.start_trigger_args.trigger_kwargs

    assert kind(**said).serialize() == kind(**made.trigger_kwargs()).serialize()
    assert "mapped_with_setup" not in said


class WithOwnExecute(DbtRunAsyncOperator):
    """A user's subclass."""

    def execute(self, context: Any) -> Any:
        """Do something first."""
        return super().execute(context)


class WithOwnEnd(DbtRunAsyncOperator):
    """A user's subclass."""

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> None:
        """Do something afterwards."""
        super().execute_complete(context, event)


class WithNothingOfItsOwn(DbtRunAsyncOperator):
    """A user's subclass that changes a colour."""

    ui_color = "#000"


def test_a_subclass_with_its_own_execute_is_entered_there() -> None:
    """Its code runs, and then it defers."""
    assert not begins_there(make(WithOwnExecute))


def test_a_subclass_with_its_own_end_is_resumed_there() -> None:
    """Its code runs after the trigger."""
    task = make(WithOwnEnd)

    assert begins_there(task) is compat.STARTS_IN_TRIGGERER
    assert not task.succeeds_in_triggerer


def test_a_subclass_with_nothing_of_its_own_needs_no_worker() -> None:
    """Subclassing alone costs nothing."""
    assert make(WithNothingOfItsOwn).succeeds_in_triggerer is compat.ENDS_IN_TRIGGERER


@pytest.mark.parametrize(
    ("arguments", "starts", "succeeds", "fails"),
    [
        pytest.param({"on_execute_callback": print}, False, True, True, id="on_execute_callback"),
        pytest.param({"on_success_callback": print}, True, False, True, id="on_success_callback"),
        pytest.param({"on_failure_callback": print}, True, True, False, id="on_failure_callback"),
        pytest.param({"on_retry_callback": print}, True, True, False, id="on_retry_callback"),
        pytest.param({"completion": "worker"}, True, False, False, id="the user wants a worker"),
        pytest.param(
            {"completion": "triggerer", "on_success_callback": print},
            True,
            True,
            True,
            id="the user wants none",
        ),
    ],
)
def test_what_airflow_runs_on_workers_only_gets_a_worker(
    arguments: dict[str, Any], starts: bool, succeeds: bool, fails: bool
) -> None:
    """Callbacks run with all of their context, and the rest of the task still waits in the triggerer."""
    task = make(**arguments)

    assert bool(begins_there(task)) is (starts and compat.STARTS_IN_TRIGGERER)
    assert task.succeeds_in_triggerer is (succeeds and compat.ENDS_IN_TRIGGERER)
    assert task.fails_in_triggerer is (fails and compat.ENDS_IN_TRIGGERER)


@pytest.fixture
def listened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin listens."""
    monkeypatch.setattr("cosmos_async.operators.deferred.task_listeners", lambda: ["acme.audit"])


@pytest.mark.usefixtures("listened")
@pytest.mark.parametrize("cls", [DbtRunAsyncOperator, WithNothingOfItsOwn])
def test_listeners_get_every_task_on_a_worker(cls: type) -> None:
    """They see each node begin and end."""
    task = make(cls)

    assert (begins_there(task), task.succeeds_in_triggerer, task.fails_in_triggerer) == (
        False,
        False,
        False,
    )


class Insisting(DbtRunAsyncOperator):
    """A user's subclass that knows of listeners without need of it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(completion="triggerer", **kwargs)


@pytest.mark.usefixtures("listened")
@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (DbtRunAsyncOperator, {"completion": "triggerer"}),
        (WithNothingOfItsOwn, {"completion": "triggerer"}),
        (Insisting, {}),
    ],
)
def test_an_author_may_overrule_listeners(cls: type, arguments: dict[str, Any]) -> None:
    """Then the task begins and ends as if nobody listened."""
    task = make(cls, **arguments)

    assert begins_there(task) is compat.STARTS_IN_TRIGGERER
    assert task.succeeds_in_triggerer is task.skips_in_triggerer is compat.ENDS_IN_TRIGGERER


@pytest.mark.usefixtures("listened")
def test_what_of_the_task_comes_before_the_work_runs_whoever_listens() -> None:
    """``completion`` is about the end: an overridden ``execute`` is not passed by."""
    assert not begins_there(make(WithOwnExecute, completion="triggerer"))


def warned(caplog: pytest.LogCaptureFixture, **arguments: Any) -> str:
    """What setup's log says of listeners to a run with one node."""
    task = make(**arguments)
    setup = SimpleNamespace(dag=task.dag, task_id="dbt_setup_async", log=logging.getLogger("setup"))
    warn_of_listeners(setup)
    return caplog.text


@pytest.mark.usefixtures("listened")
@pytest.mark.skipif(not compat.ENDS_IN_TRIGGERER, reason="tasks begin and end on workers in any case")
def test_setup_says_who_listens_and_how_to_overrule(caplog: pytest.LogCaptureFixture) -> None:
    """Else nobody would know why nodes use workers."""
    text = warned(caplog)

    assert "so for acme.audit 1 of this run's tasks begin and end on one" in text
    assert 'operator_args={"completion": "triggerer"}' in text


@pytest.mark.skipif(not compat.ENDS_IN_TRIGGERER, reason="tasks begin and end on workers in any case")
def test_setup_says_which_openlineage_would_need_no_workers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The provider that came with an Airflow may be older than what is needed."""
    monkeypatch.setattr("cosmos_async.airflow.openlineage.installed_version", lambda: "2.2.0")
    monkeypatch.setattr("cosmos_async.operators.deferred.task_listeners", lambda: [openlineage.LISTENER])

    assert "OpenLineage's provider is 2.2.0. From 2.3 on" in warned(caplog)


@pytest.mark.usefixtures("listened")
def test_setup_says_nothing_of_listeners_that_are_overruled(caplog: pytest.LogCaptureFixture) -> None:
    """Nor where nobody listens."""
    assert warned(caplog, completion="triggerer") == ""


def test_setup_says_nothing_where_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    """As in most places."""
    assert warned(caplog) == ""


def test_a_test_task_without_a_node_executes_all_tests() -> None:
    """AFTER_ALL."""
    assert make(DbtTestAsyncOperator).work == "all_tests"
    assert make(DbtTestAsyncOperator, unique_id="model.shop.orders").work == "tests"


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        pytest.param(DbtRunAsyncOperator, {"unique_id": None}, "task t needs unique_id", id="no node"),
        pytest.param(DbtRunAsyncOperator, {"setup_task_id": None}, "does not know its run", id="no setup"),
        pytest.param(DbtRunAsyncOperator, {"work": "both"}, "work is 'both' in task t", id="unknown work"),
        pytest.param(
            DbtRunAsyncOperator, {"completion": "x"}, "completion is 'x' in task t", id="unknown completion"
        ),
        pytest.param(TeardownAsyncOperator, {"identity": None}, "does not know its run", id="teardown"),
    ],
)
def test_a_wrong_argument_is_named_when_the_dag_is_parsed(
    cls: type, arguments: dict[str, Any], message: str
) -> None:
    """Nothing is submitted before."""
    with pytest.raises(ConfigError, match=message):
        make(cls, **arguments)


def test_a_failed_node_fails_on_the_worker_with_the_triggers_words() -> None:
    """Airflow then retries and calls back as for any task."""
    with pytest.raises(AirflowException, match=r"model\.shop\.orders: Unrecognized name"):
        make().execute_complete({}, {"status": "failed", "message": "model.shop.orders: Unrecognized name"})


def test_a_trigger_that_ends_without_a_word_is_not_a_success() -> None:
    """Silence is not success."""
    with pytest.raises(AirflowException, match="without a word"):
        make().execute_complete({}, None)


def test_a_serialized_node_is_small_and_restores() -> None:
    """Airflow reads the whole DAG for each trigger it starts, so each task must stay small."""
    import json

    from airflow.serialization import serialized_objects

    serializer = getattr(serialized_objects, "DagSerialization", None) or serialized_objects.SerializedDAG
    task = make()
    document = serializer.to_dict(task.dag)

    assert len(json.dumps(document["dag"]["tasks"][0])) < 1500
    assert serializer.from_dict(document).task_dict["t"].task_type == "DbtRunAsyncOperator"


def test_compiled_sql_is_rendered_where_a_worker_ends_the_task() -> None:
    """Elsewhere nobody would; and on Airflow 3.3 each start of a trigger carries what a task's fields are."""
    there, here = make(), make(completion="worker")

    assert here.template_fields == ("compiled_sql",)
    assert "xcom_pull" in here.compiled_sql
    assert (there.template_fields == ()) is compat.FAILS_IN_TRIGGERER


def test_a_worker_tells_the_trigger_of_the_task_instance() -> None:
    """Airflow 3 would tell it hardly more than the key: a task's metrics need its operator, its start and its tries."""
    started = datetime(2026, 3, 4, tzinfo=timezone.utc)
    ti = SimpleNamespace(start_date=started, max_tries=2)

    with pytest.raises(TaskDeferred) as deferred:
        make().execute({"ti": ti})

    arguments = deferred.value.trigger.serialize()[1]
    assert arguments["deferred_by_worker"] is True
    assert arguments["instance"] == {
        "operator": "DbtRunAsyncOperator",
        "started": started.isoformat(),
        "max_tries": 2,
    }
