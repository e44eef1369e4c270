"""
What became of a node: the record the trigger (or the worker that ran real dbt) leaves in the store.

Pure. The results task turns outcomes into dbt's ``run_results.json``, so the words for statuses are dbt's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from cosmos_async.exceptions import PlanDamaged
from cosmos_async.plan import Level, NodePlan, TestRule

Json = dict[str, Any]


class Status(str, Enum):
    """dbt's words for a node's end (``dbt.artifacts.schemas.results.NodeStatus``)."""

    SUCCESS = "success"
    ERROR = "error"
    PASS = "pass"
    FAIL = "fail"
    WARN = "warn"
    SKIPPED = "skipped"
    NO_OP = "no-op"
    PARTIAL_SUCCESS = "partial success"  #: some batches of a microbatch model failed

    @property
    def failed(self) -> bool:
        """Whether ``dbt build`` would skip the children."""
        return self in (Status.ERROR, Status.FAIL, Status.PARTIAL_SUCCESS)


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
    compiled_code: str | None = None  #: where it is not what setup compiled
    freshness: dict[str, Any] | None = None  #: a source's entry in ``sources.json``

    @property
    def seconds(self) -> float:
        """Seconds from the node's first step to its last answer."""
        ended, started = (datetime.fromisoformat(at) for at in (self.completed_at, self.started_at))
        return (ended - started).total_seconds()

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
    return json.dumps(asdict(outcome), sort_keys=True).encode()


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


# -- BigQuery's statistics in dbt's words (dbt/adapters/bigquery/connections.py) --------------------------------------

#: BigQuery's statement type → dbt's ``code``; a type that is not here has none, and dbt then prints "None".
_CODES = {
    "CREATE_VIEW": "CREATE VIEW",
    "CREATE_TABLE_AS_SELECT": "CREATE TABLE",
    "SCRIPT": "SCRIPT",
    "SELECT": "SELECT",
    "INSERT": "INSERT",
    "DELETE": "DELETE",
    "MERGE": "MERGE",
    "UPDATE": "UPDATE",
}
_DML = ("INSERT", "DELETE", "MERGE", "UPDATE")
_COUNTED_BY_TABLE = ("CREATE_TABLE_AS_SELECT", "SELECT")


def format_bytes(number: float | None) -> str | float | None:
    """Return a number of bytes as dbt prints it; nothing and zero come back as they are, as they do in dbt."""
    if not number:
        return number
    for unit in ("Bytes", "KiB", "MiB", "GiB", "TiB"):
        if abs(number) < 1024.0:
            return f"{number:3.1f} {unit}"
        number /= 1024.0
    return f"{number:3.1f} PiB"


def format_rows(number: float) -> str:
    """Return a number of rows as dbt prints it, such as ``3.0`` or ``12.5k``."""
    for unit in ("", "k", "m", "b"):
        if abs(number) < 1000.0:
            return f"{number:3.1f}{unit}"
        number /= 1000.0
    return f"{number:3.1f}t"


def statement_type(job: Json) -> str | None:
    """Return BigQuery's statement type of a query job, None for other jobs."""
    found = (job.get("statistics") or {}).get("query", {}).get("statementType")
    return None if found is None else str(found)


def counted_table(job: Json) -> Json | None:
    """
    Return the table whose ``numRows`` dbt reports as the rows of *job*, as a table reference.

    dbt asks ``tables.get`` after CREATE TABLE AS SELECT and SELECT; a job's statistics do not tell.
    """
    if statement_type(job) not in _COUNTED_BY_TABLE:
        return None
    query = (job.get("configuration") or {}).get("query") or {}
    found: Json | None = query.get("destinationTable") or job["statistics"]["query"].get("ddlTargetTable")
    return found


def adapter_response(job: Json, *, table_rows: int | None = None) -> Json:
    """
    Return dbt-bigquery's adapter response for a finished query job.

    Args:
        job: The job's resource, as ``jobs.get`` gives it.
        table_rows: ``numRows`` of :func:`counted_table`, where there is one.
    """
    kind = statement_type(job)
    code = _CODES.get(kind or "")
    rows = table_rows if kind in _COUNTED_BY_TABLE else None
    query = (job.get("statistics") or {}).get("query") or {}
    if kind in _DML:
        rows = _int(query.get("numDmlAffectedRows"))
    processed = _int(query.get("totalBytesProcessed"))
    if rows is not None:
        message = f"{code} ({format_rows(rows)} rows, {format_bytes(processed)} processed)"
    elif processed is not None:
        message = f"{code} ({format_bytes(processed)} processed)"
    else:
        message = f"{code}"
    reference = job["jobReference"]
    response = {
        "_message": message,
        "code": code,
        "rows_affected": rows,
        "bytes_processed": processed,
        "bytes_billed": _int(query.get("totalBytesBilled")),
        "location": reference.get("location"),
        "project_id": reference["projectId"],
        "job_id": reference["jobId"],
        "slot_ms": _slot_ms(job),
    }
    return {name: value for name, value in response.items() if value is not None}


