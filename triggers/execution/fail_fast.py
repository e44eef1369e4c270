"""
``--fail-fast``: the first task of a run that fails ends the others, as dbt ends what is running beside a failed node.

A task that fails leaves its name in the run's folder. The others look there, and ask Airflow about the names they find:
such a task may have retries left, or be cleared by now. What Airflow calls failed stops them.
"""

from __future__ import annotations

import asyncio
import json

from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.store import PlanAddress, failure_object, failure_objects
from cosmos_async.triggers.event_loop.single_flight import forget_error
from cosmos_async.triggers.google.session import Session
from cosmos_async.triggers.jobs.context import Log
from cosmos_async.triggers.storage.folders import Folder, ObjectMissing
from cosmos_async.triggers.task import Airflow

#: Seconds between two looks, for all tasks of a run in one triggerer.
INTERVAL = 5.0
PATIENCE = 30.0  # seconds for one look: Airflow may never answer while the triggerer shuts down
MESSAGE = "Skipping due to fail_fast"  #: dbt's own (``dbt.task.runnable``)


class FailFast:
    """
    What the tasks of one run know of one another's failures.

    Args:
        address: The run's plan; one that is made anew knows nothing of the failures before it.
        folder: The run's folder.
        session: Through which it is read.
        airflow: Who knows whether a task is failed.
    """

    def __init__(self, address: PlanAddress, folder: Folder, session: Session, airflow: Airflow) -> None:
        self._address = address
        self._folder = folder
        self._clock = session.clock
        self._airflow = airflow
        self._next = self._clock.now()
        self._look: asyncio.Task[str | None] | None = None
        self._warned = False

    @classmethod
    def shared(cls, address: PlanAddress, folder: Folder, session: Session, airflow: Airflow) -> FailFast:
        """Return the one that all tasks of the run share in this process."""
        return session.while_used(("fail_fast", address), lambda: cls(address, folder, session, airflow))

    async def failed_task(self, key: TaskKey, log: Log) -> str | None:
        """
        Return the id of a task of this run that has failed for good, None if none is known; what is known may be old.

        Args:
            key: Whose DAG run it is.
            log: Told, once for all tasks, where that cannot be found out now; no node depends on it.
        """
        if self._look is None or (self._look.done() and self._clock.now() >= self._next):
            self._next = self._clock.now() + INTERVAL
            look = find_failure(self._address, self._folder, key, self._airflow)
            self._look = asyncio.get_running_loop().create_task(asyncio.wait_for(look, PATIENCE))
            self._look.add_done_callback(forget_error)
        try:
            # One who is cancelled takes nothing away from the others.
            found = await asyncio.shield(self._look)
        except Exception as error:  # the store's, or whatever Airflow raises while its API is away
            if not self._warned:
                what = str(error) or type(error).__name__
                log.warning(f"Whether another task has failed (--fail-fast) cannot be found out now: {what}")
            self._warned = True
            return None
        self._warned = False
        return found

    async def until_failure(self, key: TaskKey, log: Log) -> str:
        """Wait for a task of this run to fail for good, and return its id."""
        while True:
            found = await self.failed_task(key, log)
            if found is not None:
                return found
            await self._clock.sleep(INTERVAL)


async def find_failure(address: PlanAddress, folder: Folder, key: TaskKey, airflow: Airflow) -> str | None:
    """
    Return the id of a task of a run that has failed for good, None if there is none.

    Args:
        address: The run's plan.
        folder: The run's folder.
        key: Any task of the DAG run.
        airflow: Who knows.
    """
    for name in await folder.names(failure_objects(address.index)):
        try:
            task = json.loads(await folder.read(name))
        except ObjectMissing:  # the run's folder is being deleted
            continue
        failed = TaskKey(key.dag_id, key.run_id, task["task_id"], task["map_index"], 1)
        if await airflow.state(failed) == "failed":
            return str(task["task_id"])
    return None


async def leave_failure(address: PlanAddress, folder: Folder, key: TaskKey) -> None:
    """Tell the run's other tasks that this one fails."""
    data = json.dumps({"task_id": key.task_id, "map_index": key.map_index}).encode()
    await folder.write(failure_object(address.index, key), data)
