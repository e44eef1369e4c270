"""
What the runs of a DAG or task group keep in the store for the next one; no run fails for it.
"""

from __future__ import annotations

from typing import Any

from cosmos_async import settings
from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.store import PlanAddress, kept_plans
from cosmos_async.triggers.google.blocking import run_until_complete


def kept_place(folder: str) -> PlanAddress:
    """Return the address of what the runs of a DAG or task group keep for the next one, given the folder of one of them."""
    conn_id = settings.remote_target_path_conn_id()
    return PlanAddress(kept_plans(folder), index="", host="", conn_id=conn_id)


def read_kept(folder: str, name: str, operator: Any) -> bytes | None:
    """
    Return what an earlier run has kept, None where none has, or it cannot be read.

    Args:
        folder: The run's folder.
        name: The object's.
        operator: The task that reads; its log tells what went wrong.
    """
    from cosmos_async.triggers.storage.documents import ObjectMissing, read_object

    try:
        return run_until_complete(read_object(kept_place(folder), name, identity=operator.identity))
    except ObjectMissing:
        return None
    except CosmosAsyncError as error:
        operator.log.warning(
            "%s, which an earlier run has kept for this one, cannot be read: %s", name, error
        )
        return None


def keep(folder: str, name: str, data: bytes, operator: Any) -> None:
    """
    Keep something for the next run.

    Args:
        folder: The run's folder.
        name: The object's.
        data: Its content.
        operator: The task that writes; its log tells what went wrong.
    """
    from cosmos_async.triggers.storage.documents import write_objects

    try:
        run_until_complete(write_objects(kept_place(folder), {name: data}, identity=operator.identity))
    except CosmosAsyncError as error:
        operator.log.warning("%s cannot be kept for the next run: %s", name, error)
