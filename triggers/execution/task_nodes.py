"""
Which nodes a task executes, and what comes of them: pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, TypedDict, Union

from cosmos_async.exceptions import PlanNotFound
from cosmos_async.plan.model import Index, NodePlan
from cosmos_async.plan.outcome import Outcome, Status
from cosmos_async.triggers.jobs.context import End, Finished, NeedsDbt

Json = dict[str, Any]


class DbtNode(TypedDict):
    """A node that needs a worker."""

    unique_id: str
    name: str
    level: str
    reason: str
    way: str  #: ``late``: to be planned anew and executed in the triggerer; ``dbt``: to be run by real dbt
    #: The position in its plan up to which it has been carried out, 0 where nothing has been written. It only goes on where
    #: a new plan begins with the same.
    done: int


class Payload(TypedDict):
    """What the trigger tells the operator's ``execute_complete``."""

    #: ``success``, ``failed``, ``skipped`` (another task has failed, with ``--fail-fast``), ``dbt`` (real dbt runs the last
    #: of the task's nodes) or ``late`` (the trigger goes on after)
    status: str
    message: (
        str  #: for ``failed`` and ``skipped``: the whole story; else what has failed already, if anything
    )
    dbt: list[DbtNode]  #: what needs the worker; with status ``dbt`` and ``late`` only
    position: int  #: of the group they belong to, see :func:`nodes_of`
    rest: int  #: how many groups follow it
    results: dict[str, Any]  #: what was executed here: unique id → status and message
    gone: Optional[
        str
    ]  #: why there is no plan of this task any more, so that a worker makes one; nothing was done then
    address: Optional[Json]  #: where the plan of this task is, if not where setup has said
    claim: Optional[
        str
    ]  #: by which the worker plans what other tasks ask for, too, see :mod:`cosmos_async.plan.waves`


def nodes_of(index: Index, work: str, unique_id: str | None) -> list[list[str]]:
    """
    Return the nodes of a task in groups: one group after the other, the nodes of a group at once.

    Args:
        index: The run's table of contents.
        work: ``node`` (its unit tests first), ``tests`` (the data tests it owns), ``build`` (both), ``unit_tests``
            (these alone), ``freshness`` (of a source), ``others`` or ``all_tests``.
        unique_id: The node, for all but the last two; for ``tests`` perhaps a source, or a test with a task of its own.

    Raises:
        PlanNotFound: Setup did not plan the node.
    """
    if work == "all_tests":
        return [index.all_tests()]
    if work == "others":
        return [index.other_tests()]
    if unique_id is None:
        raise PlanNotFound(f"work {work!r} needs the unique id of a node")
    if work == "tests":
        return [index.tests_of(unique_id)]
    if work == "freshness":
        if unique_id not in index.nodes:
            raise PlanNotFound(
                f"setup was not asked to measure {unique_id}. In a DAG made by hand, name it in "
                "SetupAsyncOperator(sources=[...]); else clear the setup task together with this one."
            )
        return [[unique_id]]
    # As in dbt build: unit tests decide whether the model is built at all.
    units = index.unit_tests_of(unique_id)
    if work == "unit_tests":
        return [units]
    tests = index.tests_of(unique_id)
    # An ephemeral model has no plan, and yet it may own tests.
    if unique_id not in index.nodes and not units and not tests:
        raise PlanNotFound(
            f"no plan for {unique_id} in run {index.run.run_id}. The setup task recorded {len(index.nodes)} nodes of "
            f"{index.run.project_name} (target {index.run.target_name}); this one was not among them. Add it to "
            "`select`, or clear the setup task together with this one."
        )
    groups = [units, [unique_id] if unique_id in index.nodes else [], tests if work == "build" else []]
    return [group for group in groups if group]


def dbt_node(index: Index, end: NeedsDbt) -> DbtNode:
    """Return the entry of a node for the worker."""
    entry = index.nodes[end.plan.unique_id]
    return {
        "unique_id": end.plan.unique_id,
        "name": entry.name,
        "level": entry.level.value,
        "reason": end.reason,
        "way": "late" if end.late else "dbt",
        "done": end.done,
    }


