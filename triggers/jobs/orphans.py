"""
Orphaned jobs: those that outlived their tasks are cancelled once the run is over.

A task that was stopped while no triggerer had it cannot end its job; the run's teardown does.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from cosmos_async.exceptions import ApiError, CosmosAsyncError
from cosmos_async.plan.store import AGAIN, INDEXES, PlanAddress, outcome_object
from cosmos_async.triggers.event_loop.gather import both, gather_bounded
from cosmos_async.triggers.event_loop.threads import parse_json
from cosmos_async.triggers.google.bigquery import JobRef
from cosmos_async.triggers.google.credentials import Identity
from cosmos_async.triggers.google.retry import PROMPT
from cosmos_async.triggers.google.session import shared_session
from cosmos_async.triggers.jobs.cancel import cancel_jobs
from cosmos_async.triggers.jobs.context import Log
from cosmos_async.triggers.jobs.same_job import INVOCATION_LABEL
from cosmos_async.triggers.jobs.warehouse import Warehouse, warehouse_of
from cosmos_async.triggers.storage.documents import read_index, store_identity
from cosmos_async.triggers.storage.folders import Folder, folder_of

#: By how much the clock of the worker that made the plan may be ahead of BigQuery's.
SKEW = timedelta(hours=1)


async def cancel_orphaned_jobs(address: PlanAddress, *, identity: Identity, log: Log) -> None:
    """
    Cancel the queries of a run whose every task has ended, if any of them still run.

    Where each node has an outcome, and no task was tried again, there is none, and nothing is asked. A run must not fail for
    it: what cannot be looked at is told in the log.

    Args:
        address: Of the run's plan.
        identity: Whose jobs they are.
        log: The task's.
    """
    try:
        async with shared_session(identity) as session:
            async with shared_session(store_identity(address, identity), clock=session.clock) as store:
                folder = folder_of(store, address.folder, written_by=address.host)
                index = await read_index(folder, address)
                told, again = await both(folder.names("outcomes/"), folder.names(AGAIN))
                # Where a task was tried again, its outcome may be that of the try before.
                if not again and {outcome_object(unique_id) for unique_id in index.nodes}.issubset(told):
                    return
                plans = await _plans(folder)
            warehouse = warehouse_of(session, index.run.endpoint)
            left = [
                job
                for project in sorted({project for plan in plans for project in plan["projects"]})
                for job in await _orphans(plans, project, warehouse)
            ]
            for job in left:
                log.warning(f"Cancelling BigQuery job {job}: its task has ended, and nobody ended the job.")
            await cancel_jobs(left, warehouse, log)
    except ApiError as error:
        log.warning(f"Whether jobs of this run still run could not be found out: {error}")
    except CosmosAsyncError as error:
        # No plan any more, or none that can be read: deleting the folder says what there is to say.
        log.info(f"Jobs of this run were not looked for: {error}")


async def _plans(folder: Folder) -> list[dict[str, Any]]:
    """Return what the index of each plan says of the run: a plan made anew leaves those before it in the folder."""
    names = await folder.names(INDEXES)
    documents = await gather_bounded(folder.read(name) for name in names)
    return [(await parse_json(document))["run"] for document in documents]


async def _orphans(plans: list[dict[str, Any]], project: str, warehouse: Warehouse) -> list[JobRef]:
    invocations = {plan["invocation_id"] for plan in plans}
    since = min(datetime.fromisoformat(plan["created_at"]) for plan in plans) - SKEW
    found: list[JobRef] = []
    async for job in warehouse.bigquery.running_jobs(
        project, since_ms=int(since.timestamp() * 1000), budget=PROMPT, labels=True
    ):
        labels: dict[str, Any] = (job.get("configuration") or {}).get("labels") or {}
        if labels.get(INVOCATION_LABEL) in invocations:
            found.append(JobRef.of(job))
    return found
