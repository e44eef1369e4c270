"""
Airflow's metrics of task instances, for those that begin or end in the triggerer: Airflow itself counts on workers alone.

Names and tags are those of the installed version, as its worker sends them:

- 2.10 and 2.11: ``models/taskinstance.py``, ``_run_raw_task`` and ``_execute_task_with_callbacks``
- 3.0: its workers send none, so there is nothing to be like
- 3.1 and 3.2: the Task SDK's ``execution_time/task_runner.py``, ``run`` and ``finalize``
- 3.3: the same; Airflow makes the names without tags of those with tags, where ``[metrics] legacy_names_on`` asks for them

``task.queued_duration`` and ``task.scheduled_duration`` are of queues that such a task never enters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from cosmos_async.airflow.compat import AIRFLOW_VERSION, ENDS_IN_TRIGGERER

#: The tag of an operator's class, for successes and failures.
_OPERATOR_TAGS = (
    ("task_type", "operator")
    if AIRFLOW_VERSION < (3, 0)
    else ("operator", "operator")
    if AIRFLOW_VERSION < (3, 3)
    else ("operator_name", "operator_name")
)
#: Airflow 3.3 derives the names that have their tags in them.
_WITHOUT_TAGS = AIRFLOW_VERSION < (3, 3)


@dataclass(frozen=True)
class Counted:
    """A task instance, as metrics know it."""

    dag_id: str
    task_id: str
    operator: str  #: the operator's class
    team: str | None = None  #: since Airflow 3.3

    @property
    def tags(self) -> dict[str, str]:
        """The tags of every metric."""
        tags = {"dag_id": self.dag_id, "task_id": self.task_id}
        return tags if self.team is None else {**tags, "team_name": self.team}


@lru_cache(maxsize=1)
def are_wanted() -> bool:
    """Return whether Airflow sends metrics anywhere, and its workers send those of task instances."""
    from airflow.configuration import conf

    return (
        ENDS_IN_TRIGGERER
        and AIRFLOW_VERSION != (3, 0)
        and any(
            conf.getboolean("metrics", name, fallback=False)
            for name in ("statsd_on", "statsd_datadog_enabled", "otel_on")
        )
    )


def count_start(task: Counted, *, stats: Any = None) -> None:
    """
    Count a task that the triggerer has started, as ``ti.start``.

    Args:
        task: The task instance.
        stats: Airflow's client of metrics, or one like it.
    """
    stats = stats or _stats()
    if _WITHOUT_TAGS:
        stats.incr(f"ti.start.{task.dag_id}.{task.task_id}", tags=task.tags)
    stats.incr("ti.start", tags=task.tags)
    if AIRFLOW_VERSION < (3, 0):
        from airflow.utils.state import State

        for state in State.task_states:
            _count_finish(stats, task, str(state), count=0)


def count_end(task: Counted, state: str, seconds: float, *, stats: Any = None) -> None:
    """
    Count a task that its trigger ends.

    Args:
        task: The task instance.
        state: Airflow's word for it: ``success``, ``failed``, ``up_for_retry`` or ``skipped``.
        seconds: From its start to its end.
        stats: As for :func:`count_start`.
    """
    stats = stats or _stats()
    for_success, for_failure = _OPERATOR_TAGS
    if state == "success":
        _count_operator(stats, task, "operator_successes", for_success)
        stats.incr("ti_successes", tags=task.tags)
    elif state in ("failed", "up_for_retry"):
        _count_operator(stats, task, "operator_failures", for_failure)
        stats.incr("ti_failures", tags=task.tags)
    _count_finish(stats, task, state)
    duration = seconds * 1000
    if _WITHOUT_TAGS:
        stats.timing(f"dag.{task.dag_id}.{task.task_id}.duration", duration)
    stats.timing("task.duration", duration, tags=task.tags)


def _count_finish(stats: Any, task: Counted, state: str, **count: int) -> None:
    if _WITHOUT_TAGS:
        stats.incr(f"ti.finish.{task.dag_id}.{task.task_id}.{state}", tags=task.tags, **count)
    stats.incr("ti.finish", tags={**task.tags, "state": state}, **count)


def _count_operator(stats: Any, task: Counted, name: str, tag: str) -> None:
    if _WITHOUT_TAGS:
        stats.incr(f"{name}_{task.operator}", tags=task.tags)
    stats.incr(name, tags={**task.tags, tag: task.operator})


def _stats() -> Any:
    # That of the core, as the triggerer sets up no other one.
    where = "airflow.observability.stats" if AIRFLOW_VERSION >= (3, 2) else "airflow.stats"
    module = import_module(where)
    return module if AIRFLOW_VERSION >= (3, 3) else module.Stats
