"""
The trigger of the teardown task: end what the run left running, and delete its folder in the store.

It needs a worker only where the results task has failed before it could announce what the run has built.
"""

from __future__ import annotations

from typing import Any

from airflow.triggers.base import TriggerEvent

from cosmos_async.exceptions import CosmosAsyncError, PlanNotFound
from cosmos_async.plan.announcements import ANNOUNCEMENTS_FILE, load_announcements
from cosmos_async.plan.store import PlanAddress
from cosmos_async.triggers.base import EndingTrigger
from cosmos_async.triggers.execution.lineage import OpenLineage
from cosmos_async.triggers.jobs.orphans import cancel_orphaned_jobs
from cosmos_async.triggers.storage.documents import ObjectMissing, delete_folder, read_object
from cosmos_async.triggers.task import TaskFacts


class TeardownTrigger(EndingTrigger):
    """
    Delete the plans and outcomes of a run, and end its jobs that nobody ended; nothing to do is as good.

    The arguments are those of :class:`EndingTrigger`; the plan's address may name a connection of its own.
    """

    #: Whether events of lineage are sent.
    openlineage: OpenLineage = OpenLineage()

    async def event(self) -> TriggerEvent:
        """Delete the folder; return the event that says so."""
        payload = await self._delete()
        if self.deferred_by_worker and await self.openlineage.is_active():
            # The listener has told of the start there. This task has nothing to tell, but its run has to end.
            return TriggerEvent(payload)
        return self.end(payload)

    async def _delete(self) -> dict[str, Any]:
        try:
            address = await self.plan_address(TaskFacts.of(self).key)
            await cancel_orphaned_jobs(address, identity=self.identity, log=self.log)
            count = await delete_folder(address, identity=self.identity)
            announced = await self._all_announced(address)
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
