"""
What to do next for a node: decisions without effects.

The executor holds a plan and a position; everything it must decide about them is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Union

from cosmos_async.exceptions import PlanDamaged
from cosmos_async.plan.ids import TaskKey, job_id, shared_job_id
from cosmos_async.plan.model import (
    Batch,
    CallOperation,
    Guard,
    GuardKind,
    JobOperation,
    Level,
    NativeOperation,
    NodePlan,
    Step,
)
from cosmos_async.plan.projection import (
    project_columns,
    project_dataset,
    project_fields,
    project_listing,
    project_rows,
    project_settings,
    project_table,
    project_target,
)

_ORDERED = re.compile(r"\border\s+by\b", re.IGNORECASE)


@dataclass(frozen=True)
class Check:
    """Read these guards, which stand next to one another; nothing is written between them."""

    guards: tuple[Guard, ...]
    position: int  #: of the first


@dataclass(frozen=True)
class Submit:
    """Submit this job, or adopt it, and wait for it."""

    operation: JobOperation
    position: int


@dataclass(frozen=True)
class Send:
    """Send this call."""

    operation: CallOperation
    position: int


@dataclass(frozen=True)
class Native:
    """Read, change and write back."""

    operation: NativeOperation
    position: int


@dataclass(frozen=True)
class Finish:
    """Everything is done."""


Action = Union[Check, Submit, Send, Native, Finish]


def next_action(steps: Sequence[Step], position: int) -> Action:
    """Return what stands at *position*."""
    if position >= len(steps):
        return Finish()
    step = steps[position]
    if isinstance(step, Guard):
        end = position
        while end < len(steps) and isinstance(steps[end], Guard):
            end += 1
        return Check(tuple(steps[position:end]), position)  # type: ignore[arg-type]
    if isinstance(step, JobOperation):
        return Submit(step, position)
    if isinstance(step, CallOperation):
        return Send(step, position)
    if isinstance(step, NativeOperation):
        return Native(step, position)
    raise PlanDamaged(f"a step of an unknown kind: {step!r}")


def own_job_after(steps: Sequence[Step], position: int) -> int | None:
    """
    Return the position of the next job after *position* that only this task submits.

    Where that job exists, an earlier life of this task has come as far, so everything before it has happened.
    """
    for later in range(position + 1, len(steps)):
        step = steps[later]
        if isinstance(step, JobOperation) and step.shared is None:
            return later
        if isinstance(step, Guard) and step.kind is GuardKind.ROWS:
            return later
    return None


def plan_of(plan: NodePlan, batch: Batch) -> NodePlan:
    """Return one batch as a plan of its own, whose jobs have names of their own."""
    return replace(plan, unique_id=f"{plan.unique_id}.{batch.name}", steps=batch.steps, batches=())


def parts_of(plan: NodePlan) -> list[NodePlan]:
    """Return the plans that have a node's steps: its batches', if it has any, or its own."""
    return [plan_of(plan, batch) for batch in plan.batches] or [plan]


def as_job(step: Step) -> JobOperation:
    """Return the job of a step that has one: an operation's own, or the query of a guard."""
    if isinstance(step, JobOperation):
        return step
    if isinstance(step, Guard):
        return JobOperation(
            purpose="guard",
            project=step.request["project"],
            location=step.request.get("location"),
            configuration=step.request["configuration"],
        )
    raise TypeError(f"{type(step).__name__} has no job")


def id_of(key: TaskKey, plan: NodePlan, position: int) -> str:
    """Return the id of the job at *position*."""
    return job_id(key, plan.unique_id, position)


def id_of_part(key: TaskKey, plan: NodePlan, position: int, part: str) -> str:
    """Return the id of one job of the native operation at *position*."""
    return f"{id_of(key, plan, position)}_{part}"


def id_of_shared(index: str, name: str, attempt: int) -> str:
    """
    Return the id of a job that the run needs once.

    Args:
        index: The digest of the run's index.
        name: The operation's ``shared`` name.
        attempt: Counts from 1; a failed one may be repeated by a later try of a task.
    """
    purpose, _, subject = name.partition(":")
    return shared_job_id(index, purpose, subject if attempt == 1 else f"{subject}#{attempt}")


def project(guard: Guard, answer: Any) -> Any:
    """
    Return the part of an answer that dbt could have looked at.

    Args:
        guard: What was asked.
        answer: The resource (None for an absent one), the fields of a dry run, or ``getQueryResults``' answer.
    """
    if guard.kind is GuardKind.TARGET_STATE:
        return project_target(answer)
    if guard.kind is GuardKind.TABLE:
        return project_table(answer)
    if guard.kind is GuardKind.SETTINGS:
        return project_settings(answer)
    if guard.kind is GuardKind.DATASET:
        return project_dataset(answer)
    if guard.kind is GuardKind.LISTING:
        return project_listing(answer, ignored=guard.request["ignored"])
    if guard.kind is GuardKind.SCHEMA:
        return project_fields(answer)
    if guard.kind is GuardKind.ROWS:
        rows = project_rows(answer, ordered=is_ordered(guard))
        planned, schema = guard.request.get("columns"), answer.get("schema")
        if planned is None or schema is None or project_columns(schema.get("fields")) == planned:
            return rows
        return {
            "columns": [f"{column['name']} {column['type']}" for column in schema["fields"]],
            "rows": rows,
        }
    raise PlanDamaged(f"a guard of an unknown kind: {guard.kind!r}")


def fits(guard: Guard, found: Any, *, late: bool) -> bool:
    """
    Return whether *found* is the answer that the plan was made for.

    Args:
        guard: What was asked.
        found: The projection of the answer.
        late: Whether dbt asked at the node's turn, on a worker, and not before the run.
    """
    if found == guard.expected:
        return True
    # Rows that tie in an ORDER BY come in any order, and a query's text does not tell which rows do: what it orders by, such
    # as a count, need not be among its columns. dbt itself asks once, at the node's turn, and goes on with the order it got.
    # So has a late plan. Setup asked long before: another order may come of other data, and dbt would see that one.
    return (
        late
        and guard.kind is GuardKind.ROWS
        and isinstance(found, list)
        and sorted(found, key=repr) == sorted(guard.expected, key=repr)
    )


def difference(guard: Guard, found: Any) -> tuple[Any, Any]:
    """Return what was planned and what was found, for a person: of a listing only what is not the same."""
    planned = guard.expected
    if guard.kind is not GuardKind.LISTING or not isinstance(found, dict):
        return planned, found
    return dict(planned.items() - found.items()), dict(found.items() - planned.items())


def is_ordered(guard: Guard) -> bool:
    """Return whether the order of a guard's rows is part of the answer."""
    if "ordered" in guard.request:
        return bool(guard.request["ordered"])
    query = guard.request["configuration"].get("query", {}).get("query", "")
    return _ORDERED.search(query) is not None


def why_dbt(plan: NodePlan) -> str | None:
    """Return why a node has to be run by real dbt, or None where its plan will do."""
    if plan.level in (Level.DBT, Level.LATE):
        return plan.reason or "its plan says so"
    return None
