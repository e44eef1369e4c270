"""Which plugins want tasks to run on workers: those that listen to task instances and may care for ours."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from cosmos_async.airflow import openlineage
from cosmos_async.airflow.compat import AIRFLOW_VERSION
from cosmos_async.airflow.listeners import task_listeners

if AIRFLOW_VERSION >= (3, 2):
    from airflow.sdk.listener import get_listener_manager
else:
    from airflow.listeners.listener import get_listener_manager
from airflow.listeners import hookimpl


class Audit:
    """A listener that is an object, as OpenLineage's."""

    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
        """Hear of it."""


class OfRuns:
    """A listener to DAG runs, which Airflow calls wherever its tasks run."""

    @hookimpl
    def on_dag_run_success(self, dag_run: Any, msg: str) -> None:
        """Hear of it."""


def module(name: str) -> ModuleType:
    """A listener that is a module, as most are."""
    made = ModuleType(name)

    def on_task_instance_running(previous_state: Any, task_instance: Any) -> None:
        pass

    made.on_task_instance_running = hookimpl(on_task_instance_running)  # type: ignore[attr-defined]
    return made


@pytest.fixture(autouse=True)
def _nobody_else_listens() -> Iterator[None]:
    manager = get_listener_manager()
    others = list(manager.pm.get_plugins())
    for other in others:
        manager.pm.unregister(other)
    yield
    for one in list(manager.pm.get_plugins()):
        manager.pm.unregister(one)
    for other in others:
        manager.pm.register(other)


@pytest.mark.parametrize(
    ("listener", "names"),
    [
        pytest.param(module("acme.audit"), ["acme.audit"], id="a module"),
        pytest.param(Audit(), [f"{__name__}.Audit"], id="an object"),
        pytest.param(OfRuns(), [], id="of DAG runs alone"),
        pytest.param(module("cosmos.listeners.task_instance_listener"), [], id="that of Cosmos"),
        pytest.param(module("airflow.example_dags.plugins.event_listener"), [], id="Airflow's example"),
    ],
)
def test_a_listener_is_named(listener: Any, names: list[str]) -> None:
    """By its module or class, so that somebody finds its plugin."""
    get_listener_manager().pm.register(listener)

    assert task_listeners() == names


@pytest.mark.parametrize(
    ("installed", "names"), [("2.3.0", []), ("2.2.0", [openlineage.LISTENER])], ids=["new enough", "too old"]
)
def test_openlineage_needs_no_worker_where_we_send_its_events(
    monkeypatch: pytest.MonkeyPatch, installed: str, names: list[str]
) -> None:
    """Its own listener hears of workers' tasks; the triggers send what it cannot hear of."""
    kind, name = openlineage.LISTENER.rsplit(".", 1)
    listener = type(name, (Audit,), {"__module__": kind})()
    monkeypatch.setattr(openlineage, "installed_version", lambda: installed)
    get_listener_manager().pm.register(listener)

    assert task_listeners() == names
