"""Let a view read a dataset: dbt's ``grant_access_to``."""

from __future__ import annotations

from cosmos_async.dbt_rules.access import has_entry
from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.model import NativeOperation
from cosmos_async.triggers.natives.context import Done, NativeContext, again_when_stale


async def grant(operation: NativeOperation, context: NativeContext) -> Done:
    """
    Put an entry into a dataset's access list, unless it is there.

    Raises:
        CosmosAsyncError: The dataset is not there.
        ApiError: BigQuery refused, or the dataset never held still.
    """
    return await again_when_stale(lambda: _once(operation, context))


async def _once(operation: NativeOperation, context: NativeContext) -> Done:
    project, dataset = operation.request["project"], operation.request["dataset"]
    entry = operation.payload["entry"]
    found = await context.bigquery.get_dataset(project, dataset, deadline=context.deadline)
    if found is None:
        raise CosmosAsyncError(
            f"The dataset {project}.{dataset} is not there, so no access to it can be granted."
        )
    access = found.get("access") or []
    if has_entry(access, entry):
        return Done(f"the dataset {project}.{dataset} gives access already")
    body = {"access": [*access, entry]}
    await context.bigquery.patch_dataset(
        project, dataset, body, etag=found.get("etag"), deadline=context.deadline
    )
    return Done(f"the dataset {project}.{dataset} gives access from now on")
