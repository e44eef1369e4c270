"""
What a worker plans for other tasks along with its own nodes: the late nodes whose turn has come as well.

See :mod:`cosmos_async.plan.waves`. One dbt records them all, each as if it were alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.operators.run_plan import RunPlan
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import Index, Level, NodePlan, dump_node
from cosmos_async.plan.waves import Claim, Pin, Request, pin_object, request_objects

if TYPE_CHECKING:
    from cosmos_async.dbt.planner.late import LatePlans
    from cosmos_async.triggers.storage.folders import Folder

#: Nodes that are planned at once for other tasks: they all wait for the last one of them.
MOST_NODES = 100


class Wave:
    """
    The requests of a run's other tasks, and what is pinned for the worker's own.

    Args:
        plan: The run's.
        index: Its index.
        key: The worker's own task.
        claim: The name of its claim; without one it plans its own nodes alone.
        log: Its log.
    """

    def __init__(self, plan: RunPlan, index: Index, key: TaskKey, claim: str | None, log: Any) -> None:
        self._plan = plan
        self._index = index
        self._key = key
        self._claim = claim
        self._log = log

    def take(self) -> list[Request]:
        """Return what is asked for now, as much as is planned at once."""
        if self._claim is None:
            return []
        found: list[Request] = []
        count = 0
        for request in self._plan.in_folder(self._open):
            if request.key(self._key) == self._key or not self._is_late(request):
                continue
            count += len(request.unique_ids)
            if found and count > MOST_NODES:
                break
            found.append(request)
        if found:
            names = ", ".join(self.reasons(found))
            self._log.info("Planning along what %d other tasks ask for: %s", len(found), names)
        return found

    def reasons(self, requests: Sequence[Request]) -> dict[str, str]:
        """Return why the nodes are planned late, by unique id."""
        return {
            unique_id: self._index.nodes[unique_id].reason
            for request in requests
            for unique_id in request.unique_ids
        }

    def answer(self, requests: Sequence[Request], made: LatePlans) -> None:
        """
        Store the plans and tell the tasks.

        One with a node that cannot be planned gets none: it asks for a worker of its own, which says why.

        Args:
            requests: What was asked for.
            made: The plans of all nodes that were planned in this dbt.
        """
        pins, plans = {}, {}
        for request in requests:
            own = [made.nodes[unique_id] for unique_id in request.unique_ids]
            if all(plan.level is not Level.DBT for plan in own):
                name = pin_object(request.key(self._key), self._plan.address.index, request.position)
                pins[name] = Pin(_digests(own), self._key.task_id, len(made.nodes))
                plans.update({plan.unique_id: plan for plan in own})
        self._plan.write_late(plans.values(), made.uploads, pins)
        self.close(requests)

    def pinned(self, position: int) -> dict[str, str]:
        """
        Return the digests of plans that were made in this try of the worker's task before; they may be under way.

        Args:
            position: Of the group of nodes in the task.
        """
        from cosmos_async.triggers.storage.folders import ObjectMissing

        name = pin_object(self._key, self._plan.address.index, position)
        try:
            return dict(Pin.load(self._plan.in_folder(lambda folder: folder.read(name))).plans)
        except ObjectMissing:
            return {}

    def pin(self, position: int, planned: Sequence[NodePlan], made: LatePlans) -> dict[str, str]:
        """
        Store plans of the worker's own task; return the digests of those that will be carried out.

        Args:
            position: As for :meth:`pinned`.
            planned: The plans.
            made: All of that dbt.
        """
        name = pin_object(self._key, self._plan.address.index, position)
        pin = Pin(_digests(planned), self._key.task_id, len(made.nodes))
        kept = self._plan.write_late(planned, made.uploads, {name: pin})[name]
        return {plan.unique_id: kept.plans[plan.unique_id] for plan in planned}

    def close(self, requests: Sequence[Request]) -> None:
        """Tell the tasks that have asked that nobody plans for them any more; those without a pin go on by themselves."""

        async def remove(folder: Folder) -> None:
            from cosmos_async.triggers.event_loop.gather import gather_bounded

            await gather_bounded(
                folder.remove(request.name(self._plan.address.index)) for request in requests
            )

        self._plan.in_folder(remove)

    def end(self, *, well: bool = False) -> None:
        """
        Let the next task plan; nothing where that has been done.

        Args:
            well: Whether all has been planned that was asked for in time. Otherwise those that wait do it by themselves.
        """
        if self._claim is None:
            return
        claim = Claim.newest(self._plan.address.index, [self._claim]).ended("done" if well else "failed")
        name, self._claim = claim.name(self._plan.address.index), None
        try:
            self._plan.in_folder(lambda folder: folder.write(name, b"{}"))
        except CosmosAsyncError as error:
            self._log.warning("Other tasks wait longer than they have to, as they cannot be told: %s", error)

    async def _open(self, folder: Folder) -> list[Request]:
        from cosmos_async.triggers.event_loop.gather import gather_bounded
        from cosmos_async.triggers.storage.folders import ObjectMissing

        async def read(name: str) -> Request | None:
            try:
                return Request.load(await folder.read(name))
            except ObjectMissing:  # it was withdrawn
                return None

        names = await folder.names(request_objects(self._plan.address.index))
        found = await gather_bounded(read(name) for name in names)
        return [request for request in found if request is not None]

    def _is_late(self, request: Request) -> bool:
        nodes = [self._index.nodes.get(unique_id) for unique_id in request.unique_ids]
        return all(node is not None and (node.level is Level.LATE or node.assumed) for node in nodes)


def _digests(plans: Iterable[NodePlan]) -> dict[str, str]:
    return {plan.unique_id: hashlib.sha256(dump_node(plan)).hexdigest() for plan in plans}
