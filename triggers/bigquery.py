"""
BigQuery's REST calls, on gcloud-aio-bigquery.

One call each, no waiting and no meaning: a call either returns BigQuery's resource or raises an ``ApiError``.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from gcloud.aio.bigquery import Job

from cosmos_async.exceptions import ApiError
from cosmos_async.triggers.retry import PROMPT, Budget
from cosmos_async.triggers.session import Before, Session
from cosmos_async.triggers.threads import parse_json
from cosmos_async.triggers.token import GivenToken, SharedToken

Json = dict[str, Any]

PUBLIC_ENDPOINT = "https://bigquery.googleapis.com"
TIMEOUT = 60  # seconds for one call
UPLOAD_TIMEOUT = 600  # seconds for the bytes of a load job
LARGEST_UPLOAD = 8 * 2**20  # bytes in one request; a multiple of 256 KiB, as pieces must be
INCOMPLETE = 308  # the HTTP status of an upload that goes on
ROWS_PER_PAGE = 10_000

_JOB_IN_MESSAGE = re.compile(r"Job [^\s]*?:([\w-]+)\.[\w-]+")


@dataclass(frozen=True)
class Answer:
    """What one call was answered."""

    status: int
    headers: Mapping[str, str]
    document: Json


@dataclass(frozen=True)
class JobRef:
    """Where a job is."""

    project: str
    job_id: str
    location: str | None = None  #: needed outside the US and EU multi-regions

    @classmethod
    def of(cls, resource: Json) -> JobRef:
        """Return the reference in a job's resource."""
        reference = resource["jobReference"]
        return cls(reference["projectId"], reference["jobId"], reference.get("location"))

    @property
    def console(self) -> str:
        """The job in Google's console."""
        return (
            f"https://console.cloud.google.com/bigquery?project={self.project}"
            f"&j=bq:{self.location or 'US'}:{self.job_id}&page=queryresults"
        )

    def __str__(self) -> str:
        return f"{self.project}:{self.location or '?'}.{self.job_id}"


class _AuthorisedJob(Job):
    """gcloud-aio's job handle, without its switch: an environment variable there turns authentication off."""

    token: SharedToken | GivenToken

    async def headers(self) -> dict[str, str]:
        sent = {"Authorization": f"Bearer {await self.token.get()}"}
        if self.token.quota_project:
            sent["x-goog-user-project"] = self.token.quota_project  # dbt's `quota_project`
        return sent


