"""
on-run-start hooks and datasets: what a run needs once before any node, hooks one after the other with an outcome for each.

Every task of the run may come here first, in a triggerer of its own. The hooks' jobs have ids that all tasks share; what
the hooks read, they read before the first of these jobs that is not there yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_async.dbt_rules.statistics import job_record
from cosmos_async.exceptions import (
    ApiError,
    AuthError,
    CosmosAsyncError,
    GuardDiffered,
    JobFailed,
    Unavailable,
)
from cosmos_async.plan.model import Guard, Hook, JobOperation, Level, NodePlan, Step
from cosmos_async.plan.outcome import JobRecord, Outcome, Status, dump_outcome
from cosmos_async.plan.store import outcome_object
from cosmos_async.triggers.execution.node import Node
from cosmos_async.triggers.jobs import steps
from cosmos_async.triggers.jobs.context import Run
from cosmos_async.triggers.jobs.submit import find_job


class Prelude:
    """
    The hooks of one run under way.

    Args:
        prelude: All steps.
        hooks: Which of them are whose; those before the first hook's are for all.
        run: Of the task that came first.
    """

    def __init__(
        self,
        prelude: Sequence[Step],
        hooks: Sequence[Hook],
        run: Run,
    ) -> None:
        self._steps = tuple(_shared(step, position) for position, step in enumerate(prelude))
        self._hooks = hooks
        self._run = run

    async def carry_out(self) -> None:
        """
        Perform the hooks that are left.

        As in dbt, a hook that fails keeps the others from running, and nodes only if the project says so.

        Raises:
            CosmosAsyncError: A hook failed that nodes need, or the warehouse is not what the hooks were planned for.
        """
        past = await self._past()
        first = self._hooks[0].begin if self._hooks else len(self._steps)
        await Node(_plan("on-run-start", self._steps[:first]), self._run).carry_out()
        failed: tuple[Hook, CosmosAsyncError] | None = None
        for hook in self._hooks:
            if failed is not None:
                await self._leave(hook, Status.SKIPPED, f"{hook.name} skipped", ())
                continue
            error = await self._perform(hook, past)
            failed = None if error is None else (hook, error)
        if failed is not None and failed[0].needed:
            raise CosmosAsyncError(
                f"The on-run-start hook {failed[0].name} failed, and the project runs no node then "
                f"(skip_nodes_if_on_run_start_fails): {failed[1]}"
            )

    async def _perform(self, hook: Hook, past: int) -> CosmosAsyncError | None:
        own = tuple(
            step
            for position, step in enumerate(self._steps[hook.begin : hook.end], hook.begin)
            if position >= past or not isinstance(step, Guard)
        )
        node = Node(_plan(hook.unique_id, own), self._run)
        try:
            await node.carry_out()
        except GuardDiffered as differed:
            reached = await self._past()
            if reached > past:
                # Another triggerer was faster, and what it has built since is the difference.
                return await self._perform(hook, reached)
            raise CosmosAsyncError(
                f"The on-run-start hook {hook.name} was planned for another state of the warehouse: {differed}. Clear the "
                "setup task together with this one, so that the run is planned anew."
            ) from differed
        except (Unavailable, AuthError):
            raise  # nobody knows how the hook would have ended
        except ApiError as failed:
            self._run.log.error(f"{hook.name} failed: {failed}")
            records = _records(node)
            if isinstance(failed, JobFailed):
                records.append(job_record(failed.job, purpose="on-run-start"))
            await self._leave(hook, Status.ERROR, f"{hook.name} failed, error:\n {failed}", records)
            return failed
        await self._leave(hook, Status.SUCCESS, f"{hook.name} passed", _records(node))
        return None

    async def _past(self) -> int:
        """Return the position of the last job that is there already, 0 where there is none."""
        if not any(isinstance(step, Guard) for step in self._steps):
            return 0
        for position, step in reversed(list(enumerate(self._steps))):
            if isinstance(step, JobOperation):
                job_id = steps.id_of_shared(self._run.index, step.shared or "", 1)
                if await find_job(self._run.warehouse.bigquery, step, job_id) is not None:
                    return position
        return 0

    async def _leave(self, hook: Hook, status: Status, message: str, records: Sequence[JobRecord]) -> None:
        now = self._run.clock.utc().isoformat()
        outcome = Outcome(
            unique_id=hook.unique_id,
            status=status,
            message=message,
            level=Level.STATIC,
            # The jobs' own times: several tasks may write this, and each must write the same.
            started_at=min((record.started_at for record in records if record.started_at), default=now),
            completed_at=max((record.ended_at for record in records if record.ended_at), default=now),
            try_number=self._run.key.try_number,
            failures=0 if status is Status.SUCCESS else 1,
            jobs=tuple(records),
        )
        await self._run.folder.write(outcome_object(hook.unique_id), dump_outcome(outcome))


def _plan(unique_id: str, own: tuple[Step, ...]) -> NodePlan:
    return NodePlan(
        unique_id=unique_id, name=unique_id, resource_type="operation", level=Level.STATIC, steps=own
    )


def _records(node: Node) -> list[JobRecord]:
    return [job_record(job, purpose="on-run-start") for job in node.jobs]


def _shared(step: Step, position: int) -> Step:
    if isinstance(step, JobOperation) and step.shared is None:
        return JobOperation(**{**vars(step), "shared": f"on_run_start:{position}"})
    return step
