"""
dbt's artifacts of a run: ``run_results.json``, ``manifest.json`` and ``sources.json``, from the nodes' outcomes.

Where all went well and the project has no on-run-end hooks, they are made of what setup's dbt has written, and no dbt is
started. Otherwise dbt itself writes the results; on-run-end hooks are executed then, and see the run's real ``results``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cosmos_async.dbt.artifacts import (
    MACROS,
    MANIFEST_FILE,
    RECORDED_FILE,
    RESULTS_FILE,
    RUN_FILES,
    TARGET_FILE,
    own_results,
    zipped,
)
from cosmos_async.dbt.endpoint.end_hooks import run_end_hooks
from cosmos_async.dbt.endpoint.run_hooks import END, hooks_of
from cosmos_async.dbt.process import Finished
from cosmos_async.dbt.session import Dbt
from cosmos_async.dbt_rules.artifacts import (
    finished_manifest,
    finished_results,
    target_files,
    why_dbt_writes,
)
from cosmos_async.dbt_rules.program_artifacts import failed_hook, program_results
from cosmos_async.exceptions import DbtError
from cosmos_async.plan.model import Index, Level, RunInfo
from cosmos_async.plan.outcome import Outcome

Json = dict[str, Any]

SOURCES_SCHEMA = "https://schemas.getdbt.com/dbt/sources/v3.json"


@dataclass(frozen=True)
class Told:
    """The artifacts of a run."""

    files: dict[str, bytes]  #: by their names
    failure: DbtError | None = None  #: an on-run-end hook failed; to be raised once the files are stored


def tell_results(
    index: Index,
    outcomes: Mapping[str, Outcome],
    *,
    recorded: Mapping[str, bytes],
    compiled_code: Mapping[str, str | None],
    parsed: Callable[[], bytes | None],
    open_dbt: Callable[[], AbstractContextManager[Dbt]],
    tell: Callable[[str], None],
) -> Told:
    """
    Return the artifacts of a run, and execute its on-run-end hooks.

    Args:
        index: Of the run's plan.
        outcomes: What became of the nodes, and of on-run-start hooks, by unique id.
        recorded: What setup's dbt wrote, see :func:`cosmos_async.dbt.artifacts.recorded_artifacts`.
        compiled_code: What setup compiled, by unique id.
        parsed: Returns the project as setup kept it.
        open_dbt: Opens dbt for the invocation that was planned, where it is needed; its packages need not be there.
        tell: Takes a line for the log.

    Raises:
        DbtError: dbt could not write the results, or the project's packages cannot be installed.
    """
    run, failure = index.run, None
    manifest: Json | None = _loaded(recorded.get(MANIFEST_FILE))
    template = _loaded(recorded.get(RECORDED_FILE))
    macros = template.pop(MACROS, {}) if template else {}
    if run.dbt_version.startswith("2."):
        return _told_by_program(index, outcomes, manifest, template, open_dbt=open_dbt, tell=tell)
    why: str | None = "it is not kept what setup's dbt has written"
    if manifest is not None and template is not None:
        why = why_dbt_writes(manifest, template, index.nodes, outcomes)
    if why is None and template is not None:
        results = finished_results(template, outcomes, compiled_code, run, now=datetime.now(timezone.utc))
    else:
        tell(f"dbt writes run_results.json: {why}.")
        with open_dbt() as dbt:
            artifacts = write_results(
                dbt,
                outcomes.values(),
                run=run,
                planned=index.nodes,
                compiled_code=compiled_code,
                parsed=parsed(),
            )
            failure = artifacts.failure
            results = own_results(dbt, artifacts.run_results)
            if manifest is None:
                manifest = json.loads(dbt.workspace.own_artifact(artifacts.manifest.read_bytes()))
    manifest = manifest or {}
    failed = {unique_id for unique_id, outcome in outcomes.items() if outcome.ended_before_its_statement}
    manifest = finished_manifest(
        manifest,
        results,
        run,
        now=datetime.now(timezone.utc),
        unwritten=failed | _without_statement(index, manifest),
        macros=macros,
    )
    documents = {
        RESULTS_FILE: results,
        MANIFEST_FILE: manifest,
        "sources.json": sources_json(outcomes.values(), results),
    }
    files = {name: json.dumps(each).encode() for name, each in documents.items() if each is not None}
    files[TARGET_FILE] = zipped(target_files(manifest, _loaded(recorded.get(RUN_FILES)) or {}))
    return Told(files, failure)


def _without_statement(index: Index, manifest: Json) -> set[str]:
    """Return the nodes of which dbt never writes a statement, as of a table that is copied: setup's dbt came to their end."""
    nodes = {**manifest.get("nodes", {}), **manifest.get("functions", {})}
    return {
        unique_id
        for unique_id, entry in index.nodes.items()
        if entry.level not in (Level.LATE, Level.DBT)
        and nodes.get(unique_id, {}).get("extra_ctes_injected")
        and nodes[unique_id].get("build_path") is None
    }


