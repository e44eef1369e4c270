"""
The trigger of the teardown task: end what the run left running, and delete its folder in the store, once the results are told.

It needs a worker only where the results task has failed before it could announce what the run has built.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import repeat
from typing import Any

from airflow.triggers.base import TriggerEvent

from cosmos_async.exceptions import CosmosAsyncError, PlanNotFound
from cosmos_async.plan.announcements import ANNOUNCEMENTS_FILE, load_announcements
from cosmos_async.plan.store import PlanAddress
from cosmos_async.triggers.base import EndingTrigger
from cosmos_async.triggers.event_loop.gather import both
from cosmos_async.triggers.execution.lineage import OpenLineage
from cosmos_async.triggers.google.session import shared_session
from cosmos_async.triggers.jobs.orphans import cancel_orphaned_jobs
from cosmos_async.triggers.storage.documents import ObjectMissing, delete_folder, read_object
from cosmos_async.triggers.task import TaskFacts

#: States in which the results task needs the folder no more.
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
#: Seconds between two looks at the results task, for the given number of looks each; then the last of them.
LOOKS = ((0.25, 20), (1.0, 60), (5.0, 0))
MOST_UNKNOWN = 60  # looks at a results task without a state, as one that is not there
PATIENCE = 10.0  # seconds for one look


class TeardownTrigger(EndingTrigger):
    """
    Delete the plans and outcomes of a run, and end its jobs that nobody ended; nothing to do is as good.

    The other arguments are those of :class:`EndingTrigger`; the plan's address may name a connection of its own.

    Args:
        results_task_id: The results task, which Airflow starts at the same time and which reads the folder; None waits for
            nobody.
    """

    fields = (*EndingTrigger.fields, "results_task_id")

    #: Whether events of lineage are sent.
    openlineage: OpenLineage = OpenLineage()

    def __init__(self, *args: Any, results_task_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.results_task_id = results_task_id

    async def event(self) -> TriggerEvent:
        """Delete the folder; return the event that says so."""
        payload = await self._tear_down()
        if self.deferred_by_worker and await self.openlineage.is_active():
            # The listener has told of the start there. This task has nothing to tell, but its run has to end.
            return TriggerEvent(payload)
        return self.end(payload)

    async def _wait_for(self, results: str) -> None:
        """Wait until the results task has ended, whichever way."""
        key, unknown, away = TaskFacts.of(self).key, 0, False
        for looks, pause in enumerate(_pauses()):
            try:
                asked = self.airflow.task_states(key, [results])
                state = (await asyncio.wait_for(asked, timeout=PATIENCE))[results]
            except Exception as error:  # whatever Airflow raises while its API is away
                if not away:
                    self.log.warning(
                        f"Airflow does not tell the state of {results}: {error!r}. Asking again."
                    )
                away = True
            else:
                unknown = unknown + 1 if state is None else 0
                if state in ENDED or unknown > MOST_UNKNOWN:
                    return
            if not looks:
                self.log.info(f"Waiting for the end of {results}.")
            await self.clock.sleep(pause)

    async def _tear_down(self) -> dict[str, Any]:
        try:
            async with shared_session(self.identity):  # for all that follows
                address = await self.plan_address(TaskFacts.of(self).key)
                # The nodes have ended; the results task may still be under way.
                await cancel_orphaned_jobs(address, identity=self.identity, log=self.log)
                if self.results_task_id is not None:
                    await self._wait_for(self.results_task_id)
                count, announced = await both(
                    delete_folder(address, identity=self.identity), self._all_announced(address)
                )
        except PlanNotFound as error:
            self.log.info(f"There is nothing to delete: {error}")
            return {"status": "success", "message": ""}
        except CosmosAsyncError as error:
            self.log.error(str(error))
            return {"status": "failed", "message": str(error)}
        things = "1 object" if count == 1 else f"{count} objects"
        self.log.info(f"Deleted {things} below {address.folder}.")
        if not announced:
            self.log.info("The results task has not announced what the run has built; a worker does it now.")
            return {"status": "announce", "message": ""}
        return {"status": "success", "message": ""}

    async def _all_announced(self, address: PlanAddress) -> bool:
        try:
            data = await read_object(address.artifacts(), ANNOUNCEMENTS_FILE, identity=self.identity)
        except ObjectMissing:  # nothing is announced of this run
            return True
        return all(one.made for one in load_announcements(data))


def _pauses() -> Iterator[float]:
    for pause, times in LOOKS:
        yield from repeat(pause, times) if times else repeat(pause)
