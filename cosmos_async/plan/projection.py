"""
What a guard compares: the part of an answer that dbt could have looked at.

A guard compares projections, so what changes without mattering (row counts, etags, modification times) does not send a
node the slow way. The same functions project what setup read and what the trigger reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# tables.get speaks the legacy names, dry runs and DDL sometimes the standard ones.
_TYPE_NAMES = {
    "INT64": "INTEGER",
    "FLOAT64": "FLOAT",
    "BOOL": "BOOLEAN",
    "STRUCT": "RECORD",
}


def project_fields(fields: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Return a schema's fields by name, type and mode, nested ones included."""
    projected = []
    for column in fields or []:
        kind = column["type"].upper()
        entry: dict[str, Any] = {
            "name": column["name"],
            "type": _TYPE_NAMES.get(kind, kind),
            "mode": (column.get("mode") or "NULLABLE").upper(),
        }
        if column.get("fields"):
            entry["fields"] = project_fields(column["fields"])
        projected.append(entry)
    return projected


def project_columns(fields: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Return the columns of a query's result, which tells nobody whether one of them may be NULL."""
    columns = project_fields(fields)
    waiting = [*columns]
    while waiting:
        column = waiting.pop()
        column["mode"] = "REPEATED" if column["mode"] == "REPEATED" else "NULLABLE"
        waiting += column.get("fields", ())
    return columns


def project_table(resource: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a table's type, schema, partitioning and clustering; None for an absent one."""
    if resource is None:
        return None
    time, range_ = resource.get("timePartitioning"), resource.get("rangePartitioning")
    return {
        "type": resource.get("type", "TABLE"),
        "schema": project_fields((resource.get("schema") or {}).get("fields")),
        "time_partitioning": None
        if time is None
        else {
            "type": time.get("type", "DAY"),
            "field": time.get("field"),
            "expiration": time.get("expirationMs"),
        },
        "range_partitioning": None
        if range_ is None
        else {
            "field": range_.get("field"),
            **{key: str(value) for key, value in (range_.get("range") or {}).items()},
        },
        "clustering": (resource.get("clustering") or {}).get("fields") or [],
    }


def project_settings(resource: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what dbt compares the configuration of a materialized view with; None for an absent one."""
    if resource is None:
        return None
    view = resource.get("materializedView") or {}
    encryption = resource.get("encryptionConfiguration") or {}
    return {
        **(project_table(resource) or {}),
        "enable_refresh": view.get("enableRefresh"),
        "refresh_interval": view.get("refreshIntervalMs"),
        "max_staleness": resource.get("maxStaleness"),
        "expiration": resource.get("expirationTime"),
        "kms_key": encryption.get("kmsKeyName"),
        "description": resource.get("description") or "",
        "labels": resource.get("labels") or {},
        "tags": resource.get("resourceTags") or {},
    }


def project_target(resource: dict[str, Any] | None) -> str:
    """Return a target's state: ``absent``, or BigQuery's table type (``TABLE``, ``VIEW``, ...)."""
    return "absent" if resource is None else str(resource.get("type", "TABLE"))


def project_dataset(resource: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a dataset's location; None for an absent one."""
    return None if resource is None else {"location": resource.get("location")}


def project_listing(found: Mapping[str, str] | None, *, ignored: Sequence[str]) -> dict[str, str]:
    """
    Return types by name.

    Args:
        found: All of them; None where what should contain them is absent, which dbt takes for empty.
        ignored: Names that may be there or not, and the temporary tables that dbt makes for them.
    """
    return {
        name: kind
        for name, kind in sorted((found or {}).items())
        if name.partition("__dbt_")[0] not in ignored
    }


def project_rows(answer: dict[str, Any], *, ordered: bool) -> list[Any]:
    """
    Return the values of ``getQueryResults``' rows.

    Args:
        answer: The answer, all its pages' rows under ``rows``.
        ordered: Whether the query asked for an order; otherwise the rows are compared as a multiset.
    """
    rows = [[cell.get("v") for cell in row["f"]] for row in answer.get("rows") or []]
    return rows if ordered else sorted(rows, key=repr)
