"""Describe a table's columns, add some, or give records the shape of the new data: dbt changes the schema as a whole."""

from __future__ import annotations

from typing import Any

from cosmos_async.dbt_rules.columns import described, split_known, with_added, with_synced
from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.model import NativeOperation
from cosmos_async.triggers.natives.context import Done, NativeContext, again_when_stale

Json = dict[str, Any]


async def describe(operation: NativeOperation, context: NativeContext) -> Done:
    """
    Put descriptions and policy tags into a table's schema.

    Raises:
        CosmosAsyncError: The table is not there.
        ApiError: BigQuery refused, or the table never held still.
    """
    return await again_when_stale(lambda: _describe(operation, context))


async def add(operation: NativeOperation, context: NativeContext) -> Done:
    """
    Add columns to a table.

    Raises:
        CosmosAsyncError: The table is not there.
        ApiError: BigQuery refused, or the table never held still.
    """
    return await again_when_stale(lambda: _add(operation, context))


async def sync(operation: NativeOperation, context: NativeContext) -> Done:
    """
    Give records of a table the shape that they have in the table of the new data.

    Raises:
        CosmosAsyncError: One of the tables is not there.
        ApiError: BigQuery refused, or the table never held still.
    """
    return await again_when_stale(lambda: _sync(operation, context))


async def _describe(operation: NativeOperation, context: NativeContext) -> Done:
    columns = operation.payload["columns"]
    path = _path(operation.request)
    name = ".".join(path)
    table = await _table(path, context)
    fields = _fields(table)
    warnings: tuple[str, ...] = ()
    if operation.payload["checked"]:
        columns, missing = split_known(fields, columns)
        if missing:
            quoted = ".".join(f"`{part}`" for part in path)
            warnings = (
                f"In relation {quoted}: The following columns are specified in the schema but are not present in the "
                f"database: {', '.join(missing)}",
            )
    if not columns:
        return Done(f"no column of {name} to describe", warnings)
    keep_tags = operation.payload.get("keep_tags", False)
    await _write(path, table, described(fields, columns, keep_tags=keep_tags), context)
    return Done(f"described {len(columns)} column{'s' if len(columns) > 1 else ''} of {name}", warnings)


async def _add(operation: NativeOperation, context: NativeContext) -> Done:
    additions = operation.payload["columns"]
    path = _path(operation.request)
    table = await _table(path, context)
    fields = with_added(_fields(table), additions, replacing=operation.payload["replacing"])
    await _write(path, table, fields, context)
    if not additions:  # dbt-bigquery 1.9 does so after each snapshot
        return Done(f"wrote the columns of {'.'.join(path)} back as they are")
    return Done(f"added {', '.join(additions)} to {'.'.join(path)}")


async def _sync(operation: NativeOperation, context: NativeContext) -> Done:
    names = operation.payload["columns"]
    path = _path(operation.request)
    source = await _table(_path(operation.payload["source"]), context)
    table = await _table(path, context)
    await _write(path, table, with_synced(_fields(table), _fields(source), names), context)
    return Done(f"gave {', '.join(names)} of {'.'.join(path)} the fields of the new data")


def _path(request: Json) -> tuple[str, str, str]:
    return request["project"], request["dataset"], request["table"]


def _fields(table: Json) -> list[Json]:
    return (table.get("schema") or {}).get("fields") or []


async def _table(path: tuple[str, str, str], context: NativeContext) -> Json:
    table = await context.bigquery.get_table(*path, deadline=context.deadline)
    if table is None:
        raise CosmosAsyncError(f"{'.'.join(path)} is not there, so its columns cannot be changed.")
    return table


async def _write(path: tuple[str, str, str], table: Json, fields: list[Json], context: NativeContext) -> None:
    body = {"schema": {"fields": fields}}
    await context.bigquery.patch_table(*path, body, etag=table.get("etag"), deadline=context.deadline)
