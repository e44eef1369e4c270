"""What a native operation works with (the API, its jobs, the log), and what it tells afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cosmos_async.exceptions import ApiError
from cosmos_async.plan.model import JobOperation
from cosmos_async.triggers.google.bigquery import BigQuery

Json = dict[str, Any]

#: How often something may change between reading it and writing it back.
ATTEMPTS = 5


class JobLookup(Protocol):
    """Where a native operation looks; its jobs are told apart by the names of their parts."""

    @property
    def bigquery(self) -> BigQuery:
        """The API."""
        ...

    @property
    def deadline(self) -> float | None:
        """When to give up, on the session's clock."""
        ...

    async def find(self, operation: JobOperation, part: str) -> Json | None:
        """Return the job that was submitted for *part*, None where there is none."""
        ...


class NativeContext(JobLookup, Protocol):
    """What a native operation works with."""

    async def job(self, operation: JobOperation, part: str) -> Json:
        """
        Submit a job, or adopt the one that this try has submitted for *part*, and return it when it has succeeded.

        Raises:
            JobFailed: It ended with an error.
        """
        ...

    def log(self, message: str) -> None:
        """Tell how far a long operation is."""
        ...


@dataclass(frozen=True)
class Done:
    """What a native operation has done, for the log."""

    what: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A job of a native operation."""

    operation: JobOperation
    name: str


def job_of(template: Json, purpose: str) -> JobOperation:
    """Return the job that a plan's template (project, location and configuration) describes."""
    return JobOperation(purpose, template["project"], template["location"], template["configuration"])


def query_of(template: Json, purpose: str, sql: str) -> JobOperation:
    """Return the query job that a plan's template describes, with another text."""
    configuration = template["configuration"]
    changed = {**configuration, "query": {**configuration["query"], "query": sql}}
    return JobOperation(purpose, template["project"], template["location"], changed)


async def again_when_stale(change: Callable[[], Awaitable[Done]]) -> Done:
    """
    Read, change and write back under the etag that was read; where that is stale, from the beginning.

    Args:
        change: Does it once; raises ApiError 412 where somebody else was faster.

    Raises:
        ApiError: BigQuery refused, or it never held still.
    """
    return await _again(change, ATTEMPTS)


async def _again(change: Callable[[], Awaitable[Done]], attempts: int) -> Done:
    try:
        return await change()
    except ApiError as error:
        # Somebody changed it meanwhile; or our own change arrived and only its answer was lost.
        if error.status != 412 or attempts == 1:
            raise
    return await _again(change, attempts - 1)
