"""
From an open dbt to the plan of a run: record the invocation once, then plan what was recorded.

Setup does it within Airflow and ``cosmos-async plan`` without; here is what both do.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from cosmos_async.dbt.endpoint.record import record as record_program
from cosmos_async.dbt.environment.program import TRIED
from cosmos_async.dbt.planner.freshness import record_sources
from cosmos_async.dbt.planner.keep import each_run
from cosmos_async.dbt.planner.planner import Plan, make_plan, projects_of
from cosmos_async.dbt.session import Dbt
from cosmos_async.exceptions import ConfigError
from cosmos_async.plan.model import Json

PARSED = "parsed"  # the recorder's file with the parsed project, beside the recording


@dataclass(frozen=True)
class Planned:
    """The plan of a run and what it was made from."""

    plan: Plan  #: its uploads lie in dbt's working copy, and are gone with it
    recording: Json  #: what the recorder wrote; its nodes are in the order in which dbt built them
    each_run: dict[str, str]  #: what nodes use that is another in each run, by unique id


def record_plan(
    dbt: Dbt,
    *,
    dag_id: str,
    run_id: str,
    owned: bool = True,
    detach: bool = False,
    sources: Sequence[str] = (),
    command: str = "build",
    changing: Collection[str] | None = (),
) -> Planned:
    """
    Record *dbt*'s invocation and return the plan of the run. The warehouse is read, and not changed.

    Args:
        dbt: Still open while the plan's uploads are needed.
        dag_id: The DAG the plan is for.
        run_id: The DAG run.
        owned: As for :func:`cosmos_async.dbt.planner.planner.make_plan`.
        detach: As there.
        sources: Those whose freshness is measured, by unique id.
        command: dbt's command.
        changing: Nodes whose reads of what the run builds first are not answered by what is there now; None means all.

    Raises:
        ConfigError: dbt selected nothing.
        DbtError: dbt itself refused; its own words are in the message.
        PlanError: The run cannot be planned at all.
    """
    recording = dbt.workspace.target_path / "cosmos_async_recording" / "recording.json"
    recording.parent.mkdir()
    arguments = dbt.arguments(command)
    dbt.processes.on_line(
        f"Recording `dbt {' '.join(arguments)}`: dbt reads the warehouse, and nothing is changed there."
    )
    begun = datetime.now(timezone.utc)
    recorded = _recorded(dbt, arguments, recording, sources, changing)
    if recorded["started_at"]:
        # dbt's own `run_started_at`, in UTC without saying so: what real dbt runs later must see the same.
        begun = datetime.fromisoformat(recorded["started_at"]).replace(tzinfo=timezone.utc)
    plan = make_plan(
        recorded,
        dag_id=dag_id,
        run_id=run_id,
        created_at=begun.isoformat(),
        host=socket.gethostname(),
        uploads=recording.parent / "uploads",
        owned=owned,
        detach=detach,
    )
    parsed = recording.parent / PARSED
    if parsed.is_file():
        known = hashlib.sha256(parsed.read_bytes()).hexdigest()
        plan = replace(plan, run=replace(plan.run, parsed=known), parsed=parsed)
    if not plan.nodes:
        raise ConfigError(
            "dbt selected no node, so there is nothing to run. Check select, exclude and selector."
        )
    uses = each_run(recorded)
    if sources:
        kept = None if plan.parsed is None else plan.parsed.read_bytes()
        measured, asked = record_sources(dbt, sources, run=plan.run, parsed=kept)
        uses.update(asked.get("moments", {}))
        recorded["environment"] += asked.get("environment", [])
        if not asked:
            recorded["once"] = recorded["once"] or "dbt could not tell how it measures sources this time"
        nodes = {**plan.nodes, **measured}
        plan = replace(plan, nodes=nodes, run=replace(plan.run, projects=projects_of(nodes)))
    return Planned(plan, recorded, uses)


def _recorded(
    dbt: Dbt,
    arguments: Sequence[str],
    recording: Path,
    sources: Sequence[str],
    changing: Collection[str] | None,
) -> Json:
    if dbt.program is not None:
        if sources:
            raise ConfigError(
                f"The DAG measures the freshness of sources, which {dbt.program.name} is not known to do: `dbt source freshness` of "
                f'{", ".join(TRIED)} only says "Unhandled command". Set '
                "RenderConfig(source_rendering_behavior=SourceRenderingBehavior.NONE), or use dbt 1.9 to 1.12."
            )
        return record_program(dbt, uploads=recording.parent / "uploads", changing=changing)
    options: list[str] = []
    if changing is not None:
        known = recording.parent / "changing.json"
        known.write_text(json.dumps(sorted(changing)), encoding="utf-8")
        options = ["--changing", str(known)]
    finished = dbt.record(arguments, recording, options)
    if finished.exit_code != 0:
        raise dbt.failure(arguments, finished)
    found: Json = json.loads(recording.read_bytes())
    return found
