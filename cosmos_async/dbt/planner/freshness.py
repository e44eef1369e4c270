"""
How old sources are: ``dbt source freshness``, planned by setup; for one source by real dbt on a worker where that fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cosmos_async.dbt.command import dbt_arguments
from cosmos_async.dbt.options import anchored
from cosmos_async.dbt.planner.late import run_part, start_part
from cosmos_async.dbt.planner.operations import NotStatic
from cosmos_async.dbt.planner.steps import Steps
from cosmos_async.dbt.session import Dbt
from cosmos_async.dbt_rules.freshness import message_of
from cosmos_async.exceptions import DbtError
from cosmos_async.plan.model import FreshnessRule, JobOperation, Json, Level, NodePlan, RunInfo, Step
from cosmos_async.plan.outcome import Outcome, Status

COMMAND = ("source", "freshness")
_MEASURED = frozenset(("pass", "warn", "error"))
_RUN = ""  # whom the recorder calls the run itself

#: Options of ``dbt build`` that ``dbt source freshness`` does not take: alone, and with a value.
_ALONE = frozenset(
    ("--empty", "--no-empty", "--full-refresh", "-f", "--show", "--store-failures", "--export-saved-queries")
) | {"--no-export-saved-queries", "--include-saved-query", "--no-include-saved-query"}
_WITH_VALUE = frozenset(("--sample", "--event-time-start", "--event-time-end"))


def record_sources(
    dbt: Dbt, sources: Sequence[str], *, run: RunInfo, parsed: bytes | None = None
) -> tuple[dict[str, NodePlan], Json]:
    """
    Record how dbt would measure sources. BigQuery is asked nothing about them.

    Returns their plans by unique id, and what the recorder wrote; nothing where dbt refused.

    Args:
        dbt: Opened for the invocation that was planned.
        sources: Their unique ids.
        run: What the index says of the run.
        parsed: The project as setup kept it; without it dbt parses the project.
    """
    folder = dbt.workspace.target_path / "cosmos_async_sources"
    folder.mkdir()
    recording = folder / "recording.json"
    arguments = freshness_arguments(dbt)
    try:
        finished = start_part(
            dbt,
            lambda options: dbt.record(arguments, recording, options),
            sources,
            folder=folder,
            run=run,
            parsed=parsed,
        )
        if finished.exit_code != 0:
            raise dbt.failure(arguments, finished)
    except DbtError as error:
        # Whatever it is, dbt will say it again at the sources' own tasks; the rest of the run goes on.
        dbt.processes.on_line(f"The freshness of sources cannot be planned: {error}")
        failed = "dbt itself failed when it was asked how."
        return {each: _plan(each, Level.DBT, failed) for each in sources}, {}
    recorded = json.loads(recording.read_bytes())
    return plan_sources(recorded, sources), recorded


def plan_sources(recording: Json, sources: Iterable[str]) -> dict[str, NodePlan]:
    """
    Return the plans of sources, by unique id.

    Args:
        recording: What the recorder wrote of ``dbt source freshness``.
        sources: Their unique ids.
    """
    return {unique_id: _plan_source(recording, unique_id) for unique_id in sources}


def _plan_source(recording: Json, unique_id: str) -> NodePlan:
    node = recording["nodes"].get(unique_id)
    flags = recording["flags"]
    if node is None:
        return _plan(unique_id, Level.DBT, "dbt did not measure it when it was recorded.")
    why = flags.get(unique_id) or flags.get(_RUN)
    if not why and node["status"] not in _MEASURED:
        why = f"dbt could not tell how it would measure it: {node['message']}"
    if why:
        return _plan(unique_id, Level.DBT, why, node)
    try:
        steps, table = _reads(recording, node)
    except NotStatic as error:
        return _plan(unique_id, Level.DBT, str(error), node)
    plan = _plan(unique_id, Level.STATIC, "", node)
    return replace(plan, steps=steps, freshness=FreshnessRule(node["freshness"], table))


def _reads(recording: Json, node: Json) -> tuple[tuple[Step, ...], Json | None]:
    """Return what tells how old a source is: a query, or a table."""
    events = recording["events"].get(node["unique_id"], [])
    if len(events) == 1 and events[0]["event"] == "last_modified":
        return (), dict(zip(("project", "dataset", "table"), events[0]["path"]))
    if len(events) == 1 and events[0]["event"] == "job" and events[0]["rows"]:
        (step,) = Steps(recording, node, {}, own=events).body()
        assert isinstance(step, JobOperation)
        return (replace(step, purpose="freshness"),), None
    raise NotStatic(
        "How old it is, dbt does not find out by one query, or by asking BigQuery about its table."
    )


def _plan(unique_id: str, level: Level, reason: str, node: Mapping[str, Any] | None = None) -> NodePlan:
    known = node or {}
    return NodePlan(
        unique_id=unique_id,
        name=unique_id.split(".", 2)[2],
        resource_type="source",
        level=level,
        reason=reason,
        relation=".".join(known["relation"]) if known else None,
        fqn=tuple(known.get("fqn") or ()),
        file=known.get("file"),
    )


def run_freshness(
    dbt: Dbt,
    unique_id: str,
    *,
    try_number: int,
    reason: str = "",
    run: RunInfo | None = None,
    parsed: bytes | None = None,
) -> Outcome:
    """
    Measure one source with the user's dbt, as a part of the run's invocation, and return how it ended.

    Args:
        dbt: Opened for the invocation that was planned.
        unique_id: The source.
        try_number: Of the task.
        reason: Why dbt does it.
        run: What the index says of the run.
        parsed: The project as setup kept it; without it dbt parses the project.

    Raises:
        DbtError: dbt did not come to measure it, or was stopped.
    """
    arguments = freshness_arguments(dbt)
    ran = run_part(dbt, arguments, unique_id, writes="sources.json", run=run, parsed=parsed)
    # dbt leaves out what it could not measure; why, it says on its log alone.
    found: dict[str, Any] = next((each for each in ran.results if each["unique_id"] == unique_id), {})
    failed = "max_loaded_at" not in found
    return Outcome(
        unique_id=unique_id,
        status=Status.ERROR if failed else Status(found["status"]),
        message=f"dbt could not measure its freshness: {ran.words}" if failed else message_of(found),
        level=Level.DBT,
        started_at=ran.begun,
        completed_at=ran.ended,
        try_number=try_number,
        reason=reason,
        adapter_response=found.get("adapter_response") or {},
        freshness=None if failed else found,
    )


def freshness_arguments(dbt: Dbt) -> list[str]:
    """Return dbt's arguments; the part that is run says which source."""
    invocation = replace(
        dbt.invocation,
        select=None,
        exclude=None,
        selector=None,
        full_refresh=False,
        event_time_start=None,
        event_time_end=None,
        exclude_resource_types=(),
        dbt_cmd_flags=_understood(dbt.invocation.dbt_cmd_flags or ()),
    )
    return anchored(dbt_arguments(invocation, COMMAND, indirect_selection=False), dbt.workspace.source)


def _understood(flags: Sequence[str]) -> list[str]:
    """Return those of the flags after ``dbt build`` that ``dbt source freshness`` takes, too."""
    kept: list[str] = []
    skipping = False
    for flag in flags:
        if skipping:
            skipping = False
            continue
        name, equals, _ = flag.partition("=")
        skipping = name in _WITH_VALUE and not equals
        if name not in _ALONE and name not in _WITH_VALUE:
            kept.append(flag)
    return kept
