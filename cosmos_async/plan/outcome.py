"""
What became of a node: the record the trigger (or the worker that ran real dbt) leaves in the store.

Pure. The results task turns outcomes into dbt's ``run_results.json``, so the words for statuses are dbt's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from cosmos_async.exceptions import PlanDamaged
from cosmos_async.plan.model import Level

Json = dict[str, Any]


class Status(str, Enum):
    """dbt's words for a node's end (``dbt.artifacts.schemas.results.NodeStatus``)."""

    SUCCESS = "success"
    ERROR = "error"
    PASS = "pass"
    FAIL = "fail"
    WARN = "warn"
    SKIPPED = "skipped"  #: nothing was done for it, as something before it failed
    NO_OP = "no-op"
    PARTIAL_SUCCESS = "partial success"  #: some batches or overloads failed

    @property
    def failed(self) -> bool:
        """Whether ``dbt build`` would skip the children."""
        return self in (Status.ERROR, Status.FAIL, Status.PARTIAL_SUCCESS, Status.SKIPPED)


@dataclass(frozen=True)
class JobRecord:
    """One BigQuery job of a node, as its statistics tell it."""

    purpose: str
    job_id: str
    project: str
    location: str
    statement_type: str | None = None
    bytes_processed: int | None = None
    bytes_billed: int | None = None
    slot_ms: int | None = None
    rows: int | None = None
    started_at: str | None = None  #: UTC, ISO 8601
    ended_at: str | None = None
    cache_hit: bool = False
    main: bool = False  #: it does what the node is there for, see :attr:`~cosmos_async.plan.model.JobOperation.is_central`
    failed: bool = False  #: it ended with an error


@dataclass(frozen=True)
class Outcome:
    """How one node ended at one try."""

    unique_id: str
    status: Status
    message: str | None  #: dbt's own wording, such as ``CREATE TABLE (3.0 rows, 10.0 KiB processed)``
    level: Level
    started_at: str  #: UTC, ISO 8601
    completed_at: str
    try_number: int
    reason: str = ""  #: why it went the slow way, if it did
    failures: int | None = None  #: a test's failing rows
    adapter_response: dict[str, Any] = field(default_factory=dict)
    jobs: tuple[JobRecord, ...] = ()
    batch_results: dict[str, Any] | None = (
        None  #: a microbatch model's batches; `dbt retry` goes on from them
    )
    overload_results: dict[str, Any] | None = None  #: likewise a function's, where real dbt made them
    compiled_code: str | None = None  #: where it is not what setup compiled
    unwritten: bool = False  #: real dbt failed before its main statement, of which it writes a file
    freshness: dict[str, Any] | None = None  #: a source's entry in ``sources.json``

    @property
    def seconds(self) -> float:
        """Seconds from the node's first step to its last answer."""
        ended, started = (datetime.fromisoformat(at) for at in (self.completed_at, self.started_at))
        return (ended - started).total_seconds()

    @property
    def main_job(self) -> JobRecord | None:
        """
        The job that people look for: the one that failed, else the node's main one, whatever came before and after it.

        None where the node has no job.
        """
        if self.status.failed:
            failed = [job for job in self.jobs if job.failed]
            if failed:
                return failed[-1]
        # One that BigQuery has spoiled is followed by another one.
        good = [job for job in self.jobs if not job.failed]
        return next((job for job in good if job.main), good[-1] if good else None)

    @property
    def ended_before_its_statement(self) -> bool:
        """Whether the node failed before its main statement, in a pre-hook or in real dbt."""
        if self.level is Level.DBT or self.status is not Status.ERROR:
            return self.unwritten
        return bool(self.jobs) and not any(job.main for job in self.jobs)

    @property
    def bytes_processed(self) -> int:
        """Bytes over all its jobs."""
        return sum(job.bytes_processed or 0 for job in self.jobs)

    @property
    def slot_ms(self) -> int:
        """Slot milliseconds over all its jobs."""
        return sum(job.slot_ms or 0 for job in self.jobs)


def dump_outcome(outcome: Outcome) -> bytes:
    """Return an outcome as JSON bytes."""
    return json.dumps(asdict(outcome)).encode()


def load_outcome(data: bytes) -> Outcome:
    """
    Return the outcome that :func:`dump_outcome` wrote.

    Raises:
        PlanDamaged: The bytes are not an outcome.
    """
    try:
        document = json.loads(data)
        document["status"] = Status(document["status"])
        document["level"] = Level(document["level"])
        document["jobs"] = tuple(JobRecord(**job) for job in document["jobs"])
        return Outcome(**document)
    except (ValueError, KeyError, TypeError) as error:
        raise PlanDamaged(f"this is not a node's outcome: {error}") from error
