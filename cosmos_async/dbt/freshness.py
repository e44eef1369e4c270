"""
How old sources are: ``dbt source freshness`` for one source, by real dbt on a worker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from cosmos_async.dbt.command import dbt_arguments
from cosmos_async.dbt.late import start_part
from cosmos_async.dbt.options import anchored
from cosmos_async.dbt.session import HERE, Dbt
from cosmos_async.outcome import Outcome, Status
from cosmos_async.plan import Level, NodePlan, RunInfo

COMMAND = ("source", "freshness")
REASON = "How old a source is, dbt itself measures (`dbt source freshness`)."

#: Options of ``dbt build`` that ``dbt source freshness`` does not take: alone, and with a value.
_ALONE = frozenset(
    ("--empty", "--no-empty", "--full-refresh", "-f", "--show", "--store-failures", "--export-saved-queries")
) | {"--no-export-saved-queries", "--include-saved-query", "--no-include-saved-query"}
_WITH_VALUE = frozenset(("--sample", "--event-time-start", "--event-time-end"))


def plan_sources(sources: Iterable[str]) -> dict[str, NodePlan]:
    """Return the plans of *sources*, given and told by unique id."""
    return {
        unique_id: NodePlan(
            unique_id=unique_id,
            name=unique_id.split(".", 2)[2],
            resource_type="source",
            level=Level.DBT,
            reason=REASON,
        )
        for unique_id in sources
    }


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
    written = dbt.workspace.target_path / "sources.json"
    written.unlink(missing_ok=True)
    arguments = freshness_arguments(dbt)
    begun = _now()
    finished = start_part(
        dbt,
        lambda options: dbt.run_script(HERE / "node_runner.py", options, arguments),
        [unique_id],
        folder=dbt.workspace.target_path,
        run=run,
        parsed=parsed,
    )
    if not written.is_file():
        raise dbt.failure(arguments, finished)
    results = json.loads(written.read_text(encoding="utf-8"))["results"]
    # dbt leaves out what it could not measure; why, it says on its log alone.
    found: dict[str, Any] = next((each for each in results if each["unique_id"] == unique_id), {})
    failed = "max_loaded_at" not in found
    return Outcome(
        unique_id=unique_id,
        status=Status.ERROR if failed else Status(found["status"]),
        message=f"dbt could not measure its freshness: {finished.words}" if failed else message_of(found),
        level=Level.DBT,
        started_at=begun,
        completed_at=_now(),
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


def message_of(result: dict[str, Any]) -> str:
    """Return for a person what an entry of ``sources.json`` tells."""
    limit = (result["criteria"] or {}).get(
        {"warn": "warn_after", "error": "error_after"}.get(result["status"], "")
    )
    told = f"{result['status'].upper()}: last loaded at {result['max_loaded_at']}, "
    told += f"{result['max_loaded_at_time_ago_in_s']:.0f} s before it was measured"
    if limit and limit.get("count") is not None:
        told += f"; the limit is {limit['count']} {limit['period']}{'s' if limit['count'] != 1 else ''}"
    return told


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


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
