"""
Record what dbt 2 would do to BigQuery, without doing it: the same recording as that of dbt 1 (``scripts/recorder``).

dbt 2 builds the project against our server. A node that cannot be recorded ends with an error in dbt's eyes, and dbt skips
what stands on it: those nodes are recorded in a further pass, in which they are selected alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cosmos_async.dbt.command import merged_vars
from cosmos_async.dbt.endpoint.beyond import Beyond, hooks_of
from cosmos_async.dbt.endpoint.front_end import FrontEnd
from cosmos_async.dbt.endpoint.program import Program, profile_output, remove_run_hooks, write_profile
from cosmos_async.dbt.endpoint.server import GOOGLE
from cosmos_async.dbt.endpoint.spans import Spans
from cosmos_async.dbt.scripts.recording import effects, sql
from cosmos_async.dbt.session import Dbt
from cosmos_async.exceptions import ConfigError, DbtError
from cosmos_async.profiles.templates import rendered

Json = dict[str, Any]

FORMAT = 1
TELEMETRY = "cosmos_async_otel.jsonl"
BUILT = ("model", "seed", "snapshot", "function", "test", "unit_test")
_PASSES = 50
_WELL = frozenset(("success", "pass", "warn", "fail", "no-op"))
_WARNINGS_FAIL = ("--warn-error", "--warn-error-options")


def record(dbt: Dbt, program: Program, *, uploads: Path, version: str) -> Json:
    """
    Return the recording of *dbt*'s invocation.

    Args:
        dbt: Opened for it.
        program: dbt 2.
        uploads: Where to keep the bytes of load jobs.
        version: dbt's.

    Raises:
        ConfigError: The profile, or an option, is none that dbt 2 can be recorded with.
        DbtError: dbt refused; its own words are in the message.
    """
    return Recorder(dbt, program, uploads=uploads, version=version).record()


class Recorder:
    """Records one invocation; the arguments are those of :func:`record`."""

    def __init__(self, dbt: Dbt, program: Program, *, uploads: Path, version: str) -> None:
        self._dbt = dbt
        self._program = program
        self._version = version
        self._output = profile_output(dbt)
        self._project = self._setting("project") or self._setting("database")
        if not self._project:
            raise ConfigError("The profile names no project. With dbt 2 it has to.")
        self._arguments = dbt.arguments()
        root = dbt.endpoint or self._setting("api_endpoint") or GOOGLE
        self._front = FrontEnd(str(uploads), root=root, project=self._project)
        self._statuses: dict[str, Json] = {}  # dbt's results, by unique id
        self._invocation_id = str(uuid.uuid4())

    def _setting(self, name: str) -> str:
        """Return a setting of the profile, empty where it has none."""
        invocation = self._dbt.invocation
        variables = merged_vars(invocation.project_config.dbt_vars, invocation.vars)
        return rendered(
            str(self._output.get(name) or ""), variables, self._dbt.workspace.env, f"The profile's {name}"
        )

    def record(self) -> Json:
        """Return the recording."""
        listed = self._program.listed()
        nodes = _nodes(listed.manifest)
        selected = [unique_id for unique_id in nodes if unique_id in listed.selected]
        on_run_end = hooks_of(listed.manifest, "on-run-end")
        if on_run_end:
            raise ConfigError(
                f"The project has an on-run-end hook ({on_run_end[0]['original_file_path']}), which needs the results of the "
                "run, and dbt 2 takes no results that it has not made itself. Run it in a task of its own after this DAG's "
                "nodes (`dbt run-operation`), or use dbt 1.9 to 1.12."
            )
        beyond = Beyond(listed.manifest, warnings_fail=self._warnings_fail())
        left = {unique_id: why for unique_id in selected for why in [beyond.why(nodes[unique_id])] if why}
        self._know(nodes, selected, left)
        waiting = [unique_id for unique_id in selected if unique_id not in left]
        begun = datetime.now(timezone.utc)
        manifest = listed.manifest
        with self._front.server.serve() as endpoint:
            env = write_profile(self._dbt, endpoint)
            for count in range(_PASSES):
                if not waiting:
                    break
                if count:
                    remove_run_hooks(self._dbt)
                self._build([nodes[unique_id] for unique_id in waiting], count, env)
                if not count:
                    manifest = self._program.artifact("manifest.json")
                done = [
                    unique_id for unique_id in waiting if self._status(unique_id) not in (None, "skipped")
                ]
                self._dbt.processes.on_line(
                    f"[cosmos-async] planned {len(self._statuses)} of {len(selected)} nodes"
                )
                waiting = [unique_id for unique_id in waiting if unique_id not in done]
                if not done:
                    break
        return self._document(manifest, selected, left, begun)

    def _know(self, nodes: Mapping[str, Json], selected: Sequence[str], left: Mapping[str, str]) -> None:
        """Tell the core what this run builds, and what of that is built in a way that nobody can foretell."""
        journal, overlay = self._front.journal, self._front.overlay
        built = {}
        for unique_id, node in nodes.items():
            path = _relation(node)
            if path is None:
                continue
            overlay.project[path] = unique_id
            if unique_id in selected:
                built[path] = unique_id
                if unique_id in left:
                    overlay.note(path, by=unique_id)
        self._front.builds(built)
        for unique_id, why in left.items():
            journal.flag(unique_id, why)

    def _build(self, nodes: Sequence[Json], count: int, env: Mapping[str, str]) -> None:
        workspace = self._dbt.workspace
        telemetry = f"{TELEMETRY}.{count}"
        self._front.spans = Spans(workspace.log_path / telemetry)
        (workspace.target_path / "run_results.json").unlink(missing_ok=True)
        before = self._front.server.requests
        options = ["--otel-file-name", telemetry, "--invocation-id", self._invocation_id]
        extra = [*options, "--no-manage-state", "--no-version-check"]
        with self._program.quiet() as lines:
            finished = self._program.build(nodes, extra, env=env)
        if not (workspace.target_path / "run_results.json").is_file():
            raise self._dbt.failure(self._arguments, finished)
        results = self._program.artifact("run_results.json")["results"]
        asked = [result for result in results if result["status"] not in ("skipped", "no-op")]
        if asked and self._front.server.requests == before:
            raise DbtError(
                "dbt has built nodes, and none of its requests came to the endpoint that the profile names as api_endpoint: "
                "this dbt, or its driver, does not look there. It cannot be recorded; dbt itself said:\n"
                + "\n".join(lines[-10:])
            )
        for result in results:
            if result["status"] != "skipped":
                self._statuses[result["unique_id"]] = result

    def _status(self, unique_id: str) -> str | None:
        result = self._statuses.get(unique_id)
        return None if result is None else str(result["status"])

    def _warnings_fail(self) -> bool:
        words = {word.split("=")[0] for word in self._arguments}
        named = ("DBT_WARN_ERROR", "DBT_WARN_ERROR_OPTIONS")
        return bool(words.intersection(_WARNINGS_FAIL)) or any(
            self._dbt.workspace.env.get(name) for name in named
        )

    # -- the document --------------------------------------------------------------------------------------------

    def _document(
        self, manifest: Json, selected: Sequence[str], left: Mapping[str, str], begun: datetime
    ) -> Json:
        journal = self._front.journal
        nodes = _nodes(manifest)
        profile = self._dbt.invocation.profile_config
        job = next(
            (event for events in journal.events.values() for event in events if event["event"] == "job"), None
        )
        described = {unique_id: self._describe(nodes[unique_id]) for unique_id in selected}
        for unique_id in described:
            if self._status(unique_id) is None and unique_id not in journal.flags:
                journal.flag(unique_id, "dbt 2 did not come to it while it was recorded.")
        parents = {
            unique_id: list(node["depends_on"]["nodes"])
            for unique_id, node in nodes.items()
            if node["resource_type"] in ("model", "seed", "snapshot", "function")
        }
        return {
            "format": FORMAT,
            "dbt_version": self._version,
            "adapter_version": self._version,
            "invocation_id": self._invocation_id,
            "started_at": begun.replace(tzinfo=None).isoformat(),
            "arguments": self._arguments,
            "project_name": manifest["metadata"]["project_name"],
            "profile_name": profile.profile_name,
            "target_name": profile.target_name,
            "project": self._project,
            "execution_project": job["project"] if job else self._project,
            "dataset": None,
            "location": job["location"] if job else None,
            "endpoint": self._setting("api_endpoint") or None,
            "threads": 0,
            "full_refresh": bool(self._dbt.invocation.full_refresh),
            "hooks_needed": True,  # dbt 2 runs no node after an on-run-start hook that fails
            "fail_fast": bool(self._dbt.invocation.fail_fast),
            "warn_error": False,
            "run": {
                "on_run_start": self._hooks(manifest),
                "on_run_end": 0,
                "parents": parents,
                "listings": journal.listings,
                "built": [
                    [list(path), unique_id] for path, unique_id in sorted(self._front.overlay.built.items())
                ],
            },
            "nodes": described,
            "events": journal.events,
            "flags": journal.flags,
            "late": [],  # dbt 2 is asked once; what setup cannot plan is its own
            "batches": {},
            "moments": {},
            "temporaries": {},
            "environment": [],
            "once": "dbt 2 does not tell what a plan depends on",
            "ephemerals": {
                unique_id: {"name": node["name"], "depends_on": list(node["depends_on"]["nodes"])}
                for unique_id, node in nodes.items()
                if _materialized(node) == "ephemeral"
            },
            "inherited": [],
        }

    def _hooks(self, manifest: Json) -> list[Json]:
        return [
            {
                "unique_id": hook["unique_id"],
                "name": f"{hook['package_name']}.on-run-start.{at}",
                "file": hook["original_file_path"],
                "compiled_code": hook.get("compiled_code"),
                "error": None,
            }
            for at, hook in enumerate(hooks_of(manifest, "on-run-start"))
        ]

    def _describe(self, node: Json) -> Json:
        unique_id = node["unique_id"]
        result = self._statuses.get(unique_id) or {"status": "skipped", "message": None}
        path = _relation(node)
        config = node.get("config") or {}
        described = {
            "unique_id": unique_id,
            "resource_type": node["resource_type"],
            "name": node["name"],
            "alias": node.get("alias"),
            "fqn": list(node["fqn"]),
            "package_name": node["package_name"],
            "file": node["original_file_path"],
            "language": node.get("language"),
            "materialized": _materialized(node),
            "ephemeral": _materialized(node) == "ephemeral",
            "relation": None if path is None else list(path),
            "compiled_code": result.get("compiled_code") or node.get("compiled_code"),
            "depends_on": list(node["depends_on"]["nodes"]),
            "attached_node": node.get("attached_node"),
            "status": result["status"],
            "message": result["message"],
            "adapter_response": {},
            "main_job": None if path is None else self._main_job(unique_id, path),
        }
        if node["resource_type"] == "test":
            described["test"] = {
                "severity": config.get("severity") or "ERROR",
                "warn_if": config.get("warn_if") or "!= 0",
                "error_if": config.get("error_if") or "!= 0",
                "fail_calc": config.get("fail_calc") or "count(*)",
                "store_failures": config.get("store_failures"),
                "store_failures_as": config.get("store_failures_as"),
            }
        return described

    def _main_job(self, unique_id: str, path: sql.Path) -> str | None:
        """Return the job that makes the node's relation, or fills it: dbt's ``main`` statement."""
        found = None
        for event in self._front.journal.events.get(unique_id, []):
            query = event.get("configuration", {}).get("query")
            if event["event"] != "job" or query is None or event["macros"] or event["rows"]:
                continue
            if any(
                self._front.overlay.full(what.path) == path and what.verb in ("create", "write")
                for what in map(effects.effect, sql.statements(query["query"]))
            ):
                found = str(event["job_id"])
        return found


def _nodes(manifest: Json) -> dict[str, Json]:
    """Return what a build is about, by unique id, in the manifest's order."""
    found = {**manifest["nodes"], **manifest.get("unit_tests", {}), **manifest.get("functions", {})}
    return {unique_id: node for unique_id, node in found.items() if node["resource_type"] in BUILT}


def _materialized(node: Json) -> str | None:
    found = (node.get("config") or {}).get("materialized")
    if found is not None or node["resource_type"] != "model":
        return None if found is None else str(found)
    return "view"


def _relation(node: Json) -> sql.Path | None:
    if not node.get("relation_name") or not node.get("database") or _materialized(node) == "ephemeral":
        return None
    if node["resource_type"] == "test" and not (node.get("config") or {}).get("store_failures"):
        return None
    return (node["database"], node["schema"], node.get("alias") or node["name"])
