"""
The trigger of the teardown task: end what the run left running, and delete its folder in the store.
"""

from __future__ import annotations

from typing import Any

from airflow.triggers.base import TriggerEvent

from cosmos_async.exceptions import CosmosAsyncError, PlanNotFound
from cosmos_async.triggers.base import EndingTrigger
from cosmos_async.triggers.jobs.orphans import cancel_orphaned_jobs
from cosmos_async.triggers.storage.documents import delete_folder
from cosmos_async.triggers.task import TaskFacts


class TeardownTrigger(EndingTrigger):
    """
    Delete the plans and outcomes of a run, and end its jobs that nobody ended; nothing to do is as good.

    The arguments are those of :class:`EndingTrigger`; the plan's address may name a connection of its own.
    """

    async def event(self) -> TriggerEvent:
        """Delete the folder; return the event that says so."""
        return self.end(await self._delete())

    async def _delete(self) -> dict[str, Any]:
        try:
            address = await self.plan_address(TaskFacts.of(self).key)
            await cancel_orphaned_jobs(address, identity=self.identity, log=self.log)
            count = await delete_folder(address, identity=self.identity)
        except PlanNotFound as error:
            self.log.info(f"There is nothing to delete: {error}")
            return {"status": "success", "message": ""}
        except CosmosAsyncError as error:
            self.log.error(str(error))
            return {"status": "failed", "message": str(error)}
        things = "1 object" if count == 1 else f"{count} objects"
        self.log.info(f"Deleted {things} below {address.folder}.")
        return {"status": "success", "message": ""}
