"""
The seam between BigQuery's job API and whoever really runs the jobs and keeps the tables.

The server owns everything about a job that does not depend on SQL: ids, states, 409, cancel, long polls, paging,
error shapes, tokens. An `Engine` is given one job at a time and answers with its result; a `Catalog` keeps datasets
and tables. Both speak BigQuery's REST resources, so that a real emulator can stand behind them without translation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]

#: The HTTP status BigQuery uses for a reason, where a failed job or a refused call becomes an HTTP error.
STATUS_OF_REASON: Mapping[str, int] = {
    "accessDenied": 403,
    "backendError": 503,
    "billingNotEnabled": 403,
    "conditionNotMet": 412,
    "duplicate": 409,
    "internalError": 500,
    "invalid": 400,
    "invalidQuery": 400,
    "jobBackendError": 400,
    "jobInternalError": 400,
    "jobRateLimitExceeded": 400,
    "notFound": 404,
    "notImplemented": 501,
    "quotaExceeded": 403,
    "rateLimitExceeded": 403,
    "resourceInUse": 400,
    "resourcesExceeded": 400,
    "responseTooLarge": 403,
    "stopped": 499,
    "timeout": 400,
}


class ApiError(Exception):
    """
    A call that Google refuses; becomes an HTTP answer in Google's JSON error shape.

    Args:
        status: The HTTP status.
        reason: Google's word for it, such as "notFound".
        message: Google's sentence for it, such as "Not found: Table p:d.t".
        location: Where in the request or the query, if anywhere.
        headers: Further response headers, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        location: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.location = location
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class JobError:
    """Why a job failed, in BigQuery's own words."""

    reason: str  #: such as "invalidQuery", "notFound", "stopped"
    message: str
    location: str | None = None  #: "query" for errors in the SQL text

    def as_proto(self) -> Json:
        """Return it as BigQuery's ErrorProto."""
        proto: Json = {"reason": self.reason, "message": self.message}
        if self.location:
            proto["location"] = self.location
        return proto

    @property
    def status(self) -> int:
        """The HTTP status of an answer that reports this error."""
        return STATUS_OF_REASON.get(self.reason, 400)


@dataclass(frozen=True)
class EngineJob:
    """One job as the engine sees it. The configuration is the client's own JSON and must not be changed."""

    project_id: str
    job_id: str  #: empty for a dry run
    location: str
    configuration: Json  #: JobConfiguration: {"query": {…}, "labels": {…}, …}
    user_email: str
    data: bytes | None = None  #: what a load job uploaded; None when it reads from `sourceUris`

    @property
    def kind(self) -> str:
        """Return "query", "load", "copy" or "extract"."""
        for kind in ("query", "load", "copy", "extract"):
            if kind in self.configuration:
                return kind
        return "query"

    @property
    def sql(self) -> str:
        """Return the text of a query job, the empty string for other kinds."""
        return str(self.configuration.get("query", {}).get("query", ""))

    @property
    def labels(self) -> dict[str, str]:
        """Return the job's labels."""
        return dict(self.configuration.get("labels", {}))


@dataclass(frozen=True)
class JobResult:
    """What became of a job."""

    #: The fields of the result ([{"name", "type", "mode"?, "fields"?}, …]); None for a statement without result.
    schema: Sequence[Json] | None = None
    #: The rows in REST shape ({"f": [{"v": …}, …]}); see `cosmos_async.testing.rows.rest_rows`.
    rows: Sequence[Json] = ()
    #: Merged deeply into the job's `statistics`, so {"query": {"statementType": "MERGE"}, "totalBytesProcessed": "7"}.
    statistics: Json = field(default_factory=dict)
    #: Merged deeply into the job's `configuration`, for what BigQuery fills in: {"query": {"destinationTable": …}}.
    configuration: Json = field(default_factory=dict)
    error: JobError | None = None  #: set for a job that failed; its statistics are kept
    children: Sequence[ChildJob] = ()  #: the statements of a script, in their order


@dataclass(frozen=True)
class ChildJob:
    """One statement of a script; listed under its parent."""

    configuration: Json
    result: JobResult


class Engine(Protocol):
    """Runs jobs."""

    async def run(self, job: EngineJob) -> JobResult:
        """
        Run *job* to its end.

        It is awaited in a task of its own while the job is RUNNING. `jobs.cancel` and the server's end cancel that task:
        stop what can be stopped and let CancelledError through; the job then ends as "stopped". A query that fails is a
        result with an `error`; an `ApiError` raised here becomes one too. Any other exception is a bug of the engine:
        the job ends as "internalError" and the exception is logged.
        """
        ...

    async def dry_run(self, job: EngineJob) -> JobResult:
        """Check *job* without running it: the result carries schema and statistics, or the error."""
        ...


class Catalog(Protocol):
    """
    Keeps datasets, tables and routines, as REST resources.

    Every method raises `ApiError` as BigQuery would (404 notFound, 409 duplicate, 400 resourceInUse, …). The server adds
    `kind`, `id`, `selfLink` and `etag` where a resource has none, answers a stale If-Match with 412 before it calls, and
    cuts lists into pages; `list_` methods therefore return everything, as full resources or as list entries.
    """

    async def list_datasets(self, project_id: str) -> Sequence[Json]:
        """Return the datasets of a project."""
        ...

    async def get_dataset(self, project_id: str, dataset_id: str) -> Json:
        """Return one dataset."""
        ...

    async def insert_dataset(self, project_id: str, body: Json) -> Json:
        """Create the dataset that `body["datasetReference"]` names."""
        ...

    async def patch_dataset(self, project_id: str, dataset_id: str, body: Json, *, replace: bool) -> Json:
        """Change the fields in *body* (None removes one); with *replace* (PUT) all changeable fields."""
        ...

    async def delete_dataset(self, project_id: str, dataset_id: str, *, delete_contents: bool) -> None:
        """Delete a dataset."""
        ...

    async def list_tables(self, project_id: str, dataset_id: str) -> Sequence[Json]:
        """Return the tables and views of a dataset."""
        ...

    async def get_table(self, project_id: str, dataset_id: str, table_id: str) -> Json:
        """Return one table, its `schema` included."""
        ...

    async def insert_table(self, project_id: str, dataset_id: str, body: Json) -> Json:
        """Create the table that `body["tableReference"]` names."""
        ...

    async def patch_table(
        self, project_id: str, dataset_id: str, table_id: str, body: Json, *, replace: bool
    ) -> Json:
        """Change the fields in *body* (None removes one); with *replace* (PUT) all changeable fields."""
        ...

    async def delete_table(self, project_id: str, dataset_id: str, table_id: str) -> None:
        """Delete a table or view."""
        ...

    async def list_rows(self, project_id: str, dataset_id: str, table_id: str) -> Sequence[Json]:
        """Return the rows of a table in REST shape (`tabledata.list`)."""
        ...

    async def list_routines(self, project_id: str, dataset_id: str) -> Sequence[Json]:
        """Return the routines of a dataset."""
        ...
