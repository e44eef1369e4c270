"""
Native operations: what dbt reads and writes back changed, done at the moment it would do it.

Each may be done again after a crash or a lost answer: it starts with what is there by then.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_async.columns import described, split_known
from cosmos_async.exceptions import ApiError, CosmosAsyncError, PlanDamaged
from cosmos_async.plan import NativeKind, NativeOperation
from cosmos_async.triggers.bigquery import BigQuery

#: How often a table may change under our hands between reading it and writing it back.
ATTEMPTS = 5


@dataclass(frozen=True)
class Done:
    """What a native operation has done, for the log."""

    what: str
    warnings: tuple[str, ...] = ()


async def perform(operation: NativeOperation, bigquery: BigQuery, *, deadline: float | None = None) -> Done:
    """
    Carry out one native operation.

    Raises:
        CosmosAsyncError: Its table is not there, or it changed each time before it could be written back.
        ApiError: BigQuery refused.
    """
    if operation.kind is not NativeKind.UPDATE_COLUMNS:
        raise PlanDamaged(f"a native operation of an unknown kind: {operation.kind!r}")
    return await _update_columns(operation, bigquery, deadline, attempts=ATTEMPTS)


async def _update_columns(
    operation: NativeOperation, bigquery: BigQuery, deadline: float | None, *, attempts: int
) -> Done:
    request, columns = operation.request, operation.payload["columns"]
    path = (request["project"], request["dataset"], request["table"])
    name = ".".join(path)
    table = await bigquery.get_table(*path, deadline=deadline)
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
    try:
        await bigquery.patch_table(*path, body, etag=table.get("etag"), deadline=deadline)
    except ApiError as error:
        # Somebody changed it meanwhile; or our own change arrived and only its answer was lost.
        if error.status != 412 or attempts == 1:
            raise
        return await _update_columns(operation, bigquery, deadline, attempts=attempts - 1)
    return Done(f"described {len(columns)} column{'s' if len(columns) > 1 else ''} of {name}", warnings)
