"""Copy the partitions that a query finds, one after the other: dbt's ``copy_partitions``."""

from __future__ import annotations

import contextlib
from typing import Any

from cosmos_async.dbt_rules.partitions import copy_of, partition_ids
from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.model import JobOperation, NativeOperation
from cosmos_async.triggers.google.bigquery import JobRef, error_of, is_done
from cosmos_async.triggers.natives.context import Done, JobLookup, NativeContext, Part, job_of

Json = dict[str, Any]

_FIND = "partitions"


async def copy(operation: NativeOperation, context: NativeContext) -> Done:
    """
    Ask for the partitions and copy each; the first copy that fails ends it, as in dbt.

    Raises:
        CosmosAsyncError: A row has no partition.
        JobFailed: One of the jobs failed.
        ApiError: BigQuery refused.
    """
    request = operation.request
    name = f"{request['project']}.{request['dataset']}.{request['table']}"
    found = await context.job(_find(operation), _FIND)
    answer = await context.bigquery.rows(JobRef.of(found), deadline=context.deadline)
    copied = []
    for partition in partition_ids(answer, operation.payload["pattern"]):
        part = _copy(operation, partition)
        await context.job(part.operation, part.name)
        copied.append(partition)
    if not copied:
        return Done(f"no partition to copy to {name}")
    return Done(
        f"copied {len(copied)} partition{'s' if len(copied) > 1 else ''} to {name}: {_listed(copied)}"
    )


async def parts(operation: NativeOperation, lookup: JobLookup) -> list[Part]:
    """Return its query and, where that has an answer, the copies."""
    asking = Part(_find(operation), _FIND)
    found = await lookup.find(asking.operation, asking.name)
    if found is None or not is_done(found) or error_of(found) is not None:
        return [asking]
    answer = await lookup.bigquery.rows(JobRef.of(found), deadline=lookup.deadline)
    known = [asking]
    with contextlib.suppress(CosmosAsyncError):  # it went no further than that
        for partition in partition_ids(answer, operation.payload["pattern"]):
            known.append(_copy(operation, partition))  # noqa: PERF401  # those before an error count
    return known


def _find(operation: NativeOperation) -> JobOperation:
    return job_of(operation.payload["find"], "find partitions")


def _copy(operation: NativeOperation, partition: str) -> Part:
    template = operation.payload["copy"]
    configuration = copy_of(template["configuration"], partition)
    purpose = f"copy partition {partition}"
    return Part(
        JobOperation(purpose, template["project"], template["location"], configuration), f"copy_{partition}"
    )


def _listed(names: list[str], most: int = 20) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
