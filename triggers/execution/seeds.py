"""
Seeds that are loaded only when they have changed (``SeedRenderingBehavior.WHEN_SEED_CHANGES``).

What the last load has left is kept beside the runs' folders. A seed is passed by where its plan would write the same and
its table was not touched since; in any doubt it is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.model import Json, NodePlan, RunInfo
from cosmos_async.plan.seeds import Loaded, content_of, state_of
from cosmos_async.plan.store import PlanAddress, kept_seeds, seed_object
from cosmos_async.triggers.google.credentials import Identity
from cosmos_async.triggers.jobs.context import Run
from cosmos_async.triggers.storage.documents import ObjectMissing, folder_at

#: Of a seed that was passed by, for the log and for ``run_results.json``.
UNCHANGED = "unchanged since it was loaded"


@dataclass(frozen=True)
class Seeds:
    """
    What is known of the seeds that one DAG or task group has loaded.

    Args:
        address: Of the folder in which that is kept.
        identity: Who reads and writes it, unless the address names a connection of its own.
    """

    address: PlanAddress
    identity: Identity

    @classmethod
    def of(cls, run: RunInfo, address: PlanAddress, identity: Identity) -> Seeds | None:
        """
        Return what *run* has to ask, None where it loads every seed.

        Args:
            run: What the index says of it. With ``--full-refresh`` every seed is loaded.
            address: Of its plan.
            identity: Who reads and writes the store, unless the address names a connection of its own.
        """
        if not run.seeds_when_changed or run.full_refresh:
            return None
        return cls(replace(address, folder=kept_seeds(address.folder), host=""), identity)

    async def is_unchanged(self, plan: NodePlan, run: Run) -> bool:
        """Return whether carrying out *plan* would change nothing."""
        content = content_of(plan)
        if content is None or plan.relation is None or run.key.late:
            return False
        try:
            async with folder_at(self.address, identity=self.identity) as folder:
                last = Loaded.load(await folder.read(seed_object(plan.unique_id, plan.relation)))
        except ObjectMissing:
            return False
        return last is not None and last == Loaded(content, await _state(plan.relation, run) or {})

    async def keep(self, plan: NodePlan, run: Run) -> None:
        """Keep what *plan*, which was carried out, has left."""
        content = content_of(plan)
        if content is None or plan.relation is None or run.key.late:
            return
        try:
            state = await _state(plan.relation, run)
            if state is None:
                return
            async with folder_at(self.address, identity=self.identity) as folder:
                await folder.write(seed_object(plan.unique_id, plan.relation), Loaded(content, state).dump())
        except CosmosAsyncError as error:  # it is loaded all the same
            run.log.warning(
                run.told(plan, f"the next run loads it again, whether it changes or not: {error}")
            )


async def _state(relation: str, run: Run) -> Json | None:
    project, dataset, table = relation.rsplit(".", 2)
    return state_of(await run.warehouse.bigquery.get_table(project, dataset, table, deadline=run.deadline))
