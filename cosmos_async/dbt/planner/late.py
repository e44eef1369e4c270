"""
Plan some nodes of a run anew, on a worker, at the moment when they are to be executed.

What dbt would have read before the run was of no use for them, or is not true any more. By now the nodes before them
are built: dbt is recorded for these nodes alone, as a part of the run's invocation, with the project as setup parsed
it, so that it costs seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cosmos_async.dbt.planner.planner import plan_nodes
from cosmos_async.dbt.process import Finished
from cosmos_async.dbt.session import Dbt
from cosmos_async.exceptions import DbtError, PlanError
from cosmos_async.plan.model import Json, Level, NodePlan, RunInfo

#: What ``dbt`` finds in its environment of the task that runs it.
_OF_ONE_TASK = frozenset(("AIRFLOW_CTX_TASK_ID", "AIRFLOW_CTX_TRY_NUMBER"))


@dataclass(frozen=True)
class LatePlans:
    """Plans of nodes, made late."""

    nodes: dict[str, NodePlan]  #: at level D where the node cannot be planned at all
    uploads: dict[str, Path]  #: the bytes of load jobs: files by their SHA-256


def plan_late(
    dbt: Dbt,
    reasons: Mapping[str, str],
    *,
    run: RunInfo,
    parsed: bytes | None = None,
    command: str = "build",
    apart: bool = False,
) -> LatePlans:
    """
    Record nodes as dbt would run them now and return their plans. The warehouse is read, and not changed.

    Each has the plan that it would have if it were recorded alone, see ``scripts/recorder/known_relations.py``.

    Args:
        dbt: Opened for the invocation that was planned.
        reasons: Why each is planned late, by unique id.
        run: What the index says of the run.
        parsed: The project as setup kept it; without it dbt parses the project.
        command: dbt's command that the run is made of.
        apart: Whether they are nodes of several tasks, so that none may get what is only right for another one.

    Raises:
        DbtError: dbt refused; its own words are in the message.
        PlanError: The nodes cannot be planned at all, or not together.
    """
    if dbt.program is not None:
        raise PlanError("dbt 2 is asked once, when the run is set up, and plans no node at its turn.")
    folder = dbt.workspace.target_path / f"cosmos_async_late_{time.monotonic_ns()}"
    folder.mkdir()
    recording = folder / "recording.json"
    arguments = dbt.arguments(command)
    finished = start_part(
        dbt,
        lambda options: dbt.record(arguments, recording, options),
        list(reasons),
        folder=folder,
        run=run,
        parsed=parsed,
    )
    if finished.exit_code != 0:
        raise dbt.failure(arguments, finished)
    recorded = json.loads(recording.read_bytes())
    if apart:
        _need_apart(recorded)
    nodes, uploads = plan_nodes(recorded, uploads=folder / "uploads")
    missing = [unique_id for unique_id in reasons if unique_id not in nodes]
    if missing:
        raise DbtError(
            f"dbt did not come to plan {', '.join(missing)}. Clear the setup task if the project has changed since; "
            f"dbt itself said:\n{finished.words}"
        )
    return LatePlans(
        {unique_id: _told(nodes[unique_id], reason) for unique_id, reason in reasons.items()}, uploads
    )


def _need_apart(recorded: Json) -> None:
    """
    Make sure that no node of a recording has got what belongs to another one's task.

    Raises:
        PlanError: One may have.
    """
    asked = sorted(_OF_ONE_TASK.intersection(recorded["environment"]))
    if asked:
        raise PlanError(
            f"the project asks for the environment variable {asked[0]}, which each task has for itself."
        )
    # It is compiled for the first of its children, which alone is known to depend on what it reads.
    inherited = [unique_id for unique_id in recorded["inherited"] if unique_id not in recorded["nodes"]]
    if inherited:
        raise PlanError(f"{inherited[0]} reads the warehouse, is ephemeral, and is not selected itself.")


def start_part(
    dbt: Dbt,
    start: Callable[[Sequence[str]], Finished],
    unique_ids: Sequence[str],
    *,
    folder: Path,
    run: RunInfo | None,
    parsed: bytes | None,
) -> Finished:
    """
    Start a script of ours for some nodes of an invocation, and once more if the parsed project is of no use here.

    Args:
        dbt: Opened, perhaps without its packages.
        start: Starts the script with our options.
        unique_ids: The nodes.
        folder: Where to write what the script reads.
        run: The invocation; None makes the nodes one of their own.
        parsed: The project as setup kept it.

    Raises:
        DbtError: The project's packages cannot be installed.
    """
    return dbt.with_parsed_project(
        lambda use_parsed: start(_options(folder, unique_ids, run, parsed, anew=not use_parsed)),
        kept=run is not None and parsed is not None,
    )


@dataclass(frozen=True)
class Ran:
    """What real dbt left of one node."""

    results: list[dict[str, Any]]  #: of the artifact
    begun: str  #: when dbt was started: UTC, ISO 8601
    ended: str
    words: str  #: dbt's last ones


def run_part(
    dbt: Dbt,
    arguments: Sequence[str],
    unique_id: str,
    *,
    writes: str,
    run: RunInfo | None,
    parsed: bytes | None,
) -> Ran:
    """
    Run real dbt for one node of an invocation.

    Args:
        dbt: Opened for the invocation.
        arguments: dbt's own.
        unique_id: The node.
        writes: The artifact in dbt's target folder that tells how it ended.
        run: The invocation; None makes the node one of its own.
        parsed: The project as setup kept it; without it dbt parses the project.

    Raises:
        DbtError: dbt did not come to run the node, or was stopped.
    """
    artifact = dbt.workspace.target_path / writes
    artifact.unlink(missing_ok=True)
    begun = _now()
    finished = start_part(
        dbt,
        lambda options: dbt.run_script("node_runner", options, arguments),
        [unique_id],
        folder=dbt.workspace.target_path,
        run=run,
        parsed=parsed,
    )
    if not artifact.is_file():
        raise dbt.failure(arguments, finished)
    results = json.loads(artifact.read_text(encoding="utf-8"))["results"]
    return Ran(results, begun, _now(), finished.words)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


def _options(
    folder: Path,
    unique_ids: Sequence[str],
    run: RunInfo | None,
    parsed: bytes | None,
    *,
    anew: bool = False,
) -> list[str]:
    document: dict[str, Any] = {"unique_ids": list(unique_ids)}
    if run is not None:
        document.update(
            invocation_id=run.invocation_id, started_at=run.created_at, dbt_version=run.dbt_version
        )
        if parsed is not None:
            document.update(parsed=str(folder / "cosmos_async_parsed"), anew=anew)
            Path(document["parsed"]).write_bytes(parsed)
    part = folder / "cosmos_async_part.json"
    part.write_text(json.dumps(document), encoding="utf-8")
    return ["--part", str(part)]


def _told(plan: NodePlan, reason: str) -> NodePlan:
    """Let a plan say why it was made late; if it is none after all, why not."""
    if plan.level is Level.DBT:
        return plan
    return replace(plan, reason=" ".join(filter(None, (reason, plan.reason))))
