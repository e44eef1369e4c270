"""
BigQuery's job routes: insert, get, list, cancel, query, getQueryResults.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterable

from aiohttp import web

from cosmos_async.testing.answers import (
    etag,
    integer,
    json_answer,
    json_body,
    page,
    page_start,
    page_token,
)
from cosmos_async.testing.engine import ApiError, Catalog, Engine, EngineJob, JobResult, Json
from cosmos_async.testing.jobs import Job, JobStore, State, normal_location
from cosmos_async.testing.routes import Route
from cosmos_async.testing.rows import float_timestamps
from cosmos_async.testing.uploads import Upload, Uploads, multipart

LONGEST_POLL_MS = 200_000
USUAL_POLL_MS = 10_000
USUAL_PAGE = 50  # jobs
LARGEST_PAGE = 1000  # jobs
ROWS_PER_PAGE = 50_000

JOBS = "/bigquery/v2/projects/{project}/jobs"
QUERIES = "/bigquery/v2/projects/{project}/queries"
UPLOAD = "/upload/bigquery/v2/projects/{project}/jobs"


class JobApi:
    """
    The HTTP face of a `JobStore`.

    Args:
        jobs: The jobs.
        engine: Asked for dry runs; the store runs the others.
        catalog: Asked where a default dataset lies.
        uploads: The resumable uploads under way.
        location: Where a job runs that names neither a location nor a dataset.
    """

    def __init__(
        self, *, jobs: JobStore, engine: Engine, catalog: Catalog, uploads: Uploads, location: str
    ) -> None:
        self._jobs = jobs
        self._engine = engine
        self._catalog = catalog
        self._uploads = uploads
        self._location = location
        self._by_request_id: dict[tuple[str, str], Job] = {}

    def routes(self) -> Iterable[Route]:
        """Return the routes by their operation."""
        yield Route("POST", JOBS, "jobs.insert", self.insert)
        yield Route("POST", UPLOAD, "jobs.insert", self.upload)
        yield Route("PUT", UPLOAD, "uploads.continue", self.proceed)
        yield Route("GET", JOBS, "jobs.list", self.list)
        yield Route("GET", JOBS + "/{job}", "jobs.get", self.get)
        yield Route("POST", JOBS + "/{job}/cancel", "jobs.cancel", self.cancel)
        yield Route("DELETE", JOBS + "/{job}/delete", "jobs.delete", self.delete)
        yield Route("POST", QUERIES, "jobs.query", self.query)
        yield Route("GET", QUERIES + "/{job}", "jobs.getQueryResults", self.results)

    async def insert(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer jobs.insert."""
        return await self._insert(request, caller, await json_body(request), None)

    async def upload(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer jobs.insert of a load job with its data."""

        async def finish(upload: Upload) -> web.StreamResponse:
            return await self._insert(request, caller, upload.metadata, upload.content)

        if request.query.get("uploadType") == "resumable":
            return await self._uploads.begin(request, finish)
        return await finish(await multipart(request))

    async def proceed(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer a piece of a resumable upload."""
        return await self._uploads.proceed(request)

    async def get(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer jobs.get."""
        return json_answer(self._job(request).resource())

    async def list(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer jobs.list."""
        states = {state.upper() for state in request.query.getall("stateFilter", [])}
        parent = request.query.get("parentJobId") or None
        everyone = request.query.get("allUsers") == "true"
        earliest = integer(request, "minCreationTime", 0)
        latest = integer(request, "maxCreationTime", 2**63)
        unknown = states - {state.value for state in State}
        if unknown:
            raise ApiError(400, "invalidParameter", f"Invalid value for stateFilter: {sorted(unknown)}")
        found = [
            job
            for job in reversed(list(self._jobs))
            if job.spec.project_id == request.match_info["project"]
            and job.parent == parent
            and (everyone or job.spec.user_email == caller)
            and (not states or job.state.value in states)
            and earliest <= int(job.created * 1000) <= latest
        ]
        size = min(integer(request, "maxResults", USUAL_PAGE) or USUAL_PAGE, LARGEST_PAGE)
        jobs, token = page(found, size=size, token=request.query.get("pageToken"))
        full = request.query.get("projection") == "full"
        body: Json = {"kind": "bigquery#jobList", "jobs": [job.resource(full=full) for job in jobs]}
        body["etag"] = etag(body)
        if token:
            body["nextPageToken"] = token
        if not jobs:
            del body["jobs"]
        return json_answer(body)

    async def cancel(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer jobs.cancel; the job may still be seen running for a moment."""
        job = self._job(request)
        self._jobs.cancel(job)
        return json_answer({"kind": "bigquery#jobCancelResponse", "job": job.resource()})

    async def delete(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer jobs.delete."""
        self._jobs.delete(self._job(request))
        return web.Response(status=204)

    async def query(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer jobs.query: insert a job and wait a while for its rows."""
        project = request.match_info["project"]
        body = await json_body(request)
        configuration = _query_configuration(body)
        location = await self._where(project, body.get("location"), configuration)
        if body.get("dryRun"):
            spec = EngineJob(project, "", location, configuration, caller)
            result = await self._dry_run(spec)
            answer = {"kind": "bigquery#queryResponse", "jobComplete": True, **_outcome(result)}
            return json_answer({**answer, "jobReference": {"projectId": project, "location": location}})
        request_id = body.get("requestId")
        job = self._by_request_id.get((project, request_id)) if request_id else None
        if job is None:
            spec = EngineJob(project, f"job_{uuid.uuid4().hex}", location, configuration, caller)
            job = self._jobs.insert(spec)
            if request_id:
                self._by_request_id[project, request_id] = job
        await _wait(job, int(body.get("timeoutMs", USUAL_POLL_MS)))
        exact = bool(body.get("formatOptions", {}).get("useInt64Timestamp"))
        size = int(body.get("maxResults") or ROWS_PER_PAGE)
        return json_answer({**_results(job, 0, size, exact), "kind": "bigquery#queryResponse"})

    async def results(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer jobs.getQueryResults: a long poll, and the pages of the result."""
        job = self._job(request)
        if job.spec.kind != "query":
            raise ApiError(400, "invalid", f"Cannot return results of a {job.spec.kind.upper()} job.")
        await _wait(job, integer(request, "timeoutMs", USUAL_POLL_MS))
        token = request.query.get("pageToken")
        start = page_start(token) if token else integer(request, "startIndex", 0)
        size = integer(request, "maxResults", ROWS_PER_PAGE)
        exact = request.query.get("formatOptions.useInt64Timestamp", "").lower() == "true"
        return json_answer(_results(job, start, size, exact))

    async def _insert(
        self, request: web.Request, caller: str, body: Json, data: bytes | None
    ) -> web.StreamResponse:
        reference = body.get("jobReference", {})
        project = request.match_info["project"]
        configuration = body.get("configuration", {})
        if reference.get("projectId", project) != project:
            raise ApiError(400, "invalid", f"Project id {reference['projectId']} does not match {project}.")
        if sum(kind in configuration for kind in ("query", "load", "copy", "extract")) != 1:
            raise ApiError(400, "required", "Required parameter is missing: a job configuration of one kind")
        location = await self._where(project, reference.get("location"), configuration)
        if configuration.get("dryRun"):
            result = await self._dry_run(EngineJob(project, "", location, configuration, caller))
            return json_answer(_dry_run_resource(project, location, configuration, result, caller))
        job_id = reference.get("jobId") or f"job_{uuid.uuid4().hex}"
        job = self._jobs.insert(EngineJob(project, job_id, location, configuration, caller, data))
        return json_answer(job.resource())

    async def _dry_run(self, spec: EngineJob) -> JobResult:
        result = await self._engine.dry_run(spec)
        if result.error:
            raise ApiError(
                result.error.status, result.error.reason, result.error.message, location=result.error.location
            )
        return result

    async def _where(self, project: str, location: str | None, configuration: Json) -> str:
        if location:
            return normal_location(location)
        for kind, key in (
            ("query", "defaultDataset"),
            ("load", "destinationTable"),
            ("copy", "destinationTable"),
        ):
            reference = configuration.get(kind, {}).get(key)
            if reference:
                # A job on a dataset nobody knows fails by itself, in the usual place.
                with contextlib.suppress(ApiError):
                    dataset = await self._catalog.get_dataset(
                        reference.get("projectId", project), reference["datasetId"]
                    )
                    return normal_location(dataset.get("location", self._location))
        return normal_location(self._location)

    def _job(self, request: web.Request) -> Job:
        return self._jobs.get(
            request.match_info["project"], request.match_info["job"], request.query.get("location")
        )


async def _wait(job: Job, timeout_ms: int) -> None:
    """Wait for *job* to be DONE, as long as a long poll may."""
    if job.done.is_set() or timeout_ms <= 0:
        return
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(job.done.wait(), min(timeout_ms, LONGEST_POLL_MS) / 1000)


def _results(job: Job, start: int, size: int, exact: bool) -> Json:
    body: Json = {
        "kind": "bigquery#getQueryResultsResponse",
        "jobReference": job.reference,
        "jobComplete": job.state is State.DONE,
    }
    if job.state is not State.DONE:
        return body
    if job.error:
        raise ApiError(job.error.status, job.error.reason, job.error.message, location=job.error.location)
    rows = job.result.rows[start : start + size]
    schema = job.result.schema
    body.update(_outcome(job.result))
    body["totalRows"] = str(len(job.result.rows))
    if rows:
        body["rows"] = rows if exact else float_timestamps(schema or (), rows)
    # With maxResults=0 only the wait was asked for: a token would invite an endless walk over empty pages.
    if size and start + size < len(job.result.rows):
        body["pageToken"] = page_token(start + size)
    body["etag"] = etag(body)
    return body


def _outcome(result: JobResult) -> Json:
    query = result.statistics.get("query", {})
    processed = result.statistics.get("totalBytesProcessed", query.get("totalBytesProcessed", "0"))
    body: Json = {"totalBytesProcessed": processed, "cacheHit": query.get("cacheHit", False)}
    if result.schema is not None:
        body["schema"] = {"fields": list(result.schema)}
    for key in ("numDmlAffectedRows", "dmlStats"):
        if key in query:
            body[key] = query[key]
    return body


def _query_configuration(body: Json) -> Json:
    """Return the JobConfiguration of a jobs.query request."""
    same = ("query", "defaultDataset", "useQueryCache", "maximumBytesBilled", "parameterMode", "queryParameters",
            "createSession", "connectionProperties", "priority", "destinationEncryptionConfiguration")  # fmt: skip
    query = {key: body[key] for key in same if key in body}
    # Legacy SQL is BigQuery's own default here; no client in use leaves it out.
    query["useLegacySql"] = body.get("useLegacySql", True)
    configuration: Json = {"query": query}
    for key in ("labels", "dryRun", "jobTimeoutMs", "reservation"):
        if key in body:
            configuration[key] = body[key]
    return configuration


def _dry_run_resource(
    project: str, location: str, configuration: Json, result: JobResult, caller: str
) -> Json:
    # Only what BigQuery answers: there is no job, hence no jobId.
    spec = EngineJob(project, "", location, configuration, caller)
    job = Job(spec, now=0)
    job.finish(result, 0)
    body = job.resource()
    body["jobReference"] = {"projectId": project, "location": location}
    for key in ("id", "selfLink"):
        del body[key]
    statistics = body["statistics"]
    for key in ("startTime", "endTime"):
        del statistics[key]
    if result.schema is not None:
        statistics.setdefault("query", {})["schema"] = {"fields": list(result.schema)}
    return body
