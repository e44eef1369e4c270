"""
The emulator as an `Engine`: it runs the SQL, the load and the copy of each job that our job API has accepted.

Each job becomes a fresh job of the emulator, whose ids are its own business, and is waited for by its long poll.
What BigQuery reports and the emulator does not, `statistics` supplies.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cosmos_async.testing.engine import ApiError, ChildJob, EngineJob, JobError, JobResult, Json
from tests.warehouse.client import EmulatorClient
from tests.warehouse.forgotten import Forgotten, altered, forgotten
from tests.warehouse.grants import Grants
from tests.warehouse.partitions import copy_script, names_a_partition
from tests.warehouse.rewrites import code, rewritten
from tests.warehouse.statistics import Statistics

logger = logging.getLogger(__name__)

POLL_MS = 10_000
#: How often a load or copy job is looked at, in seconds; the emulator polls queries only.
LOOK_EVERY = 0.1
PAGE = 10_000
STOP_TRIES = 30
#: The emulator works on eight jobs; more would only hold its threads.
READERS = 8
#: The label by which a job says how many milliseconds it wants to take at least.
HOLD_LABEL = "hold_ms"
#: What the job API looks after, and the emulator need not know.
OURS = ("labels", "jobTimeoutMs", "reservation")
_READS = re.compile(r"\s*(\(|select\b|with\b)", re.IGNORECASE)
DML = ("INSERT", "UPDATE", "DELETE", "MERGE")
#: The target in dbt's own statements, which quote and qualify it.
_DML_TARGET = re.compile(
    r"\b(?:merge\s+into|insert\s+into|delete\s+from|update)\s+`([^`.]+)`\.`([^`.]+)`\.`([^`.]+)`",
    re.IGNORECASE,
)
_INT64_TIMESTAMPS = {"formatOptions.useInt64Timestamp": "true"}


class EmulatorEngine:
    """
    Runs jobs on the emulator.

    Writes run one after the other: two commits at once can fail in the emulator ("Failed to commit DuckLake
    transaction") where BigQuery would run both.

    Args:
        client: The connection to the emulator.
        hold_ms: How many milliseconds each job takes at least, so that waiting can be watched.
    """

    def __init__(self, client: EmulatorClient, *, hold_ms: int = 0) -> None:
        self._client = client
        self._hold_ms = hold_ms
        self._statistics = Statistics(client)
        self._grants = Grants()
        self._readers = asyncio.Semaphore(READERS)
        self.writer = asyncio.Lock()  #: held by whoever changes tables; the catalog takes it too

    async def run(self, job: EngineJob) -> JobResult:
        """Run *job* to its end; cancelling it stops the emulator's job."""
        await self._hold(job)
        recorded = self._grants.run(job)
        if recorded:
            return recorded
        reads = job.kind == "query" and is_read(job.sql) and not writes_a_table(job)
        async with self._readers if reads else self.writer:
            if job.kind == "copy" and names_a_partition(job):
                return await self._copy_partitions(job)
            change = altered(job.sql) if job.kind == "query" else None
            if change is not None:
                return await self._alter(job, change)
            result = await self._run(job)
            if result.error is None:
                await self._remember(job)
            return result

    async def dry_run(self, job: EngineJob) -> JobResult:
        """Ask the emulator for the schema and the error, without running anything."""
        body = {"configuration": {**self._configuration(job), "dryRun": True}}
        try:
            answer = await self._client.call("POST", job.project_id, "jobs", body=body)
        except ApiError as error:
            return JobResult(error=JobError(error.reason, error.message, error.location))
        schema = answer["statistics"].get("query", {}).get("schema", {}).get("fields")
        statistics = await self._statistics.of(job, answer, elapsed_ms=0)
        return JobResult(schema=schema, statistics=statistics)

    async def _hold(self, job: EngineJob) -> None:
        label = job.labels.get(HOLD_LABEL, "")
        milliseconds = int(label) if label.isdigit() else self._hold_ms
        if milliseconds:
            await asyncio.sleep(milliseconds / 1000)

    async def _run(self, job: EngineJob) -> JobResult:
        emulated = uuid.uuid4().hex
        started = asyncio.get_running_loop().time()
        submission = asyncio.ensure_future(self._submit(job, emulated))
        try:
            answer = await self._wait(job, await asyncio.shield(submission))
        except asyncio.CancelledError:
            await self._stop(job, emulated, submission)
            raise
        except ApiError as error:
            return JobResult(error=JobError(error.reason, error.message, error.location))
        elapsed = int((asyncio.get_running_loop().time() - started) * 1000)
        return await self._result(job, answer, elapsed)

    def _configuration(self, job: EngineJob) -> Json:
        """Return what the emulator is given: without what our job API does itself, with SQL that it can read."""
        configuration = {key: value for key, value in job.configuration.items() if key not in OURS}
        if job.kind == "query":
            sql = rewritten(self._grants.shown(job.sql))
            configuration["query"] = {**configuration["query"], "query": sql}
        return configuration

    async def _copy_partitions(self, job: EngineJob) -> JobResult:
        try:
            script = await copy_script(job, self._client)
        except ApiError as error:
            return JobResult(error=JobError(error.reason, error.message, error.location))
        query = {"query": script, "useLegacySql": False}
        done = await self._run(replace(job, configuration={"query": query}))
        return JobResult(error=done.error)

    async def _remember(self, job: EngineJob) -> None:
        for table in forgotten(job.sql):
            # A script may have dropped it again.
            with contextlib.suppress(ApiError):
                await self._client.call("PATCH", *_path(job, table), body=table.changes)

    async def _alter(self, job: EngineJob, change: Forgotten) -> JobResult:
        """Change a materialized view's options, and leave the others as they are."""
        path = _path(job, change)
        try:
            view = (await self._client.call("GET", *path)).get("materializedView", {})
            body = {"materializedView": {**view, **change.changes["materializedView"]}}
            await self._client.call("PATCH", *path, body=body)
        except ApiError as error:
            return JobResult(error=JobError(error.reason, error.message, error.location))
        return JobResult(statistics={"query": {"statementType": "ALTER_MATERIALIZED_VIEW"}})

    async def _submit(self, job: EngineJob, emulated: str) -> Json:
        reference = {"projectId": job.project_id, "jobId": emulated}
        body = {"jobReference": reference, "configuration": self._configuration(job)}
        if job.kind == "load" and job.data is not None:
            return await self._client.upload(job.project_id, body, job.data)
        return await self._client.call("POST", job.project_id, "jobs", body=body)

    async def _wait(self, job: EngineJob, answer: Json) -> Json:
        """Return the emulator's job when it is DONE, beginning with what it was in *answer*."""
        emulated = answer["jobReference"]["jobId"]
        while answer["status"]["state"] != "DONE":
            await self._pause(job, emulated)
            answer = await self._client.call("GET", job.project_id, "jobs", emulated)
        return answer

    async def _pause(self, job: EngineJob, emulated: str) -> None:
        """Return when the job is done or when it is time to look again."""
        if job.kind != "query":
            await asyncio.sleep(LOOK_EVERY)
            return
        params = {"timeoutMs": POLL_MS, "maxResults": 0}
        # The poll answers with the error of a failed job; `jobs.get` has it too.
        with contextlib.suppress(ApiError):
            await self._client.call("GET", job.project_id, "queries", emulated, params=params)

    async def _stop(self, job: EngineJob, emulated: str, submission: asyncio.Future[Json]) -> None:
        """
        Cancel the emulator's job, and return only when it is over, so that the next write finds no other.

        The emulator interrupts the statement of the moment: between two statements, or while it prepares one, that
        has no effect, so it is asked until the job is done. Each cancel waits up to a second.
        """
        # It may have been refused, or have ended by itself.
        with contextlib.suppress(ApiError):
            answer = await submission
            for _ in range(STOP_TRIES):
                if answer["status"]["state"] == "DONE":
                    return
                cancelled = await self._client.call("POST", job.project_id, "jobs", emulated, "cancel")
                answer = cancelled["job"]
            logger.error("the emulator does not stop its job %s", emulated)

    async def _result(self, job: EngineJob, answer: Json, elapsed_ms: int) -> JobResult:
        failure = answer["status"].get("errorResult")
        if failure:
            location = failure.get("location")
            return JobResult(error=JobError(failure["reason"], failure["message"], location))
        if job.kind != "query":
            return JobResult(statistics=await self._statistics.of(job, answer, elapsed_ms=elapsed_ms))
        destination = destination_of(answer, job.sql)
        configuration: Json = {"query": {"destinationTable": destination}} if destination else {}
        children = await self._children(job, answer)
        statistics = await self._statistics.of(
            job, answer, elapsed_ms=elapsed_ms, children=[child.result.statistics for child in children]
        )
        schema, rows = await self._rows(job, answer)
        return JobResult(
            schema=schema,
            rows=rows,
            statistics=statistics,
            configuration=configuration,
            children=children,
        )

    async def _rows(self, job: EngineJob, answer: Json) -> tuple[Sequence[Json] | None, Sequence[Json]]:
        if "destinationTable" not in answer["configuration"]["query"]:
            return None, ()
        emulated = answer["jobReference"]["jobId"]
        rows: list[Json] = []
        params: dict[str, Any] = {"maxResults": PAGE, **_INT64_TIMESTAMPS}
        while True:
            page = await self._client.call("GET", job.project_id, "queries", emulated, params=params)
            rows += page.get("rows", ())
            if "pageToken" not in page:
                return page["schema"]["fields"], rows
            params["pageToken"] = page["pageToken"]

    async def _children(self, job: EngineJob, answer: Json) -> list[ChildJob]:
        if not int(answer["statistics"].get("numChildJobs", 0)):
            return []
        parent = answer["jobReference"]["jobId"]
        listed = await self._client.call("GET", job.project_id, "jobs", params={"parentJobId": parent})
        # The emulator numbers them: script_job_<parent>_0, _1, …
        by_number = sorted(
            listed["jobs"], key=lambda child: int(child["jobReference"]["jobId"].rsplit("_", 1)[1])
        )
        children = []
        for child in by_number:
            full = await self._client.call("GET", job.project_id, "jobs", child["jobReference"]["jobId"])
            statistics = await self._statistics.of(job, full, elapsed_ms=0)
            children.append(ChildJob(dict(job.configuration), JobResult(statistics=statistics)))
        return children


def _path(job: EngineJob, table: Forgotten) -> tuple[str, ...]:
    return (table.project_id or job.project_id, "datasets", table.dataset_id, "tables", table.table_id)


def is_read(sql: str) -> bool:
    """Whether *sql* is one SELECT, which changes nothing."""
    bare = code(sql)
    return bool(_READS.match(bare)) and ";" not in bare.rstrip().rstrip(";")


def writes_a_table(job: EngineJob) -> bool:
    """Whether a SELECT's result goes to a table of the client's choice."""
    return "destinationTable" in job.configuration.get("query", {})


def destination_of(answer: Json, sql: str) -> Json | None:
    """
    Return the table BigQuery names as the job's destination.

    A SELECT has the (temporary) table of its result, CREATE TABLE AS SELECT the created one, DML its target. The
    emulator leaves the last two out, and dbt then fails with "'NoneType' object has no attribute 'path'".
    """
    configured: Json | None = answer["configuration"]["query"].get("destinationTable")
    query = answer["statistics"].get("query", {})
    if configured or query.get("statementType") == "CREATE_TABLE_AS_SELECT":
        return configured or query.get("ddlTargetTable")
    if query.get("statementType") in DML:
        target = _DML_TARGET.search(sql)
        if target:
            return dict(zip(("projectId", "datasetId", "tableId"), target.groups()))
    return None
