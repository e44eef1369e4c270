"""
dbt's artifacts of a run that went well: ``run_results.json`` and ``manifest.json``, made from those that dbt wrote at setup.

Setup's dbt has gone through every node and has written both files; what it could not know is how the nodes end. That is
filled in here, as dbt (1.9 to 1.12) would have written it. Which nodes dbt skips after a failure, and in which words, is
dbt's own to tell: then it writes ``run_results.json`` itself.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

from cosmos_async.plan.model import RunInfo
from cosmos_async.plan.outcome import Outcome, Status

Json = dict[str, Any]

#: The two kinds of nodes that dbt only passes by.
PASSED_BY = ("exposure", "saved_query")
_WELL = frozenset((Status.SUCCESS, Status.PASS, Status.WARN, Status.NO_OP))
_COMPILED = ("compiled", "compiled_code", "extra_ctes", "extra_ctes_injected")


def why_dbt_writes(
    manifest: Json, recorded: Json, planned: Iterable[str], outcomes: Mapping[str, Outcome]
) -> str | None:
    """
    Return why the run's results are dbt's own to tell, None where they need no dbt.

    Args:
        manifest: dbt's ``manifest.json``, as setup kept it.
        recorded: dbt's ``run_results.json`` of the recording.
        planned: The run's nodes, by unique id.
        outcomes: Of nodes and on-run-start hooks, by unique id.
    """
    tags = (node.get("tags", ()) for node in manifest["nodes"].values() if _kind(node) == "operation")
    if any("on-run-end" in tag for tag in tags):
        return "the project has on-run-end hooks"
    told = {result["unique_id"]: result["status"] for result in recorded["results"]}
    for unique_id in (*told, *planned):
        outcome = outcomes.get(unique_id)
        if unique_id.split(".")[0] in PASSED_BY:
            continue
        if outcome is None:
            return f"{unique_id} was skipped"
        if outcome.status not in _WELL and outcome.status.value != told.get(unique_id):
            return f"{unique_id} ended with {outcome.status.value!r}"
        if unique_id not in told and not unique_id.startswith("source."):
            return f"{unique_id} was not recorded"
    return None


def finished_results(
    recorded: Json,
    outcomes: Mapping[str, Outcome],
    compiled_code: Mapping[str, str | None],
    run: RunInfo,
    *,
    now: datetime,
) -> Json:
    """
    Return ``run_results.json`` of a run in which nothing failed.

    Args:
        recorded: dbt's of the recording: arguments, metadata, and an entry for each node.
        outcomes: By unique id.
        compiled_code: What setup compiled, by unique id.
        run: What the index says of the run.
        now: The end of the run.
    """
    hooks: list[Json] = []
    nodes: list[Json] = []
    passed_by: list[Json] = []
    for result in recorded["results"]:
        unique_id = result["unique_id"]
        kind = unique_id.split(".")[0]
        if kind in PASSED_BY:
            passed_by.append(result)
            continue
        outcome = outcomes[unique_id]
        code = outcome.compiled_code or compiled_code.get(unique_id)
        thread = "main" if kind == "operation" else outcome.level.value
        told = _result(result, outcome, code, thread=thread)
        if outcome.status is Status.NO_OP and not _has_no_op(run.dbt_version):
            told["status"] = Status.SUCCESS.value
        (hooks if kind == "operation" else nodes).append(told)
    nodes.sort(key=_ended)
    begun = datetime.fromisoformat(run.created_at)
    return {
        "metadata": _metadata(recorded["metadata"], run, now),
        "results": [*hooks, *nodes, *passed_by],
        "elapsed_time": (now - begun).total_seconds(),
        **{
            key: value
            for key, value in recorded.items()
            if key not in ("metadata", "results", "elapsed_time")
        },
    }


def finished_manifest(
    manifest: Json,
    run_results: Json,
    run: RunInfo,
    *,
    now: datetime,
    unwritten: Container[str] = (),
    macros: Mapping[str, int] = MappingProxyType({}),
) -> Json:
    """
    Return ``manifest.json`` of a run.

    Args:
        manifest: As setup kept it; it is changed.
        run_results: dbt's ``run_results.json`` of the run.
        run: What the index says of the run.
        now: The end of the run.
        unwritten: The nodes of whose main statement dbt writes no file, or has written none, as they failed before.
        macros: How many of a node's macros dbt found while parsing, by unique id.
    """
    manifest["metadata"] = _metadata(manifest["metadata"], run, now)
    nodes = {**manifest["nodes"], **manifest.get("functions", {})}
    target = _target_path(nodes.values())
    hooks: dict[str, int] = {}
    for result in run_results["results"]:
        node = nodes.get(result["unique_id"])
        if node is None:
            continue
        if _kind(node) == "operation":
            tag = node["tags"][0] if node.get("tags") else ""
            hooks[tag] = node["index"] = hooks.get(tag, 0) + 1
        if result.get("compiled_code") is not None:
            _compile(node, result["compiled_code"], target)
            if result["unique_id"] in unwritten:
                node["build_path"] = None
        elif result["status"] == "error" and _kind(node) == "seed":
            node["build_path"] = None  # its statement comes after the load, which has failed
        elif "compiled" in node:  # dbt has not come to it: a parent failed, or it could not be compiled
            for key in _COMPILED:
                node.pop(key, None)
            node["compiled_path"] = node["build_path"] = None
            if result["status"] == "skipped" and result["unique_id"] in macros:
                del node["depends_on"]["macros"][macros[result["unique_id"]] :]
    return manifest


def target_files(manifest: Json, written: Mapping[str, str]) -> dict[str, str]:
    """
    Return the files that the manifest names in dbt's target folder, by their names there.

    Args:
        manifest: dbt's, of the finished run.
        written: What setup's dbt has written below ``run``, by name.
    """
    nodes = {**manifest.get("nodes", {}), **manifest.get("functions", {})}
    start = f"{_target_path(nodes.values())}/"
    found: dict[str, str] = {}
    for node in nodes.values():
        # dbt writes that of a file above the project outside of its target folder.
        compiled, built = (
            os.path.normpath((node.get(key) or "").removeprefix(start))
            for key in ("compiled_path", "build_path")
        )
        if compiled.startswith("compiled/") and node.get("compiled_code") is not None:
            found[compiled] = node["compiled_code"]
        if built in written:
            found[built] = written[built]
    return dict(sorted(found.items()))


def _result(recorded: Json, outcome: Outcome, code: str | None, *, thread: str) -> Json:
    result = {
        **recorded,
        "status": outcome.status.value,
        "timing": [
            {
                "name": "execute",
                "started_at": _time(outcome.started_at),
                "completed_at": _time(outcome.completed_at),
            }
        ],
        "thread_id": thread,
        "execution_time": outcome.seconds,
        "adapter_response": outcome.adapter_response,
        "message": outcome.message,
        "failures": outcome.failures,
        "batch_results": outcome.batch_results,
    }
    if outcome.overload_results is not None:
        result["overload_results"] = outcome.overload_results
    if code is not None:
        result.update(compiled=True, compiled_code=code)
    elif recorded["compiled"] is not None:  # of a seed dbt says nothing
        result.update(compiled=False, compiled_code=None)
    return result


def _has_no_op(dbt_version: str) -> bool:
    """Return whether dbt knows this status of a node (since 1.10)."""
    major, minor = (int(part) for part in dbt_version.split(".")[:2])
    return (major, minor) >= (1, 10)


def _ended(result: Json) -> datetime:
    # As text, a second would come after its fractions.
    return datetime.fromisoformat(result["timing"][0]["completed_at"][:-1])


def _metadata(metadata: Json, run: RunInfo, now: datetime) -> Json:
    """Return *metadata* as of this run; which of the keys there are depends on dbt's version."""
    begun = datetime.fromisoformat(run.created_at).astimezone(timezone.utc)
    own = {
        "generated_at": _time(now.isoformat()),
        "invocation_id": run.invocation_id,
        "invocation_started_at": _time(run.created_at),
        "run_started_at": begun.isoformat(),
    }
    return {key: own.get(key, value) for key, value in metadata.items()}


