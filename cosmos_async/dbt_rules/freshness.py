"""
How old a source is and what dbt says of that: dbt's own rules, and its entry in ``sources.json``.

Pure; from ``dbt/task/freshness.py``, ``dbt/adapters/base/impl.py`` and ``dbt/artifacts/schemas/freshness``.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from cosmos_async.plan.outcome import Status

Json = dict[str, Any]

#: What dbt takes for "never", where the source has no row.
NEVER = datetime(1, 1, 1, tzinfo=timezone.utc)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
#: The limits, the worst first.
_LIMITS = (("error_after", Status.ERROR), ("warn_after", Status.WARN))


def read_row(answer: Json) -> tuple[datetime, datetime]:
    """
    Return when a source was loaded last and when that was asked, from the answer of ``getQueryResults``.

    Args:
        answer: To dbt's query; timestamps as integers (``useInt64Timestamp``).

    Raises:
        ValueError: It is not one row of two points in time. dbt converts more than these, such as text.
    """
    fields = (answer.get("schema") or {}).get("fields") or []
    rows = answer.get("rows") or []
    if len(rows) != 1 or len(fields) != 2:
        raise ValueError(f"its query returned {len(rows)} rows of {len(fields)} columns, not one row of two")
    loaded, asked = (_moment(field, cell.get("v")) for field, cell in zip(fields, rows[0]["f"]))
    if asked is None:
        raise ValueError("its query does not tell when it was run")
    return loaded or NEVER, asked


def _moment(field: Json, value: Any) -> datetime | None:
    kind = field["type"].upper()
    if kind not in ("TIMESTAMP", "DATETIME") or field.get("mode", "NULLABLE").upper() == "REPEATED":
        raise ValueError(f"the column {field['name']} of its query is of type {kind}")
    if value is None:
        return None
    if kind == "TIMESTAMP":
        return _EPOCH + timedelta(microseconds=int(value))
    whole, _, fraction = str(value).replace(" ", "T").partition(".")
    # Before Python 3.11, fromisoformat knows three or six digits only.
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}").replace(tzinfo=timezone.utc)


def last_modified(table: Json) -> datetime:
    """
    Return when a table was changed last, as BigQuery itself tells.

    Args:
        table: Its resource.

    Raises:
        ValueError: BigQuery does not tell.
    """
    if table.get("lastModifiedTime") is None:
        raise ValueError("BigQuery does not tell when it was changed last")
    return _EPOCH + timedelta(milliseconds=int(table["lastModifiedTime"]))


def measured(unique_id: str, criteria: Json, loaded: datetime, asked: datetime, response: Json) -> Json:
    """
    Return a source's entry in ``sources.json``, without its times.

    Args:
        unique_id: The source.
        criteria: Its ``freshness``, as dbt writes it: limits of a count and a period each, or none.
        loaded: When it was loaded last, UTC.
        asked: When that was asked, UTC.
        response: dbt's adapter response.
    """
    age = (asked - loaded).total_seconds()
    found = (status for name, status in _LIMITS if _exceeded(criteria.get(name), age))
    return {
        "unique_id": unique_id,
        "max_loaded_at": loaded.isoformat(),
        "snapshotted_at": asked.isoformat(),
        "max_loaded_at_time_ago_in_s": age,
        "status": next(found, Status.PASS).value,
        "criteria": criteria,
        "adapter_response": response,
    }


def _exceeded(limit: Json | None, age: float) -> bool:
    if not limit or limit.get("count") is None or limit.get("period") is None:
        return False
    return age > timedelta(**{f"{limit['period']}s": limit["count"]}).total_seconds()


def timed(entry: Json, started: datetime, completed: datetime, thread: str) -> Json:
    """
    Return the entry with its times.

    Args:
        entry: As :func:`measured` returns it.
        started: When its measuring began, UTC.
        completed: When it ended.
        thread: Who measured it.
    """
    times = [
        at.astimezone(timezone.utc).replace(tzinfo=None).isoformat() + "Z" for at in (started, completed)
    ]
    names = ("compile", "execute")  # a source has nothing to compile
    spans = ((times[0], times[0]), (times[0], times[1]))
    return {
        **entry,
        "timing": [
            {"name": name, "started_at": begin, "completed_at": end}
            for name, (begin, end) in zip(names, spans)
        ],
        "thread_id": thread,
        "execution_time": (completed - started).total_seconds(),
    }


def message_of(entry: Json) -> str:
    """Return for a person what an entry of ``sources.json`` tells."""
    limit = (entry["criteria"] or {}).get(
        {status.value: name for name, status in _LIMITS}.get(entry["status"])
    )
    told = f"{entry['status'].upper()}: last loaded at {entry['max_loaded_at']}, "
    told += f"{entry['max_loaded_at_time_ago_in_s']:.0f} s before it was measured"
    if limit and limit.get("count") is not None:
        told += f"; the limit is {limit['count']} {limit['period']}{'s' if limit['count'] != 1 else ''}"
    return told
