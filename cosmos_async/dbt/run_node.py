"""
Real dbt on a worker for exactly one node, for all that has no plan (level D) or whose plan no longer fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cosmos_async.dbt.endpoint.alone import run_alone
from cosmos_async.dbt.planner.late import Ran, run_part
from cosmos_async.dbt.session import Dbt
from cosmos_async.exceptions import DbtError
from cosmos_async.plan.model import Level, RunInfo
from cosmos_async.plan.outcome import JobRecord, Outcome, Status


def run_node(
    dbt: Dbt,
    unique_id: str,
    *,
    try_number: int,
    reason: str = "",
    run: RunInfo | None = None,
    parsed: bytes | None = None,
    command: str = "build",
) -> Outcome:
    """
    Run *unique_id*, and nothing else, with the user's dbt, and return how it ended.

    The node is part of the invocation that was planned: same flags, same variables, same ``selected_resources``, same
    ``invocation_id``. Neither its tests nor the hooks of the run are executed.

    Args:
        dbt: Opened for the invocation that was planned.
        unique_id: The node: a model, a seed, a snapshot, a function, a test or a unit test.
        try_number: Of the task, for the outcome.
        reason: Why the node takes this way, for the outcome.
        run: What the index says of the run; None makes the node an invocation of its own.
        parsed: The project as setup kept it; without it dbt parses the project.
        command: dbt's command that the run is made of.

    Raises:
        DbtError: dbt did not come to run the node, or was stopped.
    """
    if dbt.program is not None:
        pinned = (None, None) if run is None else (run.invocation_id, run.created_at)
        ran = Ran(*run_alone(dbt, unique_id, invocation_id=pinned[0], started_at=pinned[1]))
    else:
        arguments = dbt.arguments(command)
        ran = run_part(dbt, arguments, unique_id, writes="run_results.json", run=run, parsed=parsed)
    # With --fail-fast dbt also tells of what it did not come to, such as ephemeral models.
    results = [
        result
        for result in ran.results
        if result["unique_id"] == unique_id or result["status"] != Status.SKIPPED.value
    ]
    found = [result["unique_id"] for result in results]
    if found != [unique_id]:
        raise DbtError(
            f"dbt was to run {unique_id} alone, but its run_results.json has {', '.join(found) or 'no node'}. Clear the "
            "setup task if the project has changed since; dbt itself said:\n" + ran.words
        )
    if results[0]["message"]:
        # dbt names files below its target folder; this one is gone with the task, and not where the user's would be.
        results[0]["message"] = results[0]["message"].replace(str(dbt.workspace.target_path), "target")
    outcome = outcome_of(results[0], begun=ran.begun, ended=ran.ended, try_number=try_number, reason=reason)
    written = (path for path in (dbt.workspace.target_path / "run").rglob("*") if path.is_file())
    if outcome.status is Status.ERROR and dbt.program is None and next(written, None) is None:
        return replace(outcome, unwritten=True)
    return outcome


def outcome_of(result: Mapping[str, Any], *, begun: str, ended: str, try_number: int, reason: str) -> Outcome:
    """
    Return the outcome that an entry of ``run_results.json`` tells.

    Args:
        result: The entry.
        begun: When dbt was started, for entries without timing: UTC, ISO 8601.
        ended: When it had ended.
        try_number: Of the task.
        reason: Why the node was run by dbt.
    """
    times = [
        timing[name] for timing in result["timing"] for name in ("started_at", "completed_at") if timing[name]
    ]
    response = dict(result["adapter_response"])
    return Outcome(
        unique_id=result["unique_id"],
        status=Status(result["status"]),
        message=result["message"],
        level=Level.DBT,
        started_at=_with_zone(min(times)) if times else begun,
        completed_at=_with_zone(max(times)) if times else ended,
        try_number=try_number,
        reason=reason,
        failures=result["failures"],
        adapter_response=response,
        jobs=_jobs(response),
        batch_results=result.get("batch_results"),
        overload_results=result.get("overload_results"),
        compiled_code=result.get("compiled_code"),
    )


def _jobs(response: Mapping[str, Any]) -> tuple[JobRecord, ...]:
    # dbt tells of the job of its main statement only.
    if not response.get("job_id"):
        return ()
    return (
        JobRecord(
            purpose="main",
            main=True,
            job_id=response["job_id"],
            project=response.get("project_id") or "",
            location=response.get("location") or "",
            bytes_processed=response.get("bytes_processed"),
            bytes_billed=response.get("bytes_billed"),
            slot_ms=response.get("slot_ms"),
            rows=response.get("rows_affected"),
        ),
    )


def _with_zone(text: str) -> str:
    # dbt writes UTC with a Z; before Python 3.11, fromisoformat does not read it.
    return text.replace("Z", "+00:00")
