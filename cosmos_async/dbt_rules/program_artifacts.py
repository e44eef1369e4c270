"""
``run_results.json`` of a run of dbt 2, made of the one that setup's dbt wrote and of what became of the nodes.

It has what dbt Core 2.0.0-alpha.4 writes (``dbt-schemas/src/schemas/run_results.rs``, ``dbt-common/src/stats.rs``): a word as
the message, no compiled code, no hooks. Where a hook of the run fails, dbt 2 calls all of its nodes failed; here they are told
as they ended, and the hook as dbt 1 does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from cosmos_async.plan.model import RunInfo
from cosmos_async.plan.outcome import Outcome, Status

Json = dict[str, Any]

#: dbt 2's messages where it has nothing to say (``NodeStatus::default_message``).
_MESSAGES = {
    Status.SUCCESS: "Succeeded",
    Status.PASS: "Pass",
    Status.WARN: "Warn",
    Status.FAIL: "Error",
}
_TESTS = ("test", "unit_test")


def program_results(
    recorded: Json,
    manifest: Json,
    planned: Iterable[str],
    outcomes: Mapping[str, Outcome],
    run: RunInfo,
    *,
    now: datetime,
    hooks: Iterable[Outcome] = (),
) -> Json:
    """
    Return ``run_results.json`` of a run.

    Args:
        recorded: dbt's of the recording: arguments, metadata, and the entries of ephemeral models.
        manifest: dbt's ``manifest.json``.
        planned: The run's nodes, by unique id.
        outcomes: By unique id; a node without one was skipped.
        run: What the index says of the run.
        now: The end of the run.
        hooks: Of the run's hooks; those that have failed are told.
    """
    nodes = {**manifest["nodes"], **manifest.get("unit_tests", {}), **manifest.get("functions", {})}
    found = [
        _result(unique_id, nodes.get(unique_id, {}), outcomes.get(unique_id), now) for unique_id in planned
    ]
    # Ephemeral models, which dbt passes by.
    found += [result for result in recorded["results"] if result["status"] == "skipped"]
    found += [failed_hook(outcome) for outcome in hooks if outcome.status.failed]
    found.sort(key=lambda result: str(result["timing"][-1]["completed_at"]))
    begun = datetime.fromisoformat(run.created_at)
    metadata = {**recorded["metadata"], "generated_at": _time(now), "invocation_id": run.invocation_id}
    return {**recorded, "metadata": metadata, "results": found, "elapsed_time": (now - begun).total_seconds()}


def failed_hook(outcome: Outcome) -> Json:
    """Return the entry of a hook of the run that has failed."""
    begun, ended = (datetime.fromisoformat(at) for at in (outcome.started_at, outcome.completed_at))
    return {
        "status": outcome.status.value,
        "timing": _timing(begun, ended),
        "thread_id": "main",
        "execution_time": outcome.seconds,
        "adapter_response": {},
        "message": outcome.message,
        "failures": 1,
        "unique_id": outcome.unique_id,
    }


def _result(unique_id: str, node: Json, outcome: Outcome | None, now: datetime) -> Json:
    relation = {"relation_name": node["relation_name"]} if node.get("relation_name") else {}
    if outcome is None:
        return {
            "status": "skipped",
            "timing": _timing(now, now),
            "thread_id": "main",
            "execution_time": 0.0,
            "adapter_response": {},
            "message": "Skipped due to upstream failure",
            "unique_id": unique_id,
            **relation,
        }
    begun, ended = (datetime.fromisoformat(at) for at in (outcome.started_at, outcome.completed_at))
    is_test = unique_id.split(".")[0] in _TESTS
    rows = outcome.adapter_response.get("rows_affected") or 0
    result = {
        "status": outcome.status.value,
        "timing": _timing(begun, ended),
        "thread_id": outcome.level.value,
        "execution_time": outcome.seconds,
        "adapter_response": {} if is_test or outcome.status.failed else {"rows_affected": rows},
        "message": _MESSAGES.get(outcome.status, outcome.message),
        "unique_id": unique_id,
        **relation,
    }
    if unique_id.startswith("test.") and outcome.failures is not None:  # of a unit test dbt 2 tells none
        result["failures"] = outcome.failures
    return result


def _timing(begun: datetime, ended: datetime) -> list[Json]:
    at = {"started_at": _time(begun), "completed_at": _time(ended)}
    return [{"name": name, **at} for name in ("compile", "execute")]


def _time(at: datetime) -> str:
    """Return a point in time as dbt writes it: UTC, ISO 8601 with a Z."""
    if at.tzinfo is not None:
        at = at.astimezone(timezone.utc).replace(tzinfo=None)
    return f"{at.isoformat()}Z"
