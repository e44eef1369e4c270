"""
What a worker planned anew in the middle of a task: which nodes go on by which plan, and what is known of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cosmos_async.exceptions import PlanNotFound
from cosmos_async.plan.outcome import Outcome, load_outcome
from cosmos_async.plan.store import PlanAddress, late_objects, outcome_object
from cosmos_async.plan.waves import Pin
from cosmos_async.triggers.event_loop.gather import gather_bounded
from cosmos_async.triggers.jobs.cancel import cancel_jobs_of, earlier_tries
from cosmos_async.triggers.jobs.context import Run
from cosmos_async.triggers.storage.folders import Folder, ObjectMissing
from cosmos_async.triggers.storage.node_plans import read_late


@dataclass(frozen=True)
class Resume:
    """Where a task goes on after a worker's work."""

    position: int = 0  #: of a group of nodes; those before it have ended
    plans: dict[str, str] = field(default_factory=dict)  #: of that group, what is left: digests by unique id
    #: How far setup's plans had been carried out before: positions by unique id, of those that have written something.
    done: dict[str, int] = field(default_factory=dict)
    address: PlanAddress | None = None  #: where the worker has put a plan for this task alone

    @classmethod
    def of(cls, value: dict[str, Any] | None) -> Resume | None:
        """Read the trigger's argument; None where the task begins."""
        if value is None:
            return None
        address = value.get("address")
        return cls(
            value["position"],
            dict(value["plans"]),
            dict(value.get("done") or {}),
            None if address is None else PlanAddress.from_json(address),
        )

    def left_of(self, position: int, group: Sequence[str]) -> list[str]:
        """Return the nodes of a group that have not ended."""
        if position < self.position:
            return []
        return [unique_id for unique_id in group if position > self.position or unique_id in self.plans]

    async def ended(self, folder: Folder, groups: Sequence[Sequence[str]]) -> list[Outcome]:
        """
        Return the outcomes of all nodes that have ended.

        Raises:
            PlanNotFound: One is not in the store.
        """
        return await gather_bounded(
            _outcome(folder, unique_id)
            for position, group in enumerate(groups[: self.position + 1])
            for unique_id in group
            if unique_id not in self.left_of(position, group)
        )


async def _outcome(folder: Folder, unique_id: str) -> Outcome:
    name = outcome_object(unique_id)
    try:
        return load_outcome(await folder.read(name))
    except ObjectMissing as error:
        raise PlanNotFound(
            f"what became of {unique_id} earlier in this try is not known: {folder.path}/{name} is not there. Clear "
            "this task to run it again."
        ) from error


async def cancel_late_jobs(run: Run) -> None:
    """End what earlier tries of this task left running by plans that a worker had made for them."""
    for key in earlier_tries(run.key):
        for name in await run.folder.names(late_objects(key)):
            for unique_id, digest in Pin.load(await run.folder.read(name)).plans.items():
                plan = await read_late(run.folder, unique_id, digest)
                await cancel_jobs_of(plan, [replace(key, late=digest)], run)