@dataclass
class Result:
    """What came of a task's nodes so far."""

    #: Of nodes that ended before the worker was asked for.
    earlier: list[Outcome] = field(default_factory=list)
    earlier_plans: list[NodePlan] = field(default_factory=list)  #: of the one that people look for
    ends: list[Union[Finished, NeedsDbt]] = field(default_factory=list)
    dbt: list[DbtNode] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    error: Optional[str] = None  #: what failed apart from the nodes
    gone: Optional[str] = None  #: why there is no plan any more
    address: Optional[Json] = None  #: see :class:`Payload`
    claim: Optional[str] = None  #: see :class:`Payload`
    stopped: Optional[str] = None  #: by which task's failure, with ``--fail-fast``
    position: int = 0  #: of the last group
    rest: int = 0  #: how many groups follow it

    def add(self, ends: Sequence[End], index: Index) -> None:
        """Take in how a group of nodes ended."""
        for end in ends:
            self.ends.append(end)
            if isinstance(end, NeedsDbt):
                self.dbt.append(dbt_node(index, end))

    def take(self, other: Result) -> None:
        """Take in what came of the same nodes elsewhere."""
        self.ends, self.dbt, self.skipped = other.ends, other.dbt, other.skipped
        self.position, self.rest = other.position, other.rest

    def add_skipped(self, groups: Sequence[Sequence[str]]) -> None:
        """Take in nodes that ``dbt build`` would skip."""
        for group in groups:
            self.skipped += group

    def stop(self, failed: str, left: Sequence[str]) -> None:
        """Take in that the task *failed* has stopped the nodes *left*."""
        self.stopped = failed if left else None
        self.skipped = list(left)
        self.dbt, self.rest, self.claim = [], 0, None

    @property
    def finished(self) -> list[Finished]:
        """The nodes that were executed."""
        return [end for end in self.ends if isinstance(end, Finished)]

    @property
    def outcomes(self) -> list[Outcome]:
        """Their outcomes."""
        return [*self.earlier, *(end.outcome for end in self.finished)]

    @property
    def has_failed(self) -> bool:
        """Whether something failed, so that nothing that comes later may begin."""
        return self.error is not None or any(outcome.status.failed for outcome in self.outcomes)

    @property
    def has_warned(self) -> bool:
        """Whether a test or a freshness check ended with a warning."""
        return any(outcome.status is Status.WARN for outcome in self.outcomes)

    @property
    def status(self) -> str:
        """See :class:`Payload`."""
        if self.error is not None:
            return "failed"
        if self.gone is not None:
            return "late"
        if self.dbt:
            return "late" if self.rest or any(node["way"] == "late" for node in self.dbt) else "dbt"
        if self.has_failed:
            return "failed"
        return "success" if self.stopped is None else "skipped"

    @property
    def message(self) -> str:
        """What failed, in full."""
        stories = [
            f"{outcome.unique_id}: {outcome.message}" for outcome in self.earlier if outcome.status.failed
        ]
        stories += [
            end.report or f"{end.outcome.unique_id}: {end.outcome.message}"
            for end in self.finished
            if end.outcome.status.failed
        ]
        if self.error is not None:
            stories.append(self.error)
        if self.stopped is not None and not stories:
            stories.append(f"Stopped by --fail-fast, as {self.stopped} has failed.")
        return "\n\n".join(stories)

    def payload(self) -> Payload:
        """Return what the operator is told."""
        return {
            "status": self.status,
            "message": self.message,
            "dbt": self.dbt,
            "position": self.position,
            "rest": self.rest,
            "results": {
                outcome.unique_id: {"status": outcome.status.value, "message": outcome.message}
                for outcome in self.outcomes
            },
            "gone": self.gone,
            "address": self.address,
            "claim": self.claim,
        }

    def summary(self) -> str:
        """Return dbt's last line of a task with several nodes."""
        counts = dict.fromkeys(Status, 0)
        for outcome in self.outcomes:
            counts[outcome.status] += 1
        passed = counts[Status.PASS] + counts[Status.SUCCESS]
        failed = counts[Status.FAIL] + counts[Status.ERROR]
        passed_by = f"NO-OP={counts[Status.NO_OP]} " if counts[Status.NO_OP] else ""
        return (
            f"Done. PASS={passed} WARN={counts[Status.WARN]} ERROR={failed} SKIP={len(self.skipped)} {passed_by}"
            f"DBT={len(self.dbt)} TOTAL={len(self.outcomes) + len(self.skipped) + len(self.dbt)}"
        )

    @property
    def plans(self) -> list[NodePlan]:
        """The plans of the nodes that ended here, whichever way; and what is known of those before."""
        return [*self.earlier_plans, *(end.plan for end in self.ends)]
