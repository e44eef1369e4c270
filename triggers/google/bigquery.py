"""
BigQuery's REST calls, on gcloud-aio-bigquery.

One call each, no waiting and no meaning: a call either returns BigQuery's resource or raises an ``ApiError``.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from cosmos_async.exceptions import ApiError
from cosmos_async.triggers.google.rest import TIMEOUT, Rest
from cosmos_async.triggers.google.retry import PROMPT, Budget
from cosmos_async.triggers.google.session import Before, Session
from cosmos_async.triggers.google.uploads import Uploads

Json = dict[str, Any]

PUBLIC_ENDPOINT = "https://bigquery.googleapis.com"
ROWS_PER_PAGE = 10_000
ENTRIES_PER_PAGE = 1000  # of tables, routines or datasets
#: The fields that name an entry of a list and tell its type, and the type of those without one.
_LISTED = {
    "tables": ("tableReference", "tableId", "type", "TABLE"),
    "routines": ("routineReference", "routineId", "routineType", ""),
    "datasets": ("datasetReference", "datasetId", "", ""),
}

_JOB_IN_MESSAGE = re.compile(r"Job [^\s]*?:([\w-]+)\.[\w-]+")


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
        self._rest = Rest(session, f"{self.endpoint}/bigquery/v2")
        self._uploads = Uploads(self._rest, self.endpoint)

    # -- jobs ---------------------------------------------------------------------------------------------------------

    async def insert_job(
        self, project: str, body: Json, *, before: Before | None = None, deadline: float | None = None
    ) -> Json:
        """Insert a job whose id is in *body*; a lost answer therefore ends in 409 and never in a second job."""
        what = f"submitting BigQuery job {body.get('jobReference', {}).get('jobId') or '(dry run)'}"
        return await self.session.call(
            what,
            lambda: self._rest.job(project).insert(body, timeout=TIMEOUT),
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
        return await self._uploads.insert(project, body, data, before=before, deadline=deadline)

    async def get_job(self, job: JobRef, *, budget: Budget = PROMPT, deadline: float | None = None) -> Json:
        """Return a job's resource."""
        handle = self._rest.job(job.project, job.job_id, job.location)
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
        handle = self._rest.job(job.project, job.job_id, job.location)
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
        handle = self._rest.job(job.project, job.job_id, job.location)
        params = {"timeoutMs": int(seconds * 1000), "maxResults": 0, "fields": "jobComplete,jobReference"}
        return await self.session.call(
            f"waiting for BigQuery job {job}",
            lambda: handle.get_query_results(timeout=int(seconds) + TIMEOUT, params=params),
            budget=budget,
            deadline=deadline,
        )

    async def rows(self, job: JobRef, *, deadline: float | None = None) -> Json:
        """Return ``getQueryResults`` of a finished query job, all its pages' rows under ``rows``."""
        handle = self._rest.job(job.project, job.job_id, job.location)
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

    async def running_jobs(
        self, project: str, *, since_ms: int, budget: Budget, labels: bool = False
    ) -> AsyncIterator[Json]:
        """
        Yield the caller's own jobs of a project that are pending or running, newest first.

        Args:
            project: Where they run.
            since_ms: When the oldest of them may have been made, in milliseconds of Unix time.
            budget: How long to go on after errors.
            labels: Whether their labels are needed.
        """
        token: str | None = None
        while True:
            params: list[tuple[str, str]] = [
                ("stateFilter", "pending"),
                ("stateFilter", "running"),
                ("minCreationTime", str(since_ms)),
                ("maxResults", "1000"),
                ("projection", "full" if labels else "minimal"),
                (
                    "fields",
                    f"nextPageToken,jobs(jobReference,state{',configuration/labels' if labels else ''})",
                ),
            ]
            if token:
                params.append(("pageToken", token))
            answer = await self._rest.call(
                f"listing the running BigQuery jobs of {project}",
                "GET",
                f"{self._rest.root}/projects/{quote(project)}/jobs",
                params=params,
                budget=budget,
            )
            for job in answer.document.get("jobs") or []:
                yield job
            token = answer.document.get("nextPageToken")
            if not token:
                return

    # -- tables and datasets ------------------------------------------------------------------------------------------

    async def get_table(
        self, project: str, dataset: str, table: str, *, deadline: float | None = None
    ) -> Json | None:
        """Return a table's resource, or None where there is none."""
        path = f"{_dataset(project, dataset)}/tables/{quote(table)}"
        return await self._rest.find(f"reading table {project}.{dataset}.{table}", path, deadline)

    async def get_dataset(self, project: str, dataset: str, *, deadline: float | None = None) -> Json | None:
        """Return a dataset's resource, or None where there is none."""
        return await self._rest.find(
            f"reading dataset {project}.{dataset}", _dataset(project, dataset), deadline
        )

    async def listed(
        self, what: str, project: str, dataset: str | None = None, *, deadline: float | None = None
    ) -> dict[str, str]:
        """
        Return types by name; nothing where there is no such dataset.

        Args:
            what: ``tables`` or ``routines`` of a dataset, or ``datasets`` of a project, which have no type.
            project: The project.
            dataset: The dataset.
            deadline: When to give up, on the session's clock.
        """
        reference, name, kind, usual = _LISTED[what]
        place = f"projects/{quote(project)}" if dataset is None else _dataset(project, dataset)
        found: dict[str, str] = {}
        token: str | None = None
        while True:
            page = f"maxResults={ENTRIES_PER_PAGE}" + (f"&pageToken={quote(token)}" if token else "")
            answer = await self._rest.find(
                f"listing the {what} of {place}", f"{place}/{what}?{page}", deadline
            )
            for entry in (answer or {}).get(what) or []:
                found[entry[reference][name]] = entry.get(kind) or usual
            token = (answer or {}).get("nextPageToken")
            if not token:
                return found

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
        answer = await self._rest.call(
            what, method, f"{self._rest.root}/{path}", payload=payload, before=before, deadline=deadline
        )
        return answer.document

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
        path = f"{_dataset(project, dataset)}/tables/{quote(table)}"
        return await self._patch(f"changing table {project}.{dataset}.{table}", path, body, etag, deadline)

    async def patch_dataset(
        self, project: str, dataset: str, body: Json, *, etag: str | None, deadline: float | None = None
    ) -> Json:
        """Change a dataset, if it still is what it was when *etag* was read; BigQuery answers 412 otherwise."""
        what = f"changing dataset {project}.{dataset}"
        return await self._patch(what, _dataset(project, dataset), body, etag, deadline)

    async def _patch(
        self, what: str, path: str, body: Json, etag: str | None, deadline: float | None
    ) -> Json:
        answer = await self._rest.call(
            what,
            "PATCH",
            f"{self._rest.root}/{path}",
            payload=json.dumps(body).encode(),
            headers={"If-Match": etag} if etag else None,
            deadline=deadline,
        )
        return answer.document


def _dataset(project: str, dataset: str) -> str:
    return f"projects/{quote(project)}/datasets/{quote(dataset)}"


def with_location(job: JobRef, error: ApiError) -> JobRef:
    """Return *job* with the location that BigQuery names in "Already Exists: Job project:EU.id"."""
    found = _JOB_IN_MESSAGE.search(str(error))
    return replace(job, location=found.group(1)) if found and job.location is None else job


def is_done(resource: Json) -> bool:
    """Return whether a job has ended, well or badly."""
    return bool(resource.get("status", {}).get("state") == "DONE")


def error_of(resource: Json) -> Json | None:
    """Return what a finished job failed with, None where it did not."""
    found: Json | None = resource.get("status", {}).get("errorResult")
    return found
