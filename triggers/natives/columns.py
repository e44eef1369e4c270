"""Describe a table's columns: dbt's ``persist_docs``."""

from __future__ import annotations

from cosmos_async.columns import described, split_known
from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan import NativeOperation
from cosmos_async.triggers.natives.hands import Done, Hands, again_when_stale


async def describe(operation: NativeOperation, hands: Hands) -> Done:
    """
    Put descriptions and policy tags into a table's schema.

    Raises:
        CosmosAsyncError: The table is not there.
        ApiError: BigQuery refused, or the table never held still.
    """
    return await again_when_stale(lambda: _once(operation, hands))


async def _once(operation: NativeOperation, hands: Hands) -> Done:
    request, columns = operation.request, operation.payload["columns"]
    path = (request["project"], request["dataset"], request["table"])
    name = ".".join(path)
    table = await hands.bigquery.get_table(*path, deadline=hands.deadline)
    if table is None:
        raise CosmosAsyncError(f"{name} is not there, so its columns cannot be described.")
    fields = (table.get("schema") or {}).get("fields") or []
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
    body = {"schema": {"fields": described(fields, columns)}}
    await hands.bigquery.patch_table(*path, body, etag=table.get("etag"), deadline=hands.deadline)
    return Done(f"described {len(columns)} column{'s' if len(columns) > 1 else ''} of {name}", warnings)
