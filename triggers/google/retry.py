"""
What to do after Google has answered with an error, or not at all.

Pure: an error goes in, a decision comes out. Waiting and counting belong to the caller.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Union

from cosmos_async.exceptions import ApiError

FIRST_WAIT = 1.0  # seconds

#: No answer at all: refused, reset or timed out. Everything we send may be sent again (job ids are ours).
NO_ANSWER = "noAnswer"

# These speak of Google's health or of our pace, not of what was asked for.
# https://cloud.google.com/bigquery/docs/error-messages
TRANSIENT_REASONS = frozenset(
    {"backendError", "internalError", "jobRateLimitExceeded", "rateLimitExceeded", NO_ANSWER}
)
TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


#: A finished job failed, and it was not the user's doing; the same list as the Python client's, and tables that are
#: being moved. ``quotaExceeded`` is not among them: BigQuery says that waiting some seconds does not help.
TRANSIENT_JOB_REASONS = frozenset(
    {
        "backendError",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "jobRateLimitExceeded",
        "rateLimitExceeded",
        "tableUnavailable",
    }
)
_OF_MANY = ("SCRIPT", "CALL")  # statement types behind which there are several statements
#: Two statements changed one table at once, and BigQuery undid this one.
#: https://cloud.google.com/bigquery/docs/data-manipulation-language#dml-limitations
_CONFLICT = re.compile(r"could not serialize access to table .* due to concurrent update", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """How long a call is repeated."""

    attempts: int  #: in all, the first one included
    longest_wait: float  #: seconds between two attempts at most


#: For calls whose failure has another way out.
ONCE = Budget(attempts=1, longest_wait=0.0)
#: For calls somebody waits for: gives up after about half a minute.
PROMPT = Budget(attempts=6, longest_wait=20.0)
#: For a job that BigQuery itself has spoiled: about a minute and a half, and then Airflow's retries decide.
JOBS = Budget(attempts=5, longest_wait=40.0)
#: For watching a job that runs anyway: rides out a quarter of an hour.
PATIENT = Budget(attempts=34, longest_wait=30.0)


@dataclass(frozen=True)
class Retry:
    """Try again."""

    wait: float  #: seconds until the next attempt


@dataclass(frozen=True)
class GiveUp:
    """The error is the answer."""

    exhausted: bool  #: it was transient, but the budget or the deadline is used up


def is_transient(error: ApiError) -> bool:
    """Return whether the same call may well succeed a moment later."""
    return error.reason in TRANSIENT_REASONS or error.status in TRANSIENT_STATUSES


def is_worth_another_job(job: dict[str, Any]) -> bool:
    """
    Return whether a finished job failed through no fault of its statement, and left nothing behind.

    A single statement is undone when it fails. A script or a procedure is not: what it did before stays, so it is never
    repeated here.

    Args:
        job: The job's resource.
    """
    error = job.get("status", {}).get("errorResult")
    if error is None:
        return False
    statistics = job.get("statistics") or {}
    if (statistics.get("query") or {}).get("statementType") in _OF_MANY or statistics.get("numChildJobs"):
        return False
    return error.get("reason") in TRANSIENT_JOB_REASONS or bool(_CONFLICT.search(error.get("message") or ""))


def after_error(
    error: ApiError, *, attempt: int, jitter: float, budget: Budget, left: float | None = None
) -> Union[Retry, GiveUp]:
    """
    Decide whether the call that failed with *error* is worth repeating.

    Args:
        error: Google's answer.
        attempt: How many attempts have failed so far, this one included.
        jitter: A number in [0, 1); the caller owns the randomness.
        budget: How long to go on.
        left: Seconds until the caller's deadline, if it has one.
    """
    if not is_transient(error):
        return GiveUp(exhausted=False)
    return _again(attempt, jitter=jitter, budget=budget, left=left, asked=error.retry_after)


def after_failed_job(
    job: dict[str, Any], *, attempt: int, jitter: float, left: float | None = None
) -> Union[Retry, GiveUp]:
    """
    Decide whether a job that failed is worth another one, within :data:`JOBS`.

    Args:
        job: Its resource.
        attempt: How many jobs have failed so far, this one included.
        jitter: A number in [0, 1); the caller owns the randomness.
        left: Seconds until the caller's deadline, if it has one.
    """
    if not is_worth_another_job(job):
        return GiveUp(exhausted=False)
    return _again(attempt, jitter=jitter, budget=JOBS, left=left)


def _again(
    attempt: int, *, jitter: float, budget: Budget, left: float | None, asked: float | None = None
) -> Union[Retry, GiveUp]:
    if attempt >= budget.attempts:
        return GiveUp(exhausted=True)
    longest = min(budget.longest_wait, FIRST_WAIT * 2 ** min(attempt - 1, 10))
    # Never less than half of it: full jitter would let some callers hammer.
    wait = longest * (1 + jitter) / 2
    if asked is not None:
        # What the server asked for, a little spread so that its clients do not come back all at once.
        wait = asked + jitter
    if left is not None and wait >= left:
        return GiveUp(exhausted=True)
    return Retry(wait)
