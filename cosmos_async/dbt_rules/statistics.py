"""
BigQuery's statistics of a job in dbt's words, as ``dbt/adapters/bigquery/connections.py`` finds them.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from cosmos_async.plan.outcome import JobRecord

Json = dict[str, Any]

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


def job_record(job: Json, *, purpose: str, rows: int | None = None, main: bool = False) -> JobRecord:
    """
    Return what is worth keeping of a job.

    Args:
        job: The job's resource, finished or not.
        purpose: What the node needed it for.
        rows: The rows it wrote or found, where the caller knows better than the statistics.
        main: Whether it does what the node is there for.
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
        main=main,
        failed="errorResult" in (job.get("status") or {}),
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
