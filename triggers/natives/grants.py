"""Grant and revoke what separates a relation's access from the project's ``grants``."""

from __future__ import annotations

from cosmos_async.plan.grants import change_between, current_grants, script
from cosmos_async.plan.model import JobOperation, NativeOperation
from cosmos_async.triggers.google.bigquery import JobRef
from cosmos_async.triggers.natives.context import Done, Eyes, Hands, Part, job_of, query_of

_SHOW, _APPLY = "show", "apply"


async def apply(operation: NativeOperation, hands: Hands) -> Done:
    """
    Ask for the relation's grants and change them to what is wanted.

    Raises:
        JobFailed: One of the two jobs failed.
        ApiError: BigQuery refused.
    """
    payload, request = operation.payload, operation.request
    name = f"{request['project']}.{request['dataset']}.{request['table']}"
    shown = await hands.job(_show(operation), _SHOW)
    answer = await hands.bigquery.rows(JobRef.of(shown), deadline=hands.deadline)
    change = change_between(payload["grants"], current_grants(answer))
    if not change:
        return Done(f"all grants on {name} are in place")
    await hands.job(query_of(payload["apply"], "grant", script(change, payload["texts"])), _APPLY)
    return Done(f"on {name}: {change}")


async def parts(operation: NativeOperation, eyes: Eyes) -> list[Part]:
    """Return its two jobs."""
    applying = job_of(operation.payload["apply"], "grant")
    return [Part(_show(operation), _SHOW), Part(applying, _APPLY)]


def _show(operation: NativeOperation) -> JobOperation:
    return job_of(operation.payload["show"], "show grants")
