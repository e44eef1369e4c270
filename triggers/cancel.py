"""
End jobs: those of a killed task, and those that earlier tries left behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cosmos_async.exceptions import ApiError
from cosmos_async.names import attempt_id
from cosmos_async.plan import JobOperation, NodePlan
from cosmos_async.triggers import jobs, steps
from cosmos_async.triggers.bigquery import JobRef
from cosmos_async.triggers.gather import gather_bounded
from cosmos_async.triggers.retry import JOBS, is_worth_another_job
from cosmos_async.triggers.warehouse import Warehouse

if TYPE_CHECKING:
    from cosmos_async.triggers.executor import Log, Run

Json = dict[str, Any]


async def cancel_earlier_tries(plan: NodePlan, run: Run, *, most: int = 5) -> None:
    """
    End what earlier tries of this task left running for this node.

    Their ids are computable. Only the last *most* tries are looked at; nothing of an older one can still run unless
    all of those between failed at once.
    """
    tries = range(max(1, run.key.try_number - most), run.key.try_number)
    found = await gather_bounded(
        _running(step, steps.id_of(run.key.with_try(number), plan, position), run)
        for number in tries
        for position, step in enumerate(plan.steps)
        if isinstance(step, JobOperation) and step.shared is None
    )
    left = [job for job in found if job is not None]
    if not left:
        return
    for job in left:
        run.log.warning(f"{plan.unique_id}: cancelling BigQuery job {JobRef.of(job)}, left by an earlier try")
    await gather_bounded(_end(job, run) for job in left)


async def _running(operation: JobOperation, first_id: str, run: Run) -> Json | None:
    for attempt in range(1, JOBS.attempts + 1):
        job_id = attempt_id(first_id, attempt)
        found = await jobs.find(run.warehouse.bigquery, operation, job_id, deadline=run.deadline)
        if found is None:
            return None
        if not jobs.is_done(found.resource):
            return found.resource
        if not is_worth_another_job(found.resource):
            return None
    return None


async def _end(job: Json, run: Run) -> None:
    await run.warehouse.bigquery.cancel_job(JobRef.of(job), deadline=run.deadline)
    # Until it has really ended it may still write.
    await run.warehouse.waiter.wait(job, deadline=run.deadline)


async def cancel_jobs(refs: Sequence[JobRef], warehouse: Warehouse, log: Log, *, grace: float = 2.0) -> None:
    """
    Ask these jobs to stop.

    Args:
        refs: Which.
        warehouse: Where.
        log: Told about each.
        grace: Seconds after which to ask once more; a job whose insertion is under way is not there at first.
    """

    async def cancel(ref: JobRef) -> None:
        try:
            await warehouse.bigquery.cancel_job(ref)
            log.info(f"asked BigQuery to cancel job {ref}")
        except ApiError as error:
            log.warning(f"BigQuery job {ref} may still be running: {error}")

    await gather_bounded(cancel(ref) for ref in refs)
    unconfirmed = [ref for ref in refs if ref.location is None]
    if unconfirmed:
        await warehouse.bigquery.session.clock.sleep(grace)
        await gather_bounded(cancel(ref) for ref in unconfirmed)
