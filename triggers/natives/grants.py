"""Grant and revoke what separates a relation's access from the project's ``grants``."""

from __future__ import annotations

from cosmos_async.dbt_rules.grants import change_between, current_grants, script
from cosmos_async.plan.model import JobOperation, NativeOperation
from cosmos_async.triggers.google.bigquery import JobRef
from cosmos_async.triggers.natives.context import Done, JobLookup, NativeContext, Part, job_of, query_of

_SHOW, _APPLY = "show", "apply"


async def apply(operation: NativeOperation, context: NativeContext) -> Done:
    """
    Ask for the relation's grants and change them to what is wanted.

    Raises:
        JobFailed: One of the two jobs failed.
        ApiError: BigQuery refused.
    """
    payload, request = operation.payload, operation.request
    name = f"{request['project']}.{request['dataset']}.{request['table']}"
    shown = await context.job(_show(operation), _SHOW)
    answer = await context.bigquery.rows(JobRef.of(shown), deadline=context.deadline)
    change = change_between(payload["grants"], current_grants(answer))
    if not change:
        return Done(f"all grants on {name} are in place")
    await context.job(query_of(payload["apply"], "grant", script(change, payload["texts"])), _APPLY)
    return Done(f"on {name}: {change}")


async def parts(operation: NativeOperation, lookup: JobLookup) -> list[Part]:
    """Return its two jobs."""
    applying = job_of(operation.payload["apply"], "grant")
    return [Part(_show(operation), _SHOW), Part(applying, _APPLY)]


def _show(operation: NativeOperation) -> JobOperation:
    return job_of(operation.payload["show"], "show grants")
