"""
dbt's own artifacts of a run: ``run_results.json`` and ``manifest.json``, written by dbt from the nodes' outcomes.

The project's on-run-end hooks are executed while they are written, and see the run's real ``results``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cosmos_async.dbt.process import Finished
from cosmos_async.dbt.session import Dbt
from cosmos_async.exceptions import DbtError
from cosmos_async.plan.model import RunInfo
from cosmos_async.plan.outcome import Outcome

SOURCES_SCHEMA = "https://schemas.getdbt.com/dbt/sources/v3.json"


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
    compiled_code: Mapping[str, str] | None = None,
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
    artifacts = Artifacts(run_results=target / "run_results.json", manifest=target / "manifest.json")
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


def sources_json(outcomes: Iterable[Outcome], run_results: bytes) -> bytes | None:
    """
    Return dbt's ``sources.json`` of the run, None where no source was measured.

    Args:
        outcomes: Of the run.
        run_results: dbt's ``run_results.json`` of the same run; what the two say of the run is the same.
    """
    measured = [outcome for outcome in outcomes if outcome.freshness is not None]
    if not measured:
        return None
    document = {
        "metadata": {**json.loads(run_results)["metadata"], "dbt_schema_version": SOURCES_SCHEMA},
        "results": [outcome.freshness for outcome in sorted(measured, key=lambda found: found.completed_at)],
        "elapsed_time": sum(outcome.seconds for outcome in measured),
    }
    return json.dumps(document).encode()
