"""
BigQuery's jobs: PENDING, RUNNING, DONE, each under an id that is taken once.

A `Job` only changes through its own methods; `JobStore` runs each in a task and turns whatever the engine did,
cancellation included, into a result.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

from cosmos_async.testing.answers import etag, merged
from cosmos_async.testing.engine import ApiError, Engine, EngineJob, JobError, JobResult, Json

logger = logging.getLogger(__name__)

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")
LABEL_KEY = re.compile(r"[^\W\dA-Z_][^\WA-Z]*(-[^\WA-Z]*)*")
CANCELLED_BY_USER = "Job execution was cancelled: User requested cancellation"
#: Jobs here are found without naming their location.
MULTI_REGIONS = ("US", "EU")


class State(enum.Enum):
    """The phases of a job."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    DONE = "DONE"


class Job:
    """One job: what was asked for, how far it is, what became of it."""

    def __init__(self, spec: EngineJob, *, now: float, parent: str | None = None) -> None:
        self.spec = spec
        self.parent = parent  #: the job id of the script it belongs to
        self.state = State.PENDING
        self.created = now  #: on the wall clock, in seconds, as the next two
        self.started: float | None = None
        self.ended: float | None = None
        self.result = JobResult()
        self.children = 0
        self.cancels = 0  #: how often `jobs.cancel` was called for it while it was not DONE
        self.stop_message: str | None = None  #: why it was stopped, if it was
        self.running = asyncio.Event()  #: set from RUNNING on
        self.done = asyncio.Event()  #: set when DONE

    def start(self, now: float) -> None:
        """PENDING becomes RUNNING."""
        self.state = State.RUNNING
        self.started = now
        self.running.set()

    def finish(self, result: JobResult, now: float) -> None:
        """Whatever it was becomes DONE."""
        self.state = State.DONE
        self.started = self.started or now
        self.ended = now
        self.result = result
        self.running.set()
        self.done.set()

    @property
    def job_id(self) -> str:
        """The id the client chose."""
        return self.spec.job_id

    @property
    def full_id(self) -> str:
        """The id as BigQuery writes it in messages."""
        return f"{self.spec.project_id}:{self.spec.location}.{self.spec.job_id}"

    @property
    def error(self) -> JobError | None:
        """Why it failed, None while it has not."""
        return self.result.error

    @property
    def reference(self) -> Json:
        """BigQuery's JobReference."""
        return {
            "projectId": self.spec.project_id,
            "jobId": self.spec.job_id,
            "location": self.spec.location,
        }

    def resource(self, *, full: bool = True) -> Json:
        """Return BigQuery's Job resource; the minimal projection of `jobs.list` lacks the configuration."""
        body: Json = {
            "kind": "bigquery#job",
            "id": self.full_id,
            "selfLink": f"https://bigquery.googleapis.com/bigquery/v2/projects/{self.spec.project_id}/jobs/"
            f"{self.spec.job_id}?location={self.spec.location}",
            "user_email": self.spec.user_email,
            "principal_subject": f"serviceAccount:{self.spec.user_email}",
            "jobReference": self.reference,
            "configuration": self._configuration(),
            "statistics": self.statistics(),
            "status": self._status(),
        }
        body["etag"] = etag(body)
        if not full:
            body["state"] = self.state.value
            del body["configuration"], body["etag"], body["selfLink"]
            if self.error:
                body["errorResult"] = self.error.as_proto()
        return body

    def statistics(self) -> Json:
        """Return BigQuery's JobStatistics."""
        body: Json = {"creationTime": _ms(self.created)}
        if self.parent:
            body["parentJobId"] = self.parent
        if self.started is not None:
            body["startTime"] = _ms(self.started)
        if self.ended is None:
            return body
        body["endTime"] = _ms(self.ended)
        if self.children:
            body["numChildJobs"] = str(self.children)
        given = self.result.statistics
        if self.spec.kind == "query":
            query = given.get("query", {})
            processed = given.get("totalBytesProcessed", query.get("totalBytesProcessed", "0"))
            slots = given.get("totalSlotMs", query.get("totalSlotMs", "0"))
            body.update(totalBytesProcessed=processed, totalSlotMs=slots)
            if self.error is None:
                body["query"] = {
                    "totalBytesProcessed": processed,
                    "totalBytesBilled": "0",
                    "cacheHit": False,
                    "totalSlotMs": slots,
                }
        return merged(body, given)

    def _configuration(self) -> Json:
        body = merged({"jobType": self.spec.kind.upper()}, self.spec.configuration)
        if self.spec.kind == "query":
            body["query"] = {"priority": "INTERACTIVE", **body.get("query", {})}
        return merged(body, self.result.configuration)

    def _status(self) -> Json:
        status: Json = {"state": self.state.value}
        if self.error:
            status["errorResult"] = self.error.as_proto()
            status["errors"] = [self.error.as_proto()]
        return status

    def __repr__(self) -> str:
        return f"<Job {self.full_id} {self.state.value}{f' {self.error.reason}' if self.error else ''}>"


