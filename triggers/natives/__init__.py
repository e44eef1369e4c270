"""
Native operations: what dbt reads and writes back changed, done at the moment it would do it.

Each may be done again after a crash or a lost answer: a call starts with what is there by then, a job is met again under
its computed id, and what an earlier answer led to follows from that answer.
"""

from __future__ import annotations

from cosmos_async.exceptions import PlanDamaged
from cosmos_async.plan.model import NativeKind, NativeOperation
from cosmos_async.triggers.natives import access, columns, grants, partitions
from cosmos_async.triggers.natives.context import Done, JobLookup, NativeContext, Part

__all__ = ["Done", "JobLookup", "NativeContext", "Part", "parts", "perform"]

_PERFORM = {
    NativeKind.UPDATE_COLUMNS: columns.describe,
    NativeKind.ADD_COLUMNS: columns.add,
    NativeKind.SYNC_STRUCTS: columns.sync,
    NativeKind.GRANTS: grants.apply,
    NativeKind.GRANT_ACCESS: access.grant,
    NativeKind.COPY_PARTITIONS: partitions.copy,
}
_PARTS = {
    NativeKind.GRANTS: grants.parts,
    NativeKind.COPY_PARTITIONS: partitions.parts,
}


async def perform(operation: NativeOperation, context: NativeContext) -> Done:
    """
    Carry out one native operation.

    Raises:
        CosmosAsyncError: Its table is not there, or it changed each time before it could be written back.
        GuardDiffered: dbt would have gone on differently from here.
        JobFailed: One of its jobs failed.
        ApiError: BigQuery refused.
    """
    if operation.kind not in _PERFORM:
        raise PlanDamaged(f"a native operation of an unknown kind: {operation.kind!r}")
    return await _PERFORM[operation.kind](operation, context)


async def parts(operation: NativeOperation, lookup: JobLookup) -> list[Part]:
    """Return the jobs that the try of this look-up has submitted for *operation*, or may yet submit."""
    found = _PARTS.get(operation.kind)
    return [] if found is None else await found(operation, lookup)
