"""
From a node's events to its steps: guards where dbt read, operations where it wrote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cosmos_async.dbt.planner.guards import READS, guard_of, table_guard
from cosmos_async.dbt.planner.operations import NotStatic, operation_of, purpose_of, sql_of
from cosmos_async.plan.model import (
    Guard,
    GuardKind,
    JobOperation,
    Json,
    Level,
    NativeKind,
    NativeOperation,
    Step,
)
from cosmos_async.plan.projection import project_target

#: Why a node needs the executor's own hand.
NATIVE = {
    "update_columns": "describes the columns that its table has by then",
    "grants": "compares its grants with those its relation has by then",
    "grant_access": "changes the access list of a dataset",
    "add_columns": "writes its table's columns back, with new ones if there are any",
    "sync_structs": "changes the fields of its table's records",
    "copy_partitions": "copies the partitions that its new data has by then",
}


@dataclass(frozen=True)
class Made:
    """A node's steps and what they cost."""

    steps: tuple[Step, ...]
    level: Level
    reason: str


class Steps:
    """
    Makes the steps of one node.

    Args:
        recording: The whole recording.
        node: The node's description.
        schemas: The steps that create a dataset, by ``project.dataset``, for each the run creates.
        own: The node's own events; None means all that were recorded.
        begins: Whether the node begins with them; later batches of a model do not.
        at_turn: Whether they were recorded at the node's turn. Then dbt has read when it would read, and where it wrote
            nothing, nothing has to be asked again.
    """

    def __init__(
        self,
        recording: Json,
        node: Json,
        schemas: Mapping[str, tuple[Step, ...]],
        *,
        own: list[Json] | None = None,
        begins: bool = True,
        at_turn: bool = False,
    ) -> None:
        self._recording = recording
        self._node = node
        self._schemas = schemas
        self._own: list[Json] = recording["events"].get(node["unique_id"], []) if own is None else own
        self._begins = begins
        self._at_turn = at_turn
        self._reasons: list[str] = []

    def make(self) -> Made:
        """
        Return the steps.

        Raises:
            NotStatic: Real dbt has to run this node.
        """
        # The inputs of a unit test are given, ephemeral models among them.
        inherits = self._begins and self._node["resource_type"] != "unit_test"
        events = [*(self._inherited(self._node, set()) if inherits else ()), *self._own]
        body = self._body(events)
        writes = any(not isinstance(step, Guard) for step in body)
        if (
            self._node["resource_type"] in ("test", "unit_test")
            and sum(isinstance(step, JobOperation) and step.rows for step in body) != 1
        ):
            raise NotStatic("Its result does not come from one query, as dbt's own tests' do.")
        if not body or (self._at_turn and not writes):
            return Made((), Level.STATIC, "")
        target = self._target() if writes and self._begins else None
        created = self._creates(events) if writes and self._begins else []
        rest = _with_early([step for step in body if step != target])
        steps = (*([target] if target else []), *created, *rest)
        if not self._reasons:
            return Made(steps, Level.STATIC, "")
        native = any(isinstance(step, NativeOperation) for step in steps)
        level = Level.NATIVE if native else Level.GUARDED
        return Made(steps, level, "It " + "; it ".join(dict.fromkeys(self._reasons)) + ".")

    def body(self) -> list[Step]:
        """
        Return what the node's own events say, in their order, up to the last that writes, and nothing around it.

        For what is done when a run begins, which is when it was recorded.

        Raises:
            NotStatic: As for :meth:`make`.
        """
        return _to_last_write(self._body(self._own))

    def _inherited(self, node: Json, seen: set[str]) -> list[Json]:
        # dbt compiles an ephemeral model once and puts it into each of its children: its reads are theirs.
        found: list[Json] = []
        nodes, ephemerals = self._recording["nodes"], self._recording.get("ephemerals", {})
        for parent in node["depends_on"]:
            above = nodes.get(parent) or ephemerals.get(parent)  # selected, or not
            if above is not None and above.get("ephemeral", True) and parent not in seen:
                seen.add(parent)
                found.extend(self._inherited(above, seen))
                found.extend(self._recording["events"].get(parent, []))
        return found

    # -- guards and operations in their order ---------------------------------------------------------------------

    def _body(self, events: list[Json]) -> list[Step]:
        steps: list[Step] = []
        since: list[Guard] = []  # the guards since the last operation
        states: set[str] = set()  # dbt asks for a relation's state once, at the beginning of a run
        center = next((at for at, event in enumerate(events) if self._is_center(event)), len(events))
        for at, event in enumerate(events):
            if event["event"] not in READS:
                steps.append(self._operation(event, before=at < center))
                since = []
                continue
            guard, reason = guard_of(event, self._node, self._recording)
            if guard is not None and event.get("assumed"):
                guard = replace(guard, assumed=True)
                reason = f"{reason} as they are before the run ({_clause(event['assumed'])})"
            if reason is not None:
                self._reasons.append(reason)
            if guard is None or guard in since:
                continue
            if guard.kind is GuardKind.TARGET_STATE:
                if guard.subject in states:
                    continue
                states.add(guard.subject)
            since.append(guard)
            steps.append(guard)
        # Also what is read behind the last write: were the answer another one, dbt might write more.
        return steps

    def _is_center(self, event: Json) -> bool:
        if event["event"] != "job":
            return False
        return bool(event["job_id"] == self._node["main_job"] or event["kind"] in ("load", "copy"))

    def _operation(self, event: Json, *, before: bool) -> Step:
        if event["event"] == "native":
            return self._native(event)
        if event["event"] not in ("job", "call"):
            raise NotStatic(f"It does something that is not known here: {event['event']}.")
        operation = operation_of(event, purpose_of(event, main=self._node["main_job"], before=before))
        if isinstance(operation, JobOperation):
            return replace(operation, main=event["job_id"] == self._node["main_job"], rows=event["rows"])
        return operation

    def _native(self, event: Json) -> NativeOperation:
        self._reasons.append(NATIVE[event["kind"]])
        request = dict(zip(("project", "dataset", "table"), event["path"]))
        return NativeOperation(NativeKind(event["kind"]), request, event["payload"])

    # -- what comes first -----------------------------------------------------------------------------------------

    def _target(self) -> Guard | None:
        """Return the guard for the state of the node's own relation when the run began."""
        path = self._node["relation"]
        if path is None or self._node["resource_type"] == "function":
            return None
        for event in self._own:
            if event["event"] == "relation" and event["path"] == path:
                return table_guard(GuardKind.TARGET_STATE, path, event["state"], predicted=event["predicted"])
            if event["event"] == "table" and event["path"] == path and not event["predicted"]:
                return table_guard(
                    GuardKind.TARGET_STATE, path, project_target(event["answer"]), predicted=False
                )
        dataset = ".".join(path[:2])
        listing = self._recording["run"]["listings"].get(dataset)
        if listing is None and dataset not in self._schemas:
            raise NotStatic(f"dbt did not look whether {'.'.join(path)} exists.")
        return table_guard(
            GuardKind.TARGET_STATE, path, (listing or {}).get(path[2], "absent"), predicted=False
        )

    def _creates(self, events: list[Json]) -> list[Step]:
        """Return the steps that create the datasets the node writes into, where the run has to create them."""
        relation = self._node["relation"]
        own = ".".join(relation[:2]) if relation else None
        # A hook may write into another dataset than the node's own; functions and unit tests have no relation at all.
        everywhere = self._node["resource_type"] in ("unit_test", "function")
        hooks = [
            sql_of(event).replace("`", "") for event in events if everywhere or "run_hooks" in event["macros"]
        ]
        return [
            step
            for dataset, steps in sorted(self._schemas.items())
            if dataset == own or any(_mentions(text, dataset.split(".")[1]) for text in hooks)
            for step in steps
        ]


def _with_early(steps: list[Step]) -> list[Step]:
    """
    Let guards that come behind a write be asked before the first one as well.

    Most of them ask about what the node does not write, and a difference costs nothing as long as nothing has been written.
    None loses its place for that: what it asks may depend on the writes in ways that nobody can see from here (a view, a
    procedure), and the table may be changed while they run, when dbt would find it changed. Where they were foretold, their
    answers only come with the writes.
    """
    first = next((at for at, step in enumerate(steps) if not isinstance(step, Guard)), len(steps))
    asked = steps[:first]
    for step in steps[first:]:
        if isinstance(step, Guard) and not step.predicted and step not in asked:
            asked.append(step)
    early = [replace(step, early=True) for step in asked[first:] if isinstance(step, Guard)]
    return [*steps[:first], *early, *steps[first:]]


def _to_last_write(steps: list[Step]) -> list[Step]:
    last = max((at for at, step in enumerate(steps) if not isinstance(step, Guard)), default=-1)
    return steps[: last + 1]


def _clause(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:].rstrip(".")


def _mentions(text: str, dataset: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(dataset)}\.", text) is not None