class JobStore:
    """
    All jobs of the stand-in, oldest first.

    Args:
        engine: Runs them.
        slots: How many run at once; further ones stay PENDING. None means no limit.
        clock: The wall clock in seconds.
    """

    def __init__(
        self, engine: Engine, *, slots: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._most = slots
        self._slots: asyncio.Semaphore | None = None  # made within the loop, see `Signal`
        self._jobs: dict[tuple[str, str, str], Job] = {}
        self._tasks: dict[Job, asyncio.Task[JobResult]] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def insert(self, spec: EngineJob) -> Job:
        """Take in a job and let it run; an id that is known is refused with 409."""
        check_job_id(spec.job_id)
        check_labels(spec.labels)
        job = self._add(Job(spec, now=self._clock()))
        task = asyncio.get_running_loop().create_task(self._execute(job))
        self._tasks[job] = task
        task.add_done_callback(lambda ended: self._ended(job, ended))
        return job

    def get(self, project_id: str, job_id: str, location: str | None) -> Job:
        """Return a job; without a location only those of the multi-regions are found."""
        locations = [normal_location(location)] if location else MULTI_REGIONS
        for candidate in locations:
            job = self._jobs.get((project_id, candidate, job_id))
            if job:
                return job
        where = f"{normal_location(location)}." if location else ""
        raise ApiError(404, "notFound", f"Not found: Job {project_id}:{where}{job_id}")

    def cancel(self, job: Job) -> None:
        """Ask *job* to stop; it is DONE a moment later. A job that is DONE stays as it is."""
        if job in self._tasks:
            job.cancels += 1
            self._stop(job, CANCELLED_BY_USER)

    def delete(self, job: Job) -> None:
        """Forget a job that is DONE."""
        if job.state is not State.DONE:
            raise ApiError(400, "invalid", f"Cannot delete job {job.full_id}: it is still running")
        del self._jobs[job.spec.project_id, job.spec.location, job.spec.job_id]

    async def aclose(self) -> None:
        """Stop what still runs."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self, job: Job, message: str) -> None:
        # Once: a second cancellation would interrupt an engine that is busy stopping.
        if job.stop_message is None and job in self._tasks:
            job.stop_message = message
            self._tasks[job].cancel()

    def _add(self, job: Job) -> Job:
        key = (job.spec.project_id, job.spec.location, job.spec.job_id)
        if key in self._jobs:
            raise ApiError(409, "duplicate", f"Already Exists: Job {job.full_id}")
        self._jobs[key] = job
        return job

    async def _execute(self, job: Job) -> JobResult:
        if not self._most:
            return await self._run(job)
        if self._slots is None:
            self._slots = asyncio.Semaphore(self._most)
        async with self._slots:
            return await self._run(job)

    async def _run(self, job: Job) -> JobResult:
        job.start(self._clock())
        timeout_ms = int(job.spec.configuration.get("jobTimeoutMs") or 0)
        timer = None
        if timeout_ms:
            message = f"Job execution was cancelled: Job timed out after {timeout_ms / 1000:g}s"
            loop = asyncio.get_running_loop()
            timer = loop.call_later(timeout_ms / 1000, self._stop, job, message)
        try:
            return await self._engine.run(job.spec)
        except ApiError as error:
            return JobResult(error=JobError(error.reason, error.message, error.location))
        finally:
            if timer:
                timer.cancel()

    def _ended(self, job: Job, task: asyncio.Task[JobResult]) -> None:
        del self._tasks[job]
        if task.cancelled():
            result = JobResult(error=JobError("stopped", job.stop_message or "Job execution was cancelled"))
        elif task.exception():
            logger.error("the engine failed on %s", job.full_id, exc_info=task.exception())
            message = (
                f"An internal error occurred and the request could not be completed: {task.exception()!r}"
            )
            result = JobResult(error=JobError("internalError", message))
        else:
            result = task.result()
        self._add_children(job, result)
        job.finish(result, self._clock())

    def _add_children(self, job: Job, result: JobResult) -> None:
        for child in result.children:
            job_id = f"script_job_{uuid.uuid4().hex}_{job.children}"
            spec = replace(job.spec, job_id=job_id, configuration=child.configuration, data=None)
            added = self._add(Job(spec, now=job.created, parent=job.job_id))
            added.finish(child.result, self._clock())
            job.children += 1


def normal_location(location: str) -> str:
    """Return *location* as BigQuery writes it: "US", "EU", "europe-west1"."""
    return location.upper() if location.upper() in MULTI_REGIONS else location.lower()


def check_job_id(job_id: str) -> None:
    """Refuse an id that BigQuery would refuse."""
    if not JOB_ID.fullmatch(job_id):
        raise ApiError(
            400,
            "invalid",
            f'Invalid job ID "{job_id}". Job IDs must be alphanumeric (plus underscores and dashes) and must be at '
            "most 1024 characters long.",
        )


def check_labels(labels: dict[str, str]) -> None:
    """Refuse labels that BigQuery would refuse."""
    for key, value in labels.items():
        if not LABEL_KEY.fullmatch(key) or len(key) > 63:
            raise ApiError(400, "invalid", f'Label key "{key}" has invalid characters.')
        if len(value) > 63 or re.search(r"[^\w-]|[A-Z]", value):
            raise ApiError(400, "invalid", f'Label value "{value}" has invalid characters.')
    if len(labels) > 64:
        raise ApiError(400, "invalid", f"Too many labels: {len(labels)}; at most 64 are allowed.")


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))
