"""Columns, as BigQuery's REST API describes them and as SQL does."""

from __future__ import annotations

from typing import Any

_STANDARD = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}


def sql_type(field: dict[str, Any]) -> str:
    """Return a field's type in SQL."""
    kind = field["type"].upper()
    if kind in ("RECORD", "STRUCT"):
        inner = ", ".join(f"`{child['name']}` {sql_type(child)}" for child in field.get("fields", []))
        kind = f"STRUCT<{inner}>"
    else:
        kind = _STANDARD.get(kind, kind)
    return f"ARRAY<{kind}>" if (field.get("mode") or "").upper() == "REPEATED" else kind


def empty_query(fields: list[dict[str, Any]]) -> str:
    """Return a subquery without rows that has these columns."""
    columns = ", ".join(f"cast(null as {sql_type(field)}) as `{field['name']}`" for field in fields)
    return f"(select {columns} limit 0)"
