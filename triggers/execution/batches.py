"""
A microbatch model: its batches in dbt's order, and what they amount to.

dbt runs the first batch alone and goes no further if it fails; then those in between, side by side where they do not
depend on one another; then the last one alone. A batch that fails holds up no other. All models of a run share dbt's threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cosmos_async.dbt_rules.verdict import Verdict
from cosmos_async.exceptions import CosmosAsyncError, GuardDiffered
from cosmos_async.plan.model import NodePlan, Step
from cosmos_async.plan.outcome import JobRecord, Status
from cosmos_async.triggers.event_loop.gather import gather_bounded
from cosmos_async.triggers.execution import report
from cosmos_async.triggers.execution.node import Node
from cosmos_async.triggers.jobs.cancel import cancel_earlier_tries
from cosmos_async.triggers.jobs.context import Run
from cosmos_async.triggers.jobs.steps import plan_of

#: Batches whose earlier tries are looked for at the same time; each asks for a job per step and try.
LOOKED_AT_AT_ONCE = 4


class Batches:
    """
    A microbatch model under way.

    Args:
        plan: The model's plan.
        run: What it shares with its task's other nodes.
    """

    position = 0  #: of the model's own steps, which it has none of
    written: tuple[Step, ...] = ()  #: nothing has been written where this is asked

    def __init__(self, plan: NodePlan, run: Run) -> None:
        self._plan = plan
        self._run = run
        self._errors: dict[int, CosmosAsyncError | None] = {}  # of those that were run, by position
        self._records: dict[int, list[JobRecord]] = {}
        self._written: list[Step] = []

    @property
    def records(self) -> list[JobRecord]:
        """The jobs of all batches, in the batches' order."""
        return [record for _, records in sorted(self._records.items()) for record in records]

    @property
    def error(self) -> CosmosAsyncError | None:
        """What the first batch failed with that did."""
        return next((error for _, error in sorted(self._errors.items()) if error is not None), None)

    @property
    def batch_results(self) -> dict[str, list[list[str]]]:
        """What became of each window, as dbt writes it."""
        batches = self._plan.batches
        return {
            "successful": [[batches[at].start, batches[at].end] for at in self._good],
            "failed": [[each.start, each.end] for at, each in enumerate(batches) if at not in self._good],
        }

    async def carry_out(self) -> None:
        """
        Perform the batches.

        Raises:
            GuardDiffered: The first one no longer fits the warehouse, and nothing has been written.
        """
        if self._run.key.try_number > 1 or self._run.void:
            await gather_bounded(
                (cancel_earlier_tries(plan_of(self._plan, batch), self._run) for batch in self._plan.batches),
                most=LOOKED_AT_AT_ONCE,
            )
        last = len(self._plan.batches) - 1
        await self._settle([0])
        if isinstance(self._errors[0], GuardDiffered):
            raise self._errors[0]
        if self._errors[0] is not None:
            self._run.log.warning(self._run.told(self._plan, "the first batch failed, so no other is run"))
            return
        if last > 1:
            await self._settle(range(1, last))
        if last:
            await self._settle([last])

    async def judge(self) -> Verdict:
        """Return the verdict on the model, in dbt's words."""
        total, good = len(self._plan.batches), len(self._good)
        # What was not run because the first batch failed has failed, too.
        if good == total:
            return Verdict(Status.SUCCESS, "SUCCESS", failures=0)
        if not good:
            return Verdict(Status.ERROR, "ERROR", failures=0)
        return Verdict(Status.PARTIAL_SUCCESS, f"PARTIAL SUCCESS ({good}/{total})", failures=0)

    async def abandon(self) -> None:
        """Nothing is left: each batch sees to its own jobs."""

    @property
    def _good(self) -> list[int]:
        return [at for at, error in sorted(self._errors.items()) if error is None]

    async def _settle(self, positions: Sequence[int]) -> None:
        most = max(self._plan.batches[position].at_once for position in positions)
        await gather_bounded((self._one(position) for position in positions), most=most)

    async def _one(self, position: int) -> None:
        async with self._run.warehouse.batches_of(self._run.index, self._run.threads).place():
            await self._perform(position)

    async def _perform(self, position: int) -> None:
        plan = plan_of(self._plan, self._plan.batches[position])
        place = f"Batch {position + 1} of {len(self._plan.batches)}"
        self._run.log.info(f"{place} START {plan.unique_id}")
        node = Node(plan, self._run)
        self._records[position] = node.records
        try:
            await node.carry_out()
        except CosmosAsyncError as failed:
            self._written += node.written
            if isinstance(failed, GuardDiffered) and self._written:
                # What is written is not written again: this batch has failed, and as in dbt the others go on.
                failed = CosmosAsyncError(report.written_in_part(f"{failed}.", self._written))
            self._errors[position] = failed
            if isinstance(failed, GuardDiffered):
                return  # the model is planned anew
            await node.abandon()
            self._run.log.error(f"{place} ERROR {plan.unique_id}: {failed}")
        else:
            self._errors[position] = None
            self._written += node.written
            self._run.log.info(f"{place} OK {plan.unique_id}")
        self._records[position] = [
            replace(record, purpose=f"{record.purpose} ({self._plan.batches[position].name})")
            for record in node.records
        ]
