"""
Rows between Python and BigQuery's REST shape.

In REST a row is {"f": [{"v": …}]} and every scalar is a string; arrays and structs nest in the same way.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Union

Json = dict[str, Any]
Row = Union[Mapping[str, Any], Sequence[Any]]

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def infer_schema(rows: Sequence[Row], names: Sequence[str] | None = None) -> list[Json]:
    """Return fields that fit the first row; columns of sequences without *names* are called f0_, f1_, … as in BigQuery."""
    if not rows:
        return [{"name": name, "type": "STRING", "mode": "NULLABLE"} for name in names or ()]
    first = rows[0]
    if isinstance(first, Mapping):
        return [_field(name, value) for name, value in first.items()]
    labels = names or [f"f{position}_" for position in range(len(first))]
    return [_field(name, value) for name, value in zip(labels, first)]


def rest_rows(schema: Sequence[Json], rows: Sequence[Row]) -> list[Json]:
    """Return *rows* (mappings or sequences of Python values) in REST shape."""
    return [_rest_row(schema, row) for row in rows]


def _rest_row(schema: Sequence[Json], row: Row) -> Json:
    if isinstance(row, Mapping):
        if set(row) == {"f"}:
            return dict(row)
        values: Sequence[Any] = [row.get(field["name"]) for field in schema]
    else:
        values = row
    return {"f": [{"v": _rest_value(field, value)} for field, value in zip(schema, values)]}


def _rest_value(field: Json, value: Any) -> Any:
    if value is None:
        return None
    if field.get("mode") == "REPEATED":
        single = {**field, "mode": "NULLABLE"}
        return [{"v": _rest_value(single, item)} for item in value]
    if field["type"] in ("RECORD", "STRUCT"):
        return _rest_row(field.get("fields", ()), value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            return value.isoformat()
        # TIMESTAMP travels as microseconds, as the clients ask with formatOptions.useInt64Timestamp.
        return str((value - EPOCH) // dt.timedelta(microseconds=1))
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return str(value)


def _field(name: str, value: Any) -> Json:
    if isinstance(value, (list, tuple)):
        return {**_field(name, value[0] if value else ""), "mode": "REPEATED"}
    if isinstance(value, Mapping):
        fields = [_field(key, item) for key, item in value.items()]
        return {"name": name, "type": "RECORD", "mode": "NULLABLE", "fields": fields}
    return {"name": name, "type": _type(value), "mode": "NULLABLE"}


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "INTEGER"
    if isinstance(value, float):
        return "FLOAT"
    if isinstance(value, Decimal):
        return "NUMERIC"
    if isinstance(value, dt.datetime):
        return "DATETIME" if value.tzinfo is None else "TIMESTAMP"
    if isinstance(value, dt.date):
        return "DATE"
    if isinstance(value, dt.time):
        return "TIME"
    return "STRING"


def float_timestamps(schema: Sequence[Json], rows: Sequence[Json]) -> list[Json]:
    """Return *rows* as clients get them that do not ask for integer timestamps: TIMESTAMP in seconds, as a float."""
    if not any(field["type"] in ("TIMESTAMP", "RECORD", "STRUCT") for field in schema):
        return list(rows)
    return [_float_row(schema, row) for row in rows]


def _float_row(schema: Sequence[Json], row: Json) -> Json:
    return {"f": [{"v": _float_value(field, cell["v"])} for field, cell in zip(schema, row["f"])]}


def _float_value(field: Json, value: Any) -> Any:
    if value is None:
        return None
    if field.get("mode") == "REPEATED":
        single = {**field, "mode": "NULLABLE"}
        return [{"v": _float_value(single, item["v"])} for item in value]
    if field["type"] in ("RECORD", "STRUCT"):
        return _float_row(field.get("fields", ()), value)
    if field["type"] == "TIMESTAMP":
        return repr(int(value) / 1_000_000)
    return value
