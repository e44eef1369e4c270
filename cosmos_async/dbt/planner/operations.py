"""
From what dbt wrote while it was recorded to the operations of a plan.
"""

from __future__ import annotations

from dataclasses import replace

from cosmos_async.plan.model import CallOperation, JobOperation, Json
from cosmos_async.plan.store import upload_object


class NotStatic(Exception):
    """This cannot be expressed as steps; the message is a sentence for a person."""


def operation_of(event: Json, purpose: str) -> JobOperation | CallOperation:
    """Return the job or the call of an event."""
    if event["event"] == "call":
        return CallOperation(purpose, event["method"], event["path"], event["body"], event["missing_ok"])
    upload = event.get("upload")
    return JobOperation(
        purpose=purpose,
        project=event["project"],
        location=event["location"],
        configuration=event["configuration"],
        upload=upload_object(upload) if upload else None,
        upload_digest=upload,
    )


def purpose_of(event: Json, *, main: str | None, before: bool) -> str:
    """
    Return what an operation is for, in a word for the task's log.

    Args:
        event: The write.
        main: The job that makes the node's relation.
        before: Whether it comes before that.
    """
    if event["event"] == "call":
        return {"DELETE": "drop", "PATCH": "describe"}.get(event["method"], str(event["method"]))
    if event["rows"]:
        return "test"
    if event["job_id"] == main:
        return "main"
    if "run_hooks" in event["macros"]:
        return "pre-hook" if before else "post-hook"
    if "apply_grants" in event["macros"]:
        return "grant"
    kind = str(event["kind"])
    if kind == "CREATE_TABLE_AS_SELECT":
        return "create temporary table" if "__dbt_tmp" in sql_of(event) else "create table"
    return kind.lower().replace("_", " ")


def shared_job(event: Json, purpose: str, name: str) -> JobOperation:
    """Return the job of an event that all tasks of a run share under *name*."""
    operation = operation_of(event, purpose)
    assert isinstance(operation, JobOperation)
    return replace(operation, shared=name)


def sql_of(event: Json) -> str:
    """Return the text of a query job, empty for everything else."""
    return str(event.get("configuration", {}).get("query", {}).get("query", ""))
