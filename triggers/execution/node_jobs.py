"""
The jobs of one node: submitted once, watched to their end, repeated where BigQuery itself spoiled them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

from cosmos_async.dbt_rules.statistics import job_record
from cosmos_async.exceptions import ApiError, CosmosAsyncError, JobFailed, JobTaken, Unavailable
from cosmos_async.plan.ids import attempt_id
from cosmos_async.plan.model import JobOperation, NodePlan
from cosmos_async.plan.outcome import JobRecord
from cosmos_async.triggers.execution import report
from cosmos_async.triggers.google.bigquery import JobRef, error_of, is_done
from cosmos_async.triggers.google.retry import GiveUp, after_failed_job
from cosmos_async.triggers.jobs import steps
from cosmos_async.triggers.jobs.cancel import cancel_jobs, has_later_try
from cosmos_async.triggers.jobs.concurrency import Limit
from cosmos_async.triggers.jobs.context import Run
from cosmos_async.triggers.jobs.submit import submit_job
from cosmos_async.triggers.storage.documents import read_upload

Json = dict[str, Any]
Submit = Callable[[JobOperation, str], Awaitable[Json]]


class NodeJobs:
    """
    What one node has submitted.

    Args:
        plan: The node's plan.
        run: What it shares with its task's other nodes.
    """

    def __init__(self, plan: NodePlan, run: Run) -> None:
        self._plan = plan
        self._run = run
        self._warehouse = run.warehouse
        self._bigquery = run.warehouse.bigquery
        self._ids: list[str] = []  # of all that were submitted
        self._stops = run.stops  # not those by now: this node may begin behind one
        self.records: list[JobRecord] = []

    async def own(self, operation: JobOperation, first_id: str) -> Json:
        """
        Submit the job, wait for it and return it; a job that BigQuery itself spoils is followed by another one.

        After a crash the same jobs are met again, in the same order.

        Args:
            operation: What to do.
            first_id: The id of the first attempt.

        Raises:
            JobFailed: The job ended with an error that is not BigQuery's own.
            ApiError: Google refused it.
        """
        run, attempt = self._run, 1
        while True:
            job = await self._once(operation, attempt_id(first_id, attempt))
            left = None if run.deadline is None else run.deadline - run.clock.now()
            decision = after_failed_job(job, attempt=attempt, jitter=run.clock.jitter(), left=left)
            if isinstance(decision, GiveUp):
                raise_for_error(job)
                return job
            why = (error_of(job) or {}).get("message")
            again = (
                f"BigQuery job {JobRef.of(job)} failed through no fault of its own ({why}); "
                f"submitting it again in {decision.wait:.0f} s"
            )
            run.log.warning(run.told(self._plan, again))
            await run.clock.sleep(decision.wait)
            attempt += 1

    async def _once(self, operation: JobOperation, job_id: str) -> Json:
        run = self._run
        data = None
        if operation.upload is not None:
            data = await read_upload(run.folder, operation.upload, operation.upload_digest)
        async with self._place():
            # Known before it is sent: a kill in between must find it.
            run.under_way[job_id] = JobRef(operation.project, job_id, operation.location)
            self._ids.append(job_id)
            try:
                submitted = await submit_job(
                    self._bigquery,
                    operation,
                    job_id,
                    unique_id=self._plan.unique_id,
                    data=data,
                    before=self.unless_given_up,
                    deadline=run.deadline,
                )
            except Unavailable:
                raise  # nobody knows whether it is there
            except (ApiError, JobTaken):
                # There is none of ours: nobody may cancel what is there.
                del run.under_way[job_id]
                raise
            run.under_way[job_id] = submitted.ref
            if not run.quiet or submitted.adopted:
                told = report.submitted_line(operation.purpose, submitted.ref, adopted=submitted.adopted)
                run.log.info(run.told(self._plan, told))
            if run.page is not None:
                run.page.submitted(self._plan, operation, submitted.ref)
            job = await self._warehouse.waiter.wait(submitted.resource, deadline=run.deadline)
            del run.under_way[job_id]
        self.records.append(job_record(job, purpose=operation.purpose, main=operation.is_central))
        return job

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait for a place among the run's jobs, and then for one among all jobs of this triggerer."""
        of_run = self._warehouse.jobs_of(self._run.index, self._run.max_jobs)
        async with self._one_of(of_run, "operator_args"), self._one_of(self._warehouse.limit, "setting"):
            yield

    def _one_of(self, limit: Limit, said_by: str) -> AbstractAsyncContextManager[None]:
        if limit.full:
            waiting = f"waiting, {limit.most} jobs are running ({said_by} max_concurrent_jobs)"
            self._run.log.info(self._run.told(self._plan, waiting))
        return limit.place(self._run.priority)

    async def shared(self, operation: JobOperation) -> Json:
        """
        Return the finished job that several nodes of the run need; whoever comes first submits it.

        Raises:
            JobFailed: The job ended with an error.
            ApiError: Google refused it.
        """
        assert operation.shared is not None
        key = ("shared", self._run.index, operation.shared)
        return await self._bigquery.session.once(key, lambda: self._shared_once(operation))

    async def _shared_once(self, operation: JobOperation) -> Json:
        # Not under_way, and without a deadline: other tasks need it as well, so this one's end leaves it alone.
        attempt = 1
        while True:
            job_id = steps.id_of_shared(self._run.index, operation.shared or "", attempt)
            submitted = await submit_job(self._bigquery, operation, job_id, unique_id=self._plan.unique_id)
            # What another task has done for all is that one's story, unless there is something to wait for.
            if not submitted.adopted or not is_done(submitted.resource):
                told = report.submitted_line(operation.purpose, submitted.ref, adopted=submitted.adopted)
                self._run.log.info(self._run.told(self._plan, told))
            job = await self._warehouse.waiter.wait(submitted.resource)
            failed = error_of(job) is not None
            # Somebody else's failure must not stand for ever: each try of a task may ask once more.
            if failed and submitted.adopted and attempt < self._run.key.try_number:
                attempt += 1
                continue
            raise_for_error(job)
            return job

    async def unless_given_up(self) -> None:
        """
        Refuse to write after this process stood still, if the task was tried anew meanwhile.

        Raises:
            CosmosAsyncError: It was.
        """
        stops = self._bigquery.session.suspension.stops
        if stops == self._stops:
            return
        if await has_later_try(self._plan, self._run):
            raise CosmosAsyncError(
                f"{self._plan.unique_id}: this triggerer stood still for a while, and a later try of the task has begun. "
                "This one writes nothing more."
            )
        self._stops = stops

    async def abandon(self) -> None:
        """Ask for the end of a job that we have stopped watching, such as after too many errors."""
        run = self._run
        left = [run.under_way.pop(job_id) for job_id in self._ids if job_id in run.under_way]
        if left:
            await cancel_jobs(left, self._warehouse, run.log)

    def note_rows(self, job: Json, rows: int | None) -> None:
        """Keep what the table knows of a job's rows; its statistics are silent about CREATE TABLE AS SELECT."""
        job_id = job["jobReference"]["jobId"]
        self.records = [
            replace(record, rows=rows) if record.job_id == job_id and record.rows is None else record
            for record in self.records
        ]


def raise_for_error(job: Json) -> None:
    """
    Raise what a finished job failed with.

    Raises:
        JobFailed: The job ended with an error.
    """
    error = error_of(job)
    if error is not None:
        message = error.get("message") or "BigQuery gave no message."
        raise JobFailed(message, reason=error.get("reason"), job=job)
