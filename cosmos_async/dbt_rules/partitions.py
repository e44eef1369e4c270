"""
How dbt's ``copy_partitions`` calls partitions: pure.

BigQuery names a partition by its table and a decorator, ``table$20240101``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any

from cosmos_async.exceptions import CosmosAsyncError

Json = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def partition_ids(answer: Json, pattern: str | None) -> Iterator[str]:
    """
    Yield the partitions that a query found, in its order, as decorators.

    Args:
        answer: The answer of ``getQueryResults``, timestamps as microseconds; its first column counts.
        pattern: How a time becomes a decorator, as in ``strftime``; None for the start of a range of numbers.

    Raises:
        CosmosAsyncError: A row has no partition, where dbt would fail as well: after those before it.
    """
    kind = answer["schema"]["fields"][0]["type"].upper()
    for row in answer.get("rows") or []:
        value = row["f"][0]["v"]
        if pattern is None:
            yield str(value)
            continue
        if value is None:
            raise CosmosAsyncError(
                "A row of the new data has no partition: its partition column is NULL, and dbt cannot copy the "
                "partition of None ('None' has no attribute 'strftime')."
            )
        yield _time(value, kind).strftime(pattern)


def _time(value: str, kind: str) -> date:
    if kind == "DATE":
        return date.fromisoformat(value)
    if kind == "TIMESTAMP":
        return _EPOCH + timedelta(microseconds=int(value))
    if kind == "DATETIME":
        return datetime.fromisoformat(value)
    raise CosmosAsyncError(f"A partition is called by a date or a time, and BigQuery answered with {kind}.")


def copy_of(template: Json, partition: str) -> Json:
    """Return the configuration that copies one partition, made of that for whole tables."""
    copy = template["copy"]
    one: Json = {"destinationTable": _part(copy["destinationTable"], partition)}
    if "sourceTables" in copy:
        one["sourceTables"] = [_part(table, partition) for table in copy["sourceTables"]]
    if "sourceTable" in copy:
        one["sourceTable"] = _part(copy["sourceTable"], partition)
    return {**template, "copy": {**copy, **one}}


def _part(table: Json, partition: str) -> Json:
    return {**table, "tableId": f"{table['tableId']}${partition}"}
