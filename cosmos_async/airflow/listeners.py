"""
Listeners: plugins that hear of every task instance's start and end.

Airflow calls them only for tasks that a worker runs, so an installation with one wants its tasks to begin and end there. Not for
OpenLineage's, whose events our triggers send.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cosmos_async.airflow import openlineage
from cosmos_async.airflow.compat import AIRFLOW_VERSION

#: Those that have nothing to say of our tasks, by module or class.
_INDIFFERENT = frozenset(
    {
        # Airflow's own example listens to everything and does nothing.
        "airflow.example_dags.plugins.event_listener",
        # Since astronomer-cosmos 1.12; it passes by every task that is none of Cosmos' operators (1.12 to 1.15.1).
        "cosmos.listeners.task_instance_listener",
    }
)
_HOOKS = (
    "on_task_instance_running",
    "on_task_instance_success",
    "on_task_instance_failed",
    "on_task_instance_skipped",  # since Airflow 3.1
)


def task_listeners() -> list[str]:
    """Return what listens to task instances and may care for ours: modules and classes, by their full names."""
    if AIRFLOW_VERSION >= (3, 2):
        from airflow.sdk.listener import get_listener_manager
    else:
        from airflow.listeners.listener import get_listener_manager  # type: ignore[assignment]
    names = _names(frozenset(get_listener_manager().pm.get_plugins()))
    if openlineage.LISTENER in names and openlineage.is_supported():
        names -= {openlineage.LISTENER}
    return sorted(names)


@lru_cache(maxsize=4)  # each task of a DAG asks
def _names(listeners: frozenset[Any]) -> frozenset[str]:
    return (
        frozenset(
            _name(listener) for listener in listeners if any(hasattr(listener, hook) for hook in _HOOKS)
        )
        - _INDIFFERENT
    )


def _name(listener: Any) -> str:
    if hasattr(listener, "__name__"):  # a module
        return str(listener.__name__)
    return f"{type(listener).__module__}.{type(listener).__qualname__}"
