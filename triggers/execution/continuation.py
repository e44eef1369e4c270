"""
Resume a node that an earlier plan has written in part: where the new plan goes on. Pure.

A guard may differ behind a write. The node is planned anew then, and dbt would begin from the beginning; but what has been
written must not be written a second time. Where the new plan begins with the very operations that are done, and for the
same reasons, they are its own: it goes on behind them. Otherwise nobody can go on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.model import (
    CallOperation,
    Guard,
    JobOperation,
    NodePlan,
    Step,
    dump_node,
    load_node,
)

#: What dbt-bigquery 1.10 and later put behind the name of a temporary table: the time to the microsecond
#: (``bigquery__make_temp_relation``), and a batch's id before that. So each plan has names of its own.
_STAMP = re.compile(r"__dbt_tmp(?:_\w+?)?\d{12}(?!\w)")
_CREATES = re.compile(
    r"(?:\s|/\*.*?\*/)*create\s+or\s+replace\s+table\s+(?P<path>[`\w.-]+)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_TEMPORARY = re.compile(r"__dbt_tmp\w*`?$")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class Begun:
    """A plan that was carried out up to a guard that differed."""

    plan: NodePlan
    position: int  #: of that guard; all that stands before it has been done
    ahead: bool = False  #: that was before Airflow had started the task


@dataclass(frozen=True)
class Continued:
    """A new plan that begins with what is done."""

    plan: NodePlan  #: its temporary tables are called as they were made
    position: int  #: where to go on
    done: dict[
        int, int
    ]  #: positions of its operations that are done, and those of the same in the plan before


def lasting(steps: Sequence[Step]) -> list[Step]:
    """
    Return the operations of *steps* after which dbt could not simply begin once more.

    Not those that the whole run shares, and not dbt's temporary tables: nothing but the node itself reads them, whoever
    begins once more creates or replaces them, and BigQuery lets them expire, as dbt has told it to.
    """
    return [step for step in steps if _is_own(step) and not _is_temporary(step)]


def go_on(begun: Begun, plan: NodePlan) -> Continued | None:
    """
    Return *plan* as it goes on behind what is done; None where it can do without.

    Args:
        begun: What has been done.
        plan: What dbt would do, planned when that had been done.

    Raises:
        CosmosAsyncError: It begins with something else, or for other reasons: what it read by then is not what dbt would
            have read before the writes.
    """
    try:
        return _behind(begun, plan)
    except _Otherwise as why:
        if lasting(begun.plan.steps[: begun.position]):
            raise CosmosAsyncError(f"The plan that was made since cannot go on from there: {why}.") from None
        return None


def is_same_work(one: NodePlan, other: NodePlan, *, invocation_ids: tuple[str, str]) -> bool:
    """
    Return whether two plans of a node do the same for the same reasons.

    Args:
        one: A plan.
        other: Another one.
        invocation_ids: Those of the invocations in which they were made, which label jobs.
    """
    told = (
        [_STAMP.sub("", _told(step)).replace(invocation_id, "") for step in plan.steps]
        for plan, invocation_id in zip((one, other), invocation_ids)
    )
    first, second = told
    return one.level is other.level and first == second


class _Otherwise(Exception):
    """The new plan does not begin with what is done; the message is a clause for a person."""


def _behind(begun: Begun, plan: NodePlan) -> Continued:
    names: dict[str, str] = {}  # of temporary tables: in the new plan, and as they were made
    done: dict[int, int] = {}
    position = 0
    before = begun.plan.steps[: begun.position]
    for at, old in enumerate(before):
        if not _is_own(old):
            continue
        known = {_told(step) for step in before[:at] if isinstance(step, Guard)}
        while position < len(plan.steps) and not _is_own(plan.steps[position]):
            step = plan.steps[position]
            if isinstance(step, Guard) and not step.early and _renamed(_told(step), names) not in known:
                raise _Otherwise(f"it reads {step.subject}, which may not be what it was before that")
            position += 1
        if position == len(plan.steps) or not _is_same(plan.steps[position], old, names):
            raise _Otherwise(f"what it does {_nth(len(done))} is not what has been done")
        done[position] = at
        position += 1
    renamed = load_node(_renamed(dump_node(plan).decode(), names).encode())
    return Continued(renamed, position, done)


def _nth(count: int) -> str:
    return "first" if not count else f"after its first {count} operation{'s' if count > 1 else ''}"


def _is_own(step: Step) -> bool:
    return not isinstance(step, Guard) and not (isinstance(step, JobOperation) and step.shared is not None)


def _is_temporary(step: Step) -> bool:
    if isinstance(step, CallOperation):
        return step.method == "DELETE" and _TEMPORARY.search(step.path) is not None
    if not isinstance(step, JobOperation):
        return False
    created = _CREATES.fullmatch(step.configuration.get("query", {}).get("query", ""))
    # One statement only: what may follow it is not known here.
    return (
        created is not None
        and _TEMPORARY.search(created["path"]) is not None
        and "expiration_timestamp" in created["rest"]
        and ";" not in _COMMENT.sub("", created["rest"]).rstrip("; \n\t")
    )


def _is_same(new: Step, old: Step, names: dict[str, str]) -> bool:
    """Tell whether two operations are the same but for the names of temporary tables, which this notes in *names*."""
    if type(new) is not type(old):
        return False
    mine, theirs = _told(new), _told(old)
    for stamp, made in zip(_STAMP.findall(mine), _STAMP.findall(theirs)):
        names.setdefault(stamp, made)
    return _renamed(mine, names) == theirs


def _told(step: Step) -> str:
    """Return what BigQuery is told or asked by a step, and of a guard the answer."""
    if isinstance(step, Guard):
        told: list[object] = [step.kind, step.request, step.expected]
    elif isinstance(step, JobOperation):
        told = [step.project, step.location, step.configuration, step.upload_digest]
    elif isinstance(step, CallOperation):
        told = [step.method, step.path, step.body]
    else:
        told = [step.kind, step.request, step.payload]
    return json.dumps(told, ensure_ascii=False)


def _renamed(text: str, names: dict[str, str]) -> str:
    return _STAMP.sub(lambda found: names.get(found.group(), found.group()), text)
