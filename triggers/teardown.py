"""
The trigger of the teardown task: end what the run left running, and delete its folder in the store.
"""

from __future__ import annotations

from typing import Any

from airflow.triggers.base import TriggerEvent

from cosmos_async.exceptions import CosmosAsyncError, PlanNotFound
from cosmos_async.triggers.base import EndingTrigger
from cosmos_async.triggers.leftovers import end_leftovers
from cosmos_async.triggers.storage import delete_folder
from cosmos_async.triggers.task import TaskFacts


class TeardownTrigger(EndingTrigger):
    """
    Delete the plans and outcomes of a run, and end its jobs that nobody ended; nothing to do is as good.

    Args:
        setup_task_id: The setup task whose folder is deleted.
        identity: Names of the credentials, unless the plan's address names a connection of its own.
        succeeds_in_triggerer: Whether the trigger ends the task when all went well.
        fails_in_triggerer: Likewise when something failed.
        mapped_with_setup: Whether both are in one mapped task group, where each instance has a plan of its own.
        deferred_by_worker: Whether a worker has started this trigger.
    """

    fields = (
        "setup_task_id",
        "identity",
        "succeeds_in_triggerer",
        "fails_in_triggerer",
        "mapped_with_setup",
        "deferred_by_worker",
    )

    def __init__(
        self,
        setup_task_id: str,
        identity: dict[str, Any],
        succeeds_in_triggerer: bool = True,
        fails_in_triggerer: bool = True,
        mapped_with_setup: bool = False,
        deferred_by_worker: bool = False,
    ) -> None:
        super().__init__(
            setup_task_id,
            identity,
            succeeds_in_triggerer,
            fails_in_triggerer,
            mapped_with_setup,
            deferred_by_worker,
        )

    async def event(self) -> TriggerEvent:
        """Delete the folder; return the event that says so."""
        return self.end(await self._delete())

    async def _delete(self) -> dict[str, Any]:
        try:
            address = await self.plan_address(TaskFacts.of(self).key)
            await end_leftovers(address, identity=self.identity, log=self.log)
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
