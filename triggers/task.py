"""
What a trigger learns from Airflow about its own task, the same for all versions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from cosmos_async.airflow.compat import AIRFLOW_VERSION
from cosmos_async.airflow.metrics import Counted, are_wanted, count_end, count_start
from cosmos_async.plan.ids import TaskKey
from cosmos_async.triggers.event_loop.threads import in_thread

log = logging.getLogger(__name__)

#: A task in one of these states is still ours, or will be again: nobody killed it.
ALIVE = frozenset({"deferred", "running", "queued", "scheduled"})


@dataclass(frozen=True)
class TaskFacts:
    """One task instance, as its trigger needs to know it."""

    key: TaskKey
    timeout_after: datetime | None = None  #: when Airflow ends the trigger, aware
    started: datetime | None = None  #: when a worker has started it, aware
    operator: str | None = None  #: the operator's class
    max_tries: int | None = None  #: how often it may be tried again
    team: str | None = None  #: since Airflow 3.3

    @classmethod
    def of(cls, trigger: Any) -> TaskFacts:
        """Read what Airflow has set on *trigger*."""
        ti = trigger.task_instance
        map_index = getattr(ti, "map_index", None)
        key = TaskKey(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            task_id=ti.task_id,
            map_index=-1 if map_index is None else map_index,
            try_number=max(1, ti.try_number or 1),
        )
        after = getattr(trigger, "timeout_after", None) or getattr(ti, "trigger_timeout", None)
        if after is not None and after.tzinfo is None:
            after = after.replace(tzinfo=timezone.utc)
        return cls(key, after, **_about(ti, getattr(trigger, "instance", None)))

    @property
    def state_of_failure(self) -> str:
        """The state that Airflow gives the task when its trigger fails it, which depends on the tries that are left."""
        return "up_for_retry" if self.key.try_number <= (self.max_tries or 0) else "failed"

    @property
    def counted(self) -> Counted:
        """The task, as metrics know it."""
        return Counted(self.key.dag_id, self.key.task_id, self.operator or "unknown", self.team)


def _about(ti: Any, told: dict[str, Any] | None) -> dict[str, Any]:
    """
    Return what is known of a task instance beside its key.

    Args:
        ti: Airflow's: an object of its database (2.x), what a worker has (3.3, where the trigger was started without one),
            or hardly more than the key (3.x).
        told: What the worker that has started the trigger has told, if one has.
    """
    if told is not None:
        started = told["started"]
        return {
            "started": None if started is None else datetime.fromisoformat(started),
            "operator": told["operator"],
            "max_tries": told["max_tries"],
        }
    task = getattr(ti, "task", None)
    if task is None:
        return {"operator": getattr(ti, "operator", None), "max_tries": getattr(ti, "max_tries", None)}
    server = getattr(ti, "_ti_context_from_server", None)
    return {
        "operator": task.task_type,
        # Airflow tells the number of a first run alone; of one that was cleared it is larger.
        "max_tries": task.retries,
        "team": getattr(getattr(server, "dag_run", None), "team_name", None),
    }


class Airflow:
    """What a trigger asks and tells Airflow while it runs; tests put another one in its place."""

    async def count_start(self, facts: TaskFacts) -> None:
        """Count in Airflow's metrics that the task has begun in the triggerer."""
        await _count(count_start, facts.counted)

    async def count_end(self, facts: TaskFacts, state: str, seconds: float) -> None:
        """
        Count in Airflow's metrics that the task ends in the triggerer.

        Args:
            facts: The task.
            state: See :func:`cosmos_async.airflow.metrics.count_end`.
            seconds: Since its start.
        """
        await _count(count_end, facts.counted, state, seconds)

    async def xcom(self, key: TaskKey, name: str) -> Any:
        """Return an XCom of the task *key*, None where there is none."""
        return await in_thread(_get_xcom, key, name)

    async def leave_xcoms(self, key: TaskKey, values: dict[str, Any]) -> None:
        """
        Store XComs of this task.

        Not with the event that ends it: there are none before Airflow 2.10, none of a failure, and those of Airflow 3 come out
        encoded twice.
        """
        await in_thread(_set_xcoms, key, values)

    async def state(self, key: TaskKey) -> str | None:
        """
        Return the state of a task instance now, None where it has none (just cleared).

        It may never answer while the triggerer shuts down: the caller bounds it.
        """
        return await in_thread(_state_by_api if AIRFLOW_VERSION >= (3, 0) else _state_by_orm, key)

    async def task_states(self, key: TaskKey, task_ids: Sequence[str]) -> dict[str, str | None]:
        """
        Return the states of several tasks of a run now, None for one that has none.

        Args:
            key: Any task of the run; the others have its map index.
            task_ids: Their ids.
        """
        if AIRFLOW_VERSION >= (3, 0):
            return await in_thread(_states_by_api, key, task_ids)
        return {one: await in_thread(_state_by_orm, replace(key, task_id=one)) for one in task_ids}


async def _count(function: Callable[..., None], *args: Any) -> None:
    if not are_wanted():
        return
    try:
        await in_thread(function, *args)
    except Exception:
        log.warning("This task is not counted in Airflow's metrics.", exc_info=True)


def _get_xcom(key: TaskKey, name: str) -> Any:
    where: dict[str, Any] = {
        "key": name,
        "dag_id": key.dag_id,
        "task_id": key.task_id,
        "run_id": key.run_id,
        "map_index": key.map_index,
    }
    if AIRFLOW_VERSION >= (3, 0):
        # Not ti.xcom_pull: without map_indexes it asks for a sequence, which no triggerer can answer, and hangs.
        from airflow.sdk.execution_time.xcom import XCom

        return XCom.get_one(**where)
    from airflow.models.xcom import XCom as ModelXCom  # removable when Airflow 2.11 is dropped

    return ModelXCom.get_one(**where)


def _set_xcoms(key: TaskKey, values: dict[str, Any]) -> None:
    if AIRFLOW_VERSION >= (3, 0):
        from airflow.sdk.execution_time.xcom import XCom

        store: Any = XCom
    else:  # removable when Airflow 2.11 is dropped
        from airflow.models.xcom import XCom as ModelXCom

        store = ModelXCom
    for name, value in values.items():
        store.set(
            key=name,
            value=value,
            dag_id=key.dag_id,
            task_id=key.task_id,
            run_id=key.run_id,
            map_index=key.map_index,
        )


def _state_by_api(key: TaskKey) -> str | None:
    return _states_by_api(key, [key.task_id])[key.task_id]


def _states_by_api(key: TaskKey, task_ids: Sequence[str]) -> dict[str, str | None]:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=key.dag_id,
        task_ids=list(task_ids),
        run_ids=[key.run_id],
        map_index=key.map_index if key.map_index >= 0 else None,
    ).get(key.run_id, {})
    found = {one: states.get(f"{one}_{key.map_index}", states.get(one)) for one in task_ids}
    return {
        one: None if state is None else str(getattr(state, "value", state)) for one, state in found.items()
    }


def _state_by_orm(key: TaskKey) -> str | None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        found = (
            session.query(TaskInstance.state)
            .filter(
                TaskInstance.dag_id == key.dag_id,
                TaskInstance.run_id == key.run_id,
                TaskInstance.task_id == key.task_id,
                TaskInstance.map_index == key.map_index,
            )
            .scalar()
        )
    return None if found is None else str(getattr(found, "value", found))