def _told_by_program(
    index: Index,
    outcomes: Mapping[str, Outcome],
    manifest: Json | None,
    template: Json | None,
    *,
    open_dbt: Callable[[], AbstractContextManager[Dbt]],
    tell: Callable[[str], None],
) -> Told:
    """Return dbt 2's artifacts: it takes no outcomes, so what it wrote at setup is filled in here."""
    if manifest is None or template is None:
        raise DbtError("What dbt 2 has written at setup is not kept, so its run_results.json cannot be made.")
    now, failure = datetime.now(timezone.utc), None
    starts = [outcomes[hook.unique_id] for hook in index.hooks if hook.unique_id in outcomes]
    results = program_results(template, manifest, index.nodes, outcomes, index.run, now=now, hooks=starts)
    if hooks_of(manifest, END):
        why_not = _why_dbt_2_runs_no_hooks(index, outcomes)
        if why_not is not None:
            tell(f"dbt 2 runs no on-run-end hooks: {why_not}.")
        else:
            tell("dbt runs the on-run-end hooks.")
            with open_dbt() as dbt:
                failed = run_end_hooks(dbt, manifest, results["results"], run=index.run)
            if failed is not None:
                results["results"].append(failed_hook(failed))
                failure = DbtError(f"The on-run-end hook {failed.unique_id} failed: {failed.message}")
    documents = {RESULTS_FILE: results, MANIFEST_FILE: manifest}
    return Told({name: json.dumps(each).encode() for name, each in documents.items()}, failure)


def _why_dbt_2_runs_no_hooks(index: Index, outcomes: Mapping[str, Outcome]) -> str | None:
    """Return why dbt 2 ends before its on-run-end hooks; None where it does not."""
    if any(hook.unique_id in outcomes and outcomes[hook.unique_id].status.failed for hook in index.hooks):
        return "an on-run-start hook failed"
    if index.run.fail_fast and any(outcome.status.failed for outcome in outcomes.values()):
        return "a node failed, and the run has --fail-fast"
    return None


def _loaded(data: bytes | None) -> Json | None:
    return None if data is None else json.loads(data)


@dataclass(frozen=True)
class Artifacts:
    """The files dbt wrote; they vanish with the working copy."""

    run_results: Path
    manifest: Path
    failure: DbtError | None = None  #: an on-run-end hook failed; to be raised once the files are stored


def write_results(
    dbt: Dbt,
    outcomes: Iterable[Outcome],
    *,
    run: RunInfo | None = None,
    planned: Iterable[str] | None = None,
    compiled_code: Mapping[str, str | None] | None = None,
    parsed: bytes | None = None,
    command: str = "build",
) -> Artifacts:
    """
    Have dbt write the artifacts of the run and execute its on-run-end hooks.

    Planned nodes without an outcome are ``skipped``, as they are when a parent failed. Failed nodes are no error here.

    Args:
        dbt: Opened for the invocation that was planned, perhaps without its packages.
        outcomes: What became of the nodes, and of on-run-start hooks where that is known.
        run: What the index says of the run.
        planned: The run's nodes; None means all that the invocation selects.
        compiled_code: What setup compiled, by unique id.
        parsed: The project as setup kept it; without it dbt parses the project.
        command: dbt's command that the run is made of.

    Raises:
        DbtError: dbt could not write them, or the project's packages cannot be installed.
    """
    compiled_code = compiled_code or {}
    document = {
        "invocation_id": run.invocation_id if run is not None else None,
        "started_at": run.created_at if run is not None else None,
        "planned": None if planned is None else sorted(planned),
        "outcomes": {
            outcome.unique_id: {
                **asdict(outcome),
                "compiled_code": outcome.compiled_code or compiled_code.get(outcome.unique_id),
            }
            for outcome in outcomes
        },
    }
    target = dbt.workspace.target_path
    outcomes_file = target / "cosmos_async_outcomes.json"
    artifacts = Artifacts(run_results=target / RESULTS_FILE, manifest=target / MANIFEST_FILE)
    artifacts.run_results.unlink(missing_ok=True)
    arguments = dbt.arguments(command)

    def write(use_parsed: bool) -> Finished:
        more = {}
        if use_parsed and parsed is not None and run is not None:
            kept = target / "cosmos_async_parsed"
            kept.write_bytes(parsed)
            more = {"parsed": str(kept), "dbt_version": run.dbt_version}
        outcomes_file.write_text(json.dumps({**document, **more}), encoding="utf-8")
        return dbt.run_script("results_writer", ["--outcomes", str(outcomes_file)], arguments)

    finished = dbt.with_parsed_project(write, kept=parsed is not None and run is not None)
    if finished.exit_code == 0 and artifacts.run_results.is_file():
        return artifacts
    failure = dbt.failure(arguments, finished)
    if not artifacts.run_results.is_file():
        raise failure
    return replace(artifacts, failure=failure)


def sources_json(outcomes: Iterable[Outcome], run_results: Json) -> Json | None:
    """
    Return dbt's ``sources.json`` of the run, None where no source was measured.

    Args:
        outcomes: Of the run.
        run_results: dbt's ``run_results.json`` of the same run; what the two say of the run is the same.
    """
    measured = [outcome for outcome in outcomes if outcome.freshness is not None]
    if not measured:
        return None
    return {
        "metadata": {**run_results["metadata"], "dbt_schema_version": SOURCES_SCHEMA},
        "results": [outcome.freshness for outcome in sorted(measured, key=lambda found: found.completed_at)],
        "elapsed_time": sum(outcome.seconds for outcome in measured),
    }