def _compile(node: Json, code: str, target: str) -> None:
    """Say of a node that dbt has compiled it; one that was planned at its turn was not, when setup's dbt wrote the manifest."""
    late = not node.get("extra_ctes_injected")
    # What an ephemeral parent became is unknown where setup could not compile it.
    known = [each for each in node.get("extra_ctes", ()) if each.get("sql") is not None]
    node.update(compiled=True, compiled_code=code, extra_ctes=known, extra_ctes_injected=True)
    if not late and node.get("build_path") is not None:
        return
    kind, file = _kind(node), node["original_file_path"]
    if os.path.basename(node["path"]) != os.path.basename(file):  # several nodes of one file
        file = os.path.join(file, node["path"])
    if late and kind != "snapshot":  # dbt writes no compiled file of it
        node["compiled_path"] = os.path.join(target, "compiled", node["package_name"], file)
    if kind != "operation":
        # Setup's dbt has written no file of one that was left to real dbt before its main statement.
        node["build_path"] = os.path.join(target, "run", node["package_name"], file)


def _target_path(nodes: Iterable[Json]) -> str:
    """Return dbt's target folder, as the paths of compiled files have it."""
    for node in nodes:
        for key, folder in (("compiled_path", "compiled"), ("build_path", "run")):
            before, found, _ = (node.get(key) or "").partition(f"/{folder}/{node['package_name']}/")
            if found:
                return str(before)
    return "target"


def _kind(node: Json) -> str:
    return str(node["resource_type"])


def _time(text: str) -> str:
    """Return a point in time as dbt writes it: UTC, ISO 8601 with a Z."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is not None:
        at = at.astimezone(timezone.utc).replace(tzinfo=None)
    return f"{at.isoformat()}Z"