def seed_response(rows: int, *, full_refresh: bool = False) -> Json:
    """Return dbt's adapter response for a loaded seed; it counts the file's rows and knows nothing of the job."""
    code = "CREATE" if full_refresh else "INSERT"
    return {"_message": f"{code} {rows}", "code": code, "rows_affected": rows}


def job_record(job: Json, *, purpose: str, rows: int | None = None) -> JobRecord:
    """
    Return what is worth keeping of a job.

    Args:
        job: The job's resource, finished or not.
        purpose: What the node needed it for.
        rows: The rows it wrote or found, where the caller knows better than the statistics.
    """
    statistics = job.get("statistics") or {}
    query = statistics.get("query") or {}
    if rows is None:
        rows = _int(query.get("numDmlAffectedRows"))
    if rows is None:
        rows = _int((statistics.get("load") or {}).get("outputRows"))
    reference = job["jobReference"]
    return JobRecord(
        purpose=purpose,
        job_id=reference["jobId"],
        project=reference["projectId"],
        location=reference.get("location") or "",
        statement_type=statement_type(job),
        bytes_processed=_int(query.get("totalBytesProcessed", statistics.get("totalBytesProcessed"))),
        bytes_billed=_int(query.get("totalBytesBilled")),
        slot_ms=_slot_ms(job),
        rows=rows,
        started_at=_moment(statistics.get("startTime")),
        ended_at=_moment(statistics.get("endTime")),
        cache_hit=bool(query.get("cacheHit", False)),
    )


def _slot_ms(job: Json) -> int | None:
    statistics = job.get("statistics") or {}
    return _int((statistics.get("query") or {}).get("totalSlotMs", statistics.get("totalSlotMs")))


def _int(value: Any) -> int | None:
    # BigQuery's REST API writes 64-bit integers as strings.
    return None if value is None else int(value)


def _moment(milliseconds: Any) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(int(milliseconds) / 1000, timezone.utc).isoformat()


# -- a node's end in dbt's words --------------------------------------------------------------------------------------

_TRUE, _FALSE = ("y", "yes", "t", "true", "on", "1"), ("n", "no", "f", "false", "off", "0")


@dataclass(frozen=True)
class Verdict:
    """How a node ended, without the when and where."""

    status: Status
    message: str | None
    failures: int | None = None
    adapter_response: Json = field(default_factory=dict)


@dataclass(frozen=True)
class TestRow:
    """The one row of a data test's query."""

    __test__ = False  # not a test case, whatever its name says

    failures: int
    should_warn: bool
    should_error: bool


def read_test_row(answer: Json) -> TestRow:
    """
    Return a data test's row from the answer of ``getQueryResults``.

    Raises:
        ValueError: It is not one row of dbt's three columns.
    """
    names = [column["name"].lower() for column in (answer.get("schema") or {}).get("fields") or []]
    rows = answer.get("rows") or []
    if len(rows) != 1:
        raise ValueError(f"the test's query returned {len(rows)} rows, but expected 1 row")
    if sorted(names) != ["failures", "should_error", "should_warn"]:
        raise ValueError(
            f"the test's query returned the columns {', '.join(names)}, "
            "but expected failures, should_warn and should_error"
        )
    values = dict(zip(names, (cell.get("v") for cell in rows[0]["f"])))
    if values["failures"] is None:
        raise ValueError("the test's query returned NULL failures; its fail_calc must give a number")
    return TestRow(
        failures=int(float(values["failures"])),
        should_warn=_truth(values["should_warn"]),
        should_error=_truth(values["should_error"]),
    )


def _truth(value: Any) -> bool:
    if not isinstance(value, str):
        return bool(value)
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError(f"the test's query returned {value!r} where true or false was expected")


