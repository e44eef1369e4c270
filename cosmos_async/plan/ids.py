"""
Names that are computed, never chosen: job ids and object names.

The same task instance always computes the same names, so a second instance of it (after a crash, or beside it)
finds what the first one started. Names from user input never contain a path separator.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace

# BigQuery: letters, digits, underscores and dashes, at most 1,024 characters.
# https://cloud.google.com/bigquery/docs/reference/rest/v2/JobReference
_ILLEGAL_IN_JOB_ID = re.compile(r"[^A-Za-z0-9_-]+")
_ILLEGAL_IN_OBJECT = re.compile(r"[^A-Za-z0-9_.+:=@-]")
_LONGEST_OBJECT = 120  # characters; local file systems end at 255
_DIGESTED = re.compile(r"-[0-9a-f]{12}$")  # how the names end that are not the user's own


@dataclass(frozen=True)
class TaskKey:
    """One execution of one task, as Airflow tells them apart."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int  #: -1 for a task that is not mapped
    try_number: int  #: counts from 1
    late: str = ""  #: the digest of the plan that a worker made anew in this try; empty for setup's
    #: Tells the planned run from all others of the same names, see :class:`cosmos_async.plan.model.RunInfo`; empty while the
    #: plan is not known, when no job can have an id.
    nonce: str = ""
    #: Whether it is executed before Airflow has started the task; such an execution may turn out not to count, and its jobs
    #: are others than those of the try.
    ahead: bool = False

    def with_try(self, try_number: int) -> TaskKey:
        """Return the same task at another try, which begins with setup's plan."""
        return replace(self, try_number=try_number, late="", ahead=False)


def digest(*parts: object) -> str:
    """Return the SHA-256 of *parts*, unambiguous about where one ends and the next begins."""
    hashed = hashlib.sha256()
    for part in parts:
        encoded = str(part).encode()
        hashed.update(b"%d:" % len(encoded))
        hashed.update(encoded)
    return hashed.hexdigest()


def job_id(key: TaskKey, unique_id: str, operation: int) -> str:
    """
    Return the id of the BigQuery job for one operation of one node at one try.

    Args:
        key: The task instance that submits it.
        unique_id: The dbt node; one task may execute several, such as a model's tests.
        operation: The operation's position in the node's plan.
    """
    readable = _ILLEGAL_IN_JOB_ID.sub("_", unique_id.split(".", 2)[-1])[:60]
    unique = digest(
        # Without it a run that was deleted and made again, or that of another Airflow, would have the same ids.
        key.nonce,
        key.dag_id,
        key.run_id,
        key.task_id,
        key.map_index,
        key.try_number,
        unique_id,
        operation,
        # What was done for the first plan is done; the second one's jobs are others.
        *([key.late] if key.late else ()),
        *(["ahead"] if key.ahead else ()),
    )
    return f"cosmos_{readable}_t{key.try_number}_{operation}_{unique[:20]}"


def attempt_id(job_id: str, attempt: int) -> str:
    """
    Return the id under which a job is submitted once more.

    Args:
        job_id: The id of the first attempt.
        attempt: Counts from 1; a job that BigQuery itself has spoiled is followed by another one.
    """
    return job_id if attempt == 1 else f"{job_id}_a{attempt}"


def shared_job_id(plan: str, purpose: str, subject: str) -> str:
    """
    Return the id of a job that a run needs once, whichever of its tasks comes first.

    Args:
        plan: The digest of the run's index, so that a plan made anew does not meet its predecessor's jobs.
        purpose: Why it is needed, such as ``create_schema``.
        subject: What it is about, such as ``project.dataset``.
    """
    readable = _ILLEGAL_IN_JOB_ID.sub("_", f"{purpose}_{subject}")[:60]
    return f"cosmos_{readable}_{digest(plan, purpose, subject)[:20]}"


def object_name(name: str) -> str:
    """
    Return *name* as one path segment: readable, without separators, never ``.`` or ``..``, distinct for distinct names.
    """
    readable = _ILLEGAL_IN_OBJECT.sub("_", name).lstrip(".") or "_"
    # A name that looks like a computed one is computed as well: nobody can choose to be another's.
    if readable == name and len(name) <= _LONGEST_OBJECT and not _DIGESTED.search(name):
        return name
    return f"{readable[: _LONGEST_OBJECT - 13]}-{digest(name)[:12]}"
