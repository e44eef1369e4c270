"""
Submit a job once, whatever happens to the answer: idempotent by its id.

Ids are computed, so "already exists" means: this very job, from an earlier life of this task or from a reply that was
lost. It is adopted, once it has turned out to be what would have been submitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cosmos_async.exceptions import ApiError
from cosmos_async.plan.model import JobOperation
from cosmos_async.triggers.google.bigquery import BigQuery, JobRef, with_location
from cosmos_async.triggers.google.session import Before
from cosmos_async.triggers.jobs.same_job import require_same

Json = dict[str, Any]

#: Beyond the task's own end, seconds: whoever is there to cancel the job does so first and can say why.
TIMEOUT_GRACE = 15.0


@dataclass(frozen=True)
class Submitted:
    """A job that BigQuery knows."""

    ref: JobRef
    resource: Json
    adopted: bool  #: it was there before


def job_body(operation: JobOperation, job_id: str, *, left: float | None = None) -> Json:
    """
    Return the REST body dbt would have sent for *operation*, under our id.

    Args:
        operation: What to do.
        job_id: Its computed id.
        left: Seconds until the task's ``execution_timeout``. BigQuery then ends the job by itself, so that it does not
            outlive the task even if no triggerer is left to cancel it.
    """
    reference: Json = {"projectId": operation.project, "jobId": job_id}
    if operation.location:
        reference["location"] = operation.location
    configuration = operation.configuration
    if left is not None:
        own = int(configuration.get("jobTimeoutMs") or 0)
        longest = max(1, int((left + TIMEOUT_GRACE) * 1000))
        configuration = {**configuration, "jobTimeoutMs": str(min(own or longest, longest))}
    return {"jobReference": reference, "configuration": configuration}


async def submit_job(
    bigquery: BigQuery,
    operation: JobOperation,
    job_id: str,
    *,
    unique_id: str,
    data: bytes | None = None,
    before: Before | None = None,
    deadline: float | None = None,
) -> Submitted:
    """
    Insert the job of *operation*, or adopt the one that exists under its id.

    Args:
        bigquery: The API.
        operation: What to do.
        job_id: Its computed id.
        unique_id: Whose operation it is, for messages.
        data: The bytes of a load job that brings its own.
        before: See :meth:`cosmos_async.triggers.google.session.Session.call`.
        deadline: When to give up, on the session's clock.

    Raises:
        ApiError: BigQuery refused the job.
        JobTaken: There is another one under its id.
    """
    left = None if deadline is None else max(0.0, deadline - bigquery.session.clock.now())
    # What the run needs once does not end with the task that came first.
    body = job_body(operation, job_id, left=None if operation.shared else left)
    try:
        if data is None:
            resource = await bigquery.insert_job(operation.project, body, before=before, deadline=deadline)
        else:
            resource = await bigquery.upload_job(
                operation.project, body, data, before=before, deadline=deadline
            )
    except ApiError as error:
        if error.status != 409:
            raise
        known = with_location(JobRef(operation.project, job_id, operation.location), error)
        resource = await bigquery.get_job(known, deadline=deadline)
        require_same(unique_id, operation, resource)
        return Submitted(JobRef.of(resource), resource, adopted=True)
    return Submitted(JobRef.of(resource), resource, adopted=False)


async def find_job(
    bigquery: BigQuery, operation: JobOperation, job_id: str, *, deadline: float | None = None
) -> Submitted | None:
    """Return the job under *job_id*, whatever it is, or None where there is none."""
    ref = JobRef(operation.project, job_id, operation.location)
    resource = await bigquery.find_job(ref, deadline=deadline)
    if resource is None and operation.location is None:
        # Outside the multi-regions BigQuery finds a job only where it is: where its dataset is.
        location = await _location_of_data(bigquery, operation, deadline=deadline)
        if location is not None:
            ref = JobRef(operation.project, job_id, location)
            resource = await bigquery.find_job(ref, deadline=deadline)
    return None if resource is None else Submitted(JobRef.of(resource), resource, adopted=True)


async def _location_of_data(
    bigquery: BigQuery, operation: JobOperation, *, deadline: float | None
) -> str | None:
    dataset = _dataset(operation)
    if dataset is None:
        return None
    found = await bigquery.get_dataset(*dataset, deadline=deadline)
    return None if found is None else found.get("location")


def _dataset(operation: JobOperation) -> tuple[str, str] | None:
    for kind in ("query", "load", "copy"):
        details = operation.configuration.get(kind) or {}
        for name in ("destinationTable", "defaultDataset"):
            reference = details.get(name)
            if reference:
                return reference.get("projectId", operation.project), reference["datasetId"]
    return None
