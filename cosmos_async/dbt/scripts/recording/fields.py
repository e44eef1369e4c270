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


def rows_query(fields: list[dict[str, Any]], rows: list[list[str | None]]) -> str:
    """
    Return a query with these columns and rows, which reads no table.

    Args:
        fields: The columns; where there are rows, each holds single values.
        rows: Their values, as ``getQueryResults`` gives them.
    """
    if not rows:
        return empty_query(fields)[1:-1]
    return " union all ".join(
        "select "
        + ", ".join(
            f"cast({_literal(value)} as {sql_type(field)}) as `{field['name']}`"
            for field, value in zip(fields, row)
        )
        for row in rows
    )


def _literal(value: str | None) -> str:
    return "null" if value is None else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