class BigQuery:
    """
    BigQuery's API as one identity sees it.

    Args:
        session: Carries the calls.
        endpoint: The API's root without a path; None means Google's public one.
    """

    def __init__(self, session: Session, endpoint: str | None = None) -> None:
        self.session = session
        self.endpoint = (endpoint or PUBLIC_ENDPOINT).rstrip("/")
        self.root = f"{self.endpoint}/bigquery/v2"

    def _job(self, project: str, job_id: str | None = None, location: str | None = None) -> Job:
        return _AuthorisedJob(
            job_id=job_id,
            project=project,
            session=self.session.http,
            token=self.session.token,
            api_root=self.root,
            location=location,
        )

    # -- jobs ---------------------------------------------------------------------------------------------------------

    async def insert_job(
        self, project: str, body: Json, *, before: Before | None = None, deadline: float | None = None
    ) -> Json:
        """Insert a job whose id is in *body*; a lost answer therefore ends in 409 and never in a second job."""
        what = f"submitting BigQuery job {body.get('jobReference', {}).get('jobId') or '(dry run)'}"
        return await self.session.call(
            what,
            lambda: self._job(project).insert(body, timeout=TIMEOUT),
            before=before,
            deadline=deadline,
        )

    async def upload_job(
        self,
        project: str,
        body: Json,
        data: bytes,
        *,
        before: Before | None = None,
        deadline: float | None = None,
    ) -> Json:
        """Insert a load job together with its bytes; many are sent in pieces."""
        if len(data) > LARGEST_UPLOAD:
            return await self._upload_in_pieces(project, body, data, before=before, deadline=deadline)
        boundary = uuid.uuid4().hex
        payload = (
            (
                f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(body)}\r\n"
                f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
            ).encode()
            + data
            + f"\r\n--{boundary}--\r\n".encode()
        )
        return await self._request(
            f"submitting BigQuery job {body['jobReference']['jobId']}",
            "POST",
            f"{self.endpoint}/upload/bigquery/v2/projects/{quote(project)}/jobs",
            params={"uploadType": "multipart"},
            payload=payload,
            content_type=f"multipart/related; boundary={boundary}",
            timeout=UPLOAD_TIMEOUT,
            before=before,
            deadline=deadline,
        )

    async def _upload_in_pieces(
        self, project: str, body: Json, data: bytes, *, before: Before | None, deadline: float | None
    ) -> Json:
        what = f"submitting BigQuery job {body['jobReference']['jobId']}"
        begun = await self._exchange(
            what,
            "POST",
            f"{self.endpoint}/upload/bigquery/v2/projects/{quote(project)}/jobs",
            params={"uploadType": "resumable"},
            payload=json.dumps(body).encode(),
            headers={
                "X-Upload-Content-Type": "application/octet-stream",
                "X-Upload-Content-Length": str(len(data)),
            },
            before=before,
            deadline=deadline,
        )
        whole, position = memoryview(data), 0
        while True:
            piece = whole[position : position + LARGEST_UPLOAD]
            answer = await self._exchange(
                f"{what} (from byte {position} of {len(data)})",
                "PUT",
                begun.headers["Location"],
                payload=piece,
                content_type="application/octet-stream",
                headers={"Content-Range": f"bytes {position}-{position + len(piece) - 1}/{len(data)}"},
                timeout=UPLOAD_TIMEOUT,
                before=before,
                deadline=deadline,
            )
            if answer.status != INCOMPLETE:
                return answer.document
            # Google tells what has arrived; the rest of a piece is sent again.
            arrived = answer.headers.get("Range")
            position = 0 if arrived is None else int(arrived.rpartition("-")[2]) + 1

    async def get_job(self, job: JobRef, *, budget: Budget = PROMPT, deadline: float | None = None) -> Json:
        """Return a job's resource."""
        handle = self._job(job.project, job.job_id, job.location)
        return await self.session.call(
            f"reading BigQuery job {job}",
            lambda: handle.get_job(timeout=TIMEOUT),
            budget=budget,
            deadline=deadline,
        )

    async def find_job(self, job: JobRef, *, deadline: float | None = None) -> Json | None:
        """Return a job's resource, or None where there is no such job."""
        try:
            return await self.get_job(job, deadline=deadline)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    async def cancel_job(self, job: JobRef, *, deadline: float | None = None) -> None:
        """Ask a job to stop; it may go on for a moment. An unknown or finished one is left alone."""
        handle = self._job(job.project, job.job_id, job.location)
        try:
            await self.session.call(
                f"cancelling BigQuery job {job}", lambda: handle.cancel(timeout=TIMEOUT), deadline=deadline
            )
        except ApiError as error:
            if error.status != 404:
                raise

    async def poll_query(
        self, job: JobRef, *, seconds: float, budget: Budget, deadline: float | None
    ) -> Json:
        """Wait on the server's side until a query job ends, *seconds* at most, and return no rows."""
        handle = self._job(job.project, job.job_id, job.location)
        params = {"timeoutMs": int(seconds * 1000), "maxResults": 0, "fields": "jobComplete,jobReference"}
        return await self.session.call(
            f"waiting for BigQuery job {job}",
            lambda: handle.get_query_results(timeout=int(seconds) + TIMEOUT, params=params),
            budget=budget,
            deadline=deadline,
        )

    async def rows(self, job: JobRef, *, deadline: float | None = None) -> Json:
        """Return ``getQueryResults`` of a finished query job, all its pages' rows under ``rows``."""
        handle = self._job(job.project, job.job_id, job.location)
        answer: Json | None = None
        rows: list[Any] = []
        token: str | None = None
        while answer is None or token:
            params = {"maxResults": ROWS_PER_PAGE, "formatOptions.useInt64Timestamp": "true"}
            if token:
                params["pageToken"] = token
            page = await self.session.call(
                f"reading the rows of BigQuery job {job}",
                lambda params=params: handle.get_query_results(timeout=TIMEOUT, params=params),  # type: ignore[misc]
                deadline=deadline,
            )
            rows += page.get("rows") or []
            answer = answer or page
            token = page.get("pageToken")
        return {**answer, "rows": rows}

    async def running_jobs(self, project: str, *, since_ms: int, budget: Budget) -> AsyncIterator[Json]:
        """Yield the caller's own jobs of a project that are pending or running, newest first."""
        token: str | None = None
        while True:
            params: list[tuple[str, str]] = [
                ("stateFilter", "pending"),
                ("stateFilter", "running"),
                ("minCreationTime", str(since_ms)),
                ("maxResults", "1000"),
                ("projection", "minimal"),
                ("fields", "nextPageToken,jobs(jobReference,state)"),
            ]
            if token:
                params.append(("pageToken", token))
            page = await self._request(
                f"listing the running BigQuery jobs of {project}",
                "GET",
                f"{self.root}/projects/{quote(project)}/jobs",
                params=params,
                budget=budget,
            )
            for job in page.get("jobs") or []:
                yield job
            token = page.get("nextPageToken")
            if not token:
                return

    # -- tables and datasets ------------------------------------------------------------------------------------------

    async def get_table(
        self, project: str, dataset: str, table: str, *, deadline: float | None = None
    ) -> Json | None:
        """Return a table's resource, or None where there is none."""
        path = f"projects/{quote(project)}/datasets/{quote(dataset)}/tables/{quote(table)}"
        return await self._find(f"reading table {project}.{dataset}.{table}", path, deadline)

    async def get_dataset(self, project: str, dataset: str, *, deadline: float | None = None) -> Json | None:
        """Return a dataset's resource, or None where there is none."""
        path = f"projects/{quote(project)}/datasets/{quote(dataset)}"
        return await self._find(f"reading dataset {project}.{dataset}", path, deadline)

    async def send(
        self,
        what: str,
        method: str,
        path: str,
        body: Json | None,
        *,
        before: Before | None = None,
        deadline: float | None = None,
    ) -> Json:
        """Send one call below ``/bigquery/v2/``; for *before*, see :meth:`Session.call`."""
        payload = None if body is None else json.dumps(body).encode()
        return await self._request(
            what, method, f"{self.root}/{path}", payload=payload, before=before, deadline=deadline
        )

    async def patch_table(
        self,
        project: str,
        dataset: str,
        table: str,
        body: Json,
        *,
        etag: str | None,
        deadline: float | None = None,
    ) -> Json:
        """Change a table, if it still is what it was when *etag* was read; BigQuery answers 412 otherwise."""
        return await self._request(
            f"changing table {project}.{dataset}.{table}",
            "PATCH",
            f"{self.root}/projects/{quote(project)}/datasets/{quote(dataset)}/tables/{quote(table)}",
            payload=json.dumps(body).encode(),
            headers={"If-Match": etag} if etag else None,
            deadline=deadline,
        )

    async def patch_dataset(
        self, project: str, dataset: str, body: Json, *, etag: str | None, deadline: float | None = None
    ) -> Json:
        """Change a dataset, if it still is what it was when *etag* was read; BigQuery answers 412 otherwise."""
        return await self._request(
            f"changing dataset {project}.{dataset}",
            "PATCH",
            f"{self.root}/projects/{quote(project)}/datasets/{quote(dataset)}",
            payload=json.dumps(body).encode(),
            headers={"If-Match": etag} if etag else None,
            deadline=deadline,
        )

    async def _find(self, what: str, path: str, deadline: float | None) -> Json | None:
        try:
            return await self._request(what, "GET", f"{self.root}/{path}", deadline=deadline)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    async def _request(
        self,
        what: str,
        method: str,
        url: str,
        *,
        params: Any = None,
        payload: bytes | None = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        timeout: float = TIMEOUT,
        budget: Budget = PROMPT,
        before: Before | None = None,
        deadline: float | None = None,
    ) -> Json:
        answer = await self._exchange(
            what,
            method,
            url,
            params=params,
            payload=payload,
            content_type=content_type,
            headers=headers,
            timeout=timeout,
            budget=budget,
            before=before,
            deadline=deadline,
        )
        return answer.document

    async def _exchange(
        self,
        what: str,
        method: str,
        url: str,
        *,
        params: Any = None,
        payload: bytes | memoryview | None = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        timeout: float = TIMEOUT,
        budget: Budget = PROMPT,
        before: Before | None = None,
        deadline: float | None = None,
    ) -> Answer:
        handle = self._job("")

        async def send() -> Answer:
            import aiohttp

            sent = {**await handle.headers(), **(headers or {})}
            if payload is not None:
                sent["Content-Type"] = content_type
            response = await handle.session.request(
                method,
                url,
                headers=sent,
                params=params,
                data=payload,
                timeout=aiohttp.ClientTimeout(total=timeout),
            )
            data = await response.read()
            return Answer(response.status, response.headers, (await parse_json(data)) if data else {})

        return await self.session.call(what, send, budget=budget, before=before, deadline=deadline)


def with_location(job: JobRef, error: ApiError) -> JobRef:
    """Return *job* with the location that BigQuery names in "Already Exists: Job project:EU.id"."""
    found = _JOB_IN_MESSAGE.search(str(error))
    return replace(job, location=found.group(1)) if found and job.location is None else job
