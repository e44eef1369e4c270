"""
Cancel jobs: those of a killed task, and those that earlier tries left behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cosmos_async.exceptions import ApiError
from cosmos_async.plan.ids import TaskKey, attempt_id
from cosmos_async.plan.model import JobOperation, NativeOperation, NodePlan
from cosmos_async.plan.store import again_object, late_objects
from cosmos_async.triggers import natives
from cosmos_async.triggers.event_loop.gather import gather_bounded
from cosmos_async.triggers.google.bigquery import BigQuery, JobRef, is_done
from cosmos_async.triggers.google.retry import JOBS, is_worth_another_job
from cosmos_async.triggers.jobs import steps
from cosmos_async.triggers.jobs.context import Log, Run
from cosmos_async.triggers.jobs.submit import find_job
from cosmos_async.triggers.jobs.warehouse import Warehouse
from cosmos_async.triggers.storage.folders import ObjectMissing
from cosmos_async.triggers.storage.node_plans import read_plans

Json = dict[str, Any]


async def cancel_earlier_tries(plan: NodePlan, run: Run, *, most: int = 5) -> None:
    """
    End what earlier tries of this task left running for this node.

    Their ids are computable. Only the last *most* tries are looked at; nothing of an older one can still run unless
    all of those between failed at once.
    """
    if not run.key.late:  # by then it has been done
        await cancel_jobs_of(plan, [*earlier_tries(run.key, most=most), *run.void], run)


async def cancel_jobs_of_earlier_plans(plan: NodePlan, run: Run) -> None:
    """End what earlier tries left running by plans that have other steps than *plan*, as the run was planned anew since."""
    keys = [*earlier_tries(run.key), *run.void]
    if run.key.late or not keys:
        return
    for earlier in await _plans_of(plan, run):
        if earlier != plan:
            for part in steps.parts_of(earlier):
                await cancel_jobs_of(part, keys, run)


async def _plans_of(plan: NodePlan, run: Run) -> list[NodePlan]:
    return await read_plans(run.folder, plan.unique_id, session=run.warehouse.bigquery.session)


def earlier_tries(key: TaskKey, *, most: int = 5) -> list[TaskKey]:
    """Return the last *most* tries before this one."""
    return [key.with_try(number) for number in range(max(1, key.try_number - most), key.try_number)]


async def cancel_jobs_of(
    plan: NodePlan, keys: Sequence[TaskKey], run: Run, *, why: str = "left by an earlier try"
) -> None:
    """End what *plan* left running when it was carried out as one of *keys*; *why* is for the log."""
    # A kill of this try must find them as well: whoever ended the earlier one has left them to us.
    theirs = {
        job_id: JobRef(step.project, job_id, step.location)
        for key in keys
        for position, step in enumerate(plan.steps)
        if isinstance(step, JobOperation) and step.shared is None
        for job_id in [steps.id_of(key, plan, position)]
    }
    run.under_way.update(theirs)
    found = await gather_bounded(
        _running(step, steps.id_of(key, plan, position), run)
        for key in keys
        for position, step in enumerate(plan.steps)
        if isinstance(step, JobOperation) and step.shared is None
    )
    found += await gather_bounded(
        _running_part(step, SubmittedJobs(plan, run, position, key))
        for key in keys
        for position, step in enumerate(plan.steps)
        if isinstance(step, NativeOperation)
    )
    left = {job["jobReference"]["jobId"]: job for job in found if job is not None}
    for job_id in theirs:
        del run.under_way[job_id]
    run.under_way.update({job_id: JobRef.of(job) for job_id, job in left.items()})
    for job in left.values():
        run.log.warning(run.told(plan, f"cancelling BigQuery job {JobRef.of(job)}, {why}"))
    await gather_bounded(_end(job, run) for job in left.values())
    for job_id in left:
        del run.under_way[job_id]


async def leave_word_of_later_try(run: Run) -> None:
    """Say in the run's folder that the task begins once more, before that does anything."""
    name = again_object(run.key.task_id, run.key.map_index)
    await run.folder.write(name, str(run.key.try_number).encode())


async def _latest_try(run: Run) -> int:
    try:
        return int(await run.folder.read(again_object(run.key.task_id, run.key.map_index)) or b"0")
    except ObjectMissing:
        return 1


async def has_later_try(plan: NodePlan, run: Run) -> bool:
    """Return whether a later try of this task has begun: this one was given up, and was not told."""
    if await _latest_try(run) > run.key.try_number:
        return True
    key = run.key.with_try(run.key.try_number + 1)
    if await run.folder.names(late_objects(key)):
        return True  # by a plan of its own, whose jobs have other ids
    # It was perhaps planned anew for that.
    plans = [plan, *(each for each in await _plans_of(plan, run) if each != plan)]
    # What was executed ahead of Airflow, the try itself may do once more.
    keys = [key, *([replace(run.key, ahead=False)] if run.key.ahead else [])]
    found = await gather_bounded(
        find_job(run.warehouse.bigquery, step, steps.id_of(key, each, position), deadline=run.deadline)
        for key in keys
        for each in plans
        for position, step in enumerate(each.steps)
        if isinstance(step, JobOperation) and step.shared is None
    )
    return any(job is not None for job in found)


class SubmittedJobs:
    """
    The jobs of one native operation that a try has submitted.

    Args:
        plan: The node's plan.
        run: What it shares with its task's other nodes.
        position: The operation's place in the plan.
        key: The try that is looked at.
    """

    def __init__(self, plan: NodePlan, run: Run, position: int, key: TaskKey) -> None:
        self._plan = plan
        self._run = run
        self._position = position
        self._key = key

    @property
    def bigquery(self) -> BigQuery:
        """The API."""
        return self._run.warehouse.bigquery

    @property
    def deadline(self) -> float | None:
        """When to give up, on the session's clock."""
        return self._run.deadline

    def id_of(self, part: str) -> str:
        """Return the id of one part's job."""
        return steps.id_of_part(self._key, self._plan, self._position, part)

    async def find(self, operation: JobOperation, part: str) -> Json | None:
        """Return the last job that was submitted for *part*, None where there is none."""
        return await _last_attempt(operation, self.id_of(part), self._run)


async def _running_part(operation: NativeOperation, look: SubmittedJobs) -> Json | None:
    # One after the other, as they were submitted: only the last of them can still run.
    last: Json | None = None
    for part in await natives.parts(operation, look):
        found = await look.find(part.operation, part.name)
        if found is None:
            break
        last = found
    return None if last is None or is_done(last) else last


async def _running(operation: JobOperation, first_id: str, run: Run) -> Json | None:
    found = await _last_attempt(operation, first_id, run)
    return None if found is None or is_done(found) else found


async def _last_attempt(operation: JobOperation, first_id: str, run: Run) -> Json | None:
    last: Json | None = None
    for attempt in range(1, JOBS.attempts + 1):
        job_id = attempt_id(first_id, attempt)
        found = await find_job(run.warehouse.bigquery, operation, job_id, deadline=run.deadline)
        if found is None:
            return last
        last = found.resource
        if not is_worth_another_job(last):
            return last
    return last


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