def judge_test(rule: TestRule, row: TestRow) -> Verdict:
    """Return a data test's status and message as dbt gives them (``dbt.task.test.build_test_run_result``)."""
    got = f"Got {row.failures} result{'' if row.failures == 1 else 's'}"
    if rule.severity.upper() == "ERROR" and row.should_error:
        return Verdict(Status.FAIL, f"{got}, configured to fail if {rule.error_if}", row.failures)
    if row.should_warn and rule.warn_error:
        return Verdict(Status.FAIL, f"{got}, configured to fail if {rule.warn_if}", row.failures)
    if row.should_warn:
        return Verdict(Status.WARN, f"{got}, configured to warn if {rule.warn_if}", row.failures)
    return Verdict(Status.PASS, None, 0)


def passes_unit_test(answer: Json) -> bool:
    """
    Tell whether the rows a unit test's query marks ``actual`` are for certain those it marks ``expected``.

    dbt converts values before it compares them, and so what differs here may be equal there; what is the same here is the
    same there.

    Args:
        answer: Of ``getQueryResults``, all its pages' rows under ``rows``.
    """
    names = [column["name"].lower() for column in (answer.get("schema") or {}).get("fields") or []]
    if names.count("actual_or_expected") != 1:
        return False
    at = names.index("actual_or_expected")
    found: dict[str, list[str]] = {"actual": [], "expected": []}
    for row in answer.get("rows") or []:
        values = [cell.get("v") for cell in row["f"]]
        text = json.dumps(values, sort_keys=True)
        # Not a number is not even equal to itself.
        if values[at] not in found or '"NaN"' in text:
            return False
        found[values.pop(at)].append(json.dumps(values, sort_keys=True))
    return sorted(found["actual"]) == sorted(found["expected"])


def judge_build(plan: NodePlan, main: Json | None, *, table_rows: int | None = None) -> Verdict:
    """
    Return the verdict on a model, seed or snapshot all of whose operations succeeded.

    Args:
        plan: The node's plan; its fixed message wins over the job's.
        main: The finished job of dbt's ``main`` statement, where the node has one.
        table_rows: ``numRows`` of :func:`counted_table` of *main*.
    """
    if plan.message is not None:
        return Verdict(Status.SUCCESS, plan.message, adapter_response=plan.response or {})
    if main is None:
        return Verdict(Status.SUCCESS, "OK")
    loaded = (main.get("statistics") or {}).get("load")
    if loaded is not None:
        response = seed_response(int(loaded.get("outputRows") or 0))
    else:
        response = adapter_response(main, table_rows=table_rows)
    return Verdict(Status.SUCCESS, response["_message"], adapter_response=response)


def database_error(plan: NodePlan, message: str, job: Json | None = None) -> str:
    """
    Return the message dbt gives a node whose job failed.

    Args:
        plan: The node's plan.
        message: BigQuery's own.
        job: The failed job. dbt hands on what Google's client says of a load, and finds words of its own for the rest.
    """
    if job is not None and "load" in (job.get("configuration") or {}):
        return _client_error(job["status"])
    where = f" ({plan.file})" if plan.file else ""
    text = "\n  ".join(message.strip().splitlines())
    return f"Database Error in {plan.resource_type} {plan.name}{where}\n  {text}"


def _client_error(status: Json) -> str:
    """Return how Google's Python client tells of a job that ended with an error."""
    result = status["errorResult"]
    # google/cloud/bigquery/job/base.py: _error_result_to_exception
    told = "; ".join(
        ", ".join(f"{key}: {value}" for key, value in error.items()) for error in status.get("errors") or ()
    )
    code = _HTTP_CODES.get(result.get("reason", ""), 500)
    return f"{code} {result.get('message', '')}" + (f"; {told}" if told else "")


#: The reasons for which a job fails and the codes that Google's client gives them.
_HTTP_CODES = {
    "accessDenied": 403,
    "billingNotEnabled": 403,
    "billingTierLimitExceeded": 400,
    "blocked": 403,
    "duplicate": 409,
    "invalid": 400,
    "invalidQuery": 400,
    "notFound": 404,
    "notImplemented": 501,
    "policyViolation": 403,
    "quotaExceeded": 403,
    "rateLimitExceeded": 429,
    "resourceInUse": 400,
    "resourcesExceeded": 400,
    "responseTooLarge": 403,
    "stopped": 200,
    "tableUnavailable": 400,
}
