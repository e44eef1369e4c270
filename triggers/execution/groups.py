"""
The nodes of one task: one group after the other, the nodes of a group at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import Index, Level, NodePlan
from cosmos_async.plan.outcome import Outcome, Status
from cosmos_async.plan.ownership import is_test
from cosmos_async.plan.waves import Request
from cosmos_async.triggers.event_loop.gather import gather_bounded, unless
from cosmos_async.triggers.execution import report
from cosmos_async.triggers.execution.continuation import Begun
from cosmos_async.triggers.execution.executor import execute, execute_prelude
from cosmos_async.triggers.execution.fail_fast import MESSAGE, FailFast
from cosmos_async.triggers.execution.late import Resume
from cosmos_async.triggers.execution.task_nodes import Result
from cosmos_async.triggers.execution.waves import Waves
from cosmos_async.triggers.jobs.cancel import cancel_jobs, cancel_jobs_of
from cosmos_async.triggers.jobs.context import End, NeedsDbt, Run
from cosmos_async.triggers.jobs.steps import parts_of
from cosmos_async.triggers.storage.documents import leave_outcome
from cosmos_async.triggers.storage.node_plans import read_late, read_node

#: Tests of one task that are under way at once; more would only queue in BigQuery.
TESTS_AT_ONCE = 32


@dataclass(frozen=True)
class Groups:
    """
    A task's nodes under way.

    Args:
        run: What they share.
        index: The run's table of contents.
        groups: Their unique ids; see :func:`cosmos_async.triggers.execution.task_nodes.nodes_of`.
        resume: Where to begin.
        result: Takes in what comes of them, also where this is cancelled in the middle.
        waves: With which late nodes of the run's other tasks are planned together; None where this task is planned alone.
    """

    run: Run
    index: Index
    groups: Sequence[Sequence[str]]
    resume: Resume
    result: Result
    waves: Waves | None = None
    #: Told that the task's one node has succeeded, before its outcome is written; of a task with several nodes nobody is.
    succeeds: Callable[[asyncio.Task[None]], None] | None = None
    #: What was planned with the others meanwhile, in this life of the task: digests by unique id.
    planned: dict[str, str] = field(default_factory=dict)

    async def carry_out(self, others: FailFast | None = None) -> None:
        """
        Execute every node that is left.

        Args:
            others: With ``--fail-fast``: the run's other tasks. The first of all nodes that fails ends this.
        """
        if others is None:
            await self._execute()
            return
        failed = await others.failed_task(self.run.key, self.run.log)
        if failed is None:
            own = asyncio.Event()
            failed = await unless(self._execute(own), self._until_failure(own, others))
        if failed is not None:
            await self._stop(failed)

    async def _execute(self, failed: asyncio.Event | None = None) -> None:
        prepared, number = False, 1 + len(self.result.earlier)
        for position, group in enumerate(self.groups):
            left = self.resume.left_of(position, group)
            if position < self.resume.position:
                continue
            ends: dict[str, End] = {}
            try:
                prepared = await self._execute_all(left, position, number, ends, failed, prepared=prepared)
                waiting = self._waiting(ends)
                if waiting and self.waves is not None:
                    turn = await self.waves.turn(self._request(position, waiting), self.run.key, self.run.log)
                    self.result.claim = turn.claim
                    self.planned.update(turn.plans)
                    if turn.plans:
                        await self._execute_all(waiting, position, number, ends, failed, prepared=prepared)
            finally:
                self.result.add([ends[unique_id] for unique_id in left if unique_id in ends], self.index)
            number += len(left)
            self.result.position, rest = position, self.groups[position + 1 :]
            if self.result.has_failed:
                self.result.add_skipped(rest)
                return
            if self.result.dbt:
                self.result.rest = len(rest)
                return

    async def _execute_all(
        self,
        unique_ids: Sequence[str],
        position: int,
        number: int,
        ends: dict[str, End],
        failed: asyncio.Event | None,
        *,
        prepared: bool,
    ) -> bool:
        """Execute some nodes of a group at once; return whether what the run does before its nodes is done."""
        plans = await gather_bounded(self._plan(position, unique_id) for unique_id in unique_ids)
        if not prepared and any(_needs_the_run(plan) for plan in plans):
            await execute_prelude(self.index.prelude, self.run, self.index.hooks)
            prepared = True
        if len(plans) > 1:
            self.run.log.info(report.several_line(len(plans), plans[0].resource_type.replace("_", " ")))
        await gather_bounded(
            (
                self._execute_one(plan, position, number + offset, ends, failed)
                for offset, plan in enumerate(plans)
            ),
            most=TESTS_AT_ONCE,
        )
        return prepared

    def _waiting(self, ends: Mapping[str, End]) -> list[str]:
        """Return the nodes of a group that can be planned with those of other tasks; none if one needs a worker anyway."""
        needed = [end for end in ends.values() if isinstance(end, NeedsDbt)]
        if not all(_can_wait(end) for end in needed):
            return []
        return [end.plan.unique_id for end in needed]

    def _request(self, position: int, unique_ids: Sequence[str]) -> Request:
        key = self.run.key
        return Request(key.task_id, key.map_index, key.try_number, position, tuple(unique_ids))

    async def _execute_one(
        self,
        plan: NodePlan,
        position: int,
        number: int,
        ends: dict[str, End],
        failed: asyncio.Event | None,
    ) -> None:
        total = sum(len(group) for group in self.groups)
        run = replace(
            self.run,
            key=self._key(position, plan.unique_id),
            own=plan.unique_id if total == 1 else None,
            quiet=is_test(plan.unique_id) and total > 1,
        )
        begun = await self._begun(position, plan.unique_id)
        end = await execute(plan, run, number=number, total=total, begun=begun)
        if isinstance(end, NeedsDbt):
            way = (
                "is planned by a worker as things are now, and then goes on here"
                if end.late
                else "needs real dbt on a worker"
            )
            run.log.info(f"{plan.unique_id} {way}: {end.reason}")
            ends[plan.unique_id] = end
            return
        writing = asyncio.ensure_future(leave_outcome(run.folder, end.outcome))
        if total == 1 and self.succeeds is not None and not end.outcome.status.failed:
            self.succeeds(writing)
        await writing
        ends[plan.unique_id] = end
        if failed is not None and end.outcome.status.failed:
            failed.set()

    def _late(self, position: int, unique_id: str) -> str:
        """Return the digest of the plan that a worker made for a node in this try, nothing where there is none."""
        return self.planned.get(unique_id) or self._resumed(position, unique_id)

    def _resumed(self, position: int, unique_id: str) -> str:
        return self.resume.plans.get(unique_id, "") if position == self.resume.position else ""

    async def _begun(self, position: int, unique_id: str) -> Begun | None:
        """Return setup's plan where that has written something before this one was made."""
        done = self.resume.done.get(unique_id, 0) if position == self.resume.position else 0
        if not done:
            return None
        return Begun(await self._setups(unique_id), done, ahead=self.run.began_ahead)

    def _key(self, position: int, unique_id: str) -> TaskKey:
        return replace(self.run.key, late=self._late(position, unique_id))

    async def _plan(self, position: int, unique_id: str) -> NodePlan:
        late = self._late(position, unique_id)
        if late:
            return await read_late(self.run.folder, unique_id, late)
        return await self._setups(unique_id)

    async def _setups(self, unique_id: str) -> NodePlan:
        # What begins ahead of Airflow begins while the run goes on, and its plan is there.
        fresh, session = not self.run.key.ahead, self.run.warehouse.bigquery.session
        return await read_node(self.run.folder, self.index, unique_id, session=session, fresh=fresh)

    # -- --fail-fast --------------------------------------------------------------------------------------------------

    async def _until_failure(self, own: asyncio.Event, others: FailFast) -> str:
        elsewhere = asyncio.ensure_future(others.until_failure(self.run.key, self.run.log))
        here = asyncio.ensure_future(own.wait())
        try:
            await asyncio.wait({elsewhere, here}, return_when=asyncio.FIRST_COMPLETED)
            return self.run.key.task_id if here.done() else elsewhere.result()
        finally:
            for task in (elsewhere, here):
                task.cancel()
            await asyncio.gather(elsewhere, here, return_exceptions=True)

    async def _stop(self, failed: str) -> None:
        """End what is under way, and leave the nodes that have no outcome as dbt would: skipped."""
        ended = {outcome.unique_id for outcome in self.result.outcomes}
        left = [
            (position, unique_id)
            for position, group in enumerate(self.groups)
            for unique_id in group
            if unique_id not in ended
        ]
        if left:
            names = ", ".join(unique_id for _, unique_id in left)
            self.run.log.warning(f"{MESSAGE}: {failed} has failed. Skipped: {names}")
        await cancel_jobs(list(self.run.under_way.values()), self.run.warehouse, self.run.log)
        await gather_bounded(self._stop_one(*each) for each in left)
        self.result.stop(failed, [unique_id for _, unique_id in left])

    async def _stop_one(self, position: int, unique_id: str) -> None:
        plan, key = await self._plan(position, unique_id), self._key(position, unique_id)
        # By their names as well: what an earlier life of this try submitted is not known to this one.
        for part in parts_of(plan):
            await cancel_jobs_of(part, [key], self.run, why="as another node has failed (--fail-fast)")
        now = self.run.clock.utc().isoformat()
        outcome = Outcome(
            unique_id=unique_id,
            status=Status.SKIPPED,
            message=MESSAGE,
            level=plan.level,
            started_at=now,
            completed_at=now,
            try_number=key.try_number,
        )
        await leave_outcome(self.run.folder, outcome)


def _can_wait(end: NeedsDbt) -> bool:
    """Return whether a node can be planned along with others: one that has written nothing, and whose like are many."""
    plan = end.plan
    # A package's seed is a file, which the parsed project has not.
    # Whoever takes this task over asks again what was assumed, finds the same, and then the plan that was made with others.
    # What else differs may fit once that plan has written something: such a plan has to come with the trigger's arguments.
    foreseen = plan.level is Level.LATE or (end.assumed and not end.done)
    return end.late and foreseen and plan.resource_type != "seed"


def _needs_the_run(plan: NodePlan) -> bool:
    """Return whether what the run does before its nodes comes before this one; a no-op needs nothing."""
    return bool(plan.steps or plan.batches or plan.freshness) or plan.level in (Level.LATE, Level.DBT)
