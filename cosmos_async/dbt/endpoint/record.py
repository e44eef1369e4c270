"""
Record what dbt 2 would do to BigQuery, without doing it: the same recording as that of dbt 1 (``scripts/recorder``).

dbt 2 builds the project against our server. A node that cannot be recorded ends with an error in dbt's eyes, and dbt skips
what stands on it: those nodes are recorded in a further pass, in which they are selected alone.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cosmos_async.dbt.endpoint.beyond import Beyond
from cosmos_async.dbt.endpoint.flags import Flags
from cosmos_async.dbt.endpoint.front_end import FrontEnd
from cosmos_async.dbt.endpoint.probe import require_own_endpoint
from cosmos_async.dbt.endpoint.program import (
    STARTED_AT,
    Program,
    project_of,
    remove_run_hooks,
    root_of,
    setting,
    write_profile,
)
from cosmos_async.dbt.endpoint.run_hooks import END, START, hooks_of, refuse_hooks
from cosmos_async.dbt.endpoint.spans import Spans
from cosmos_async.dbt.scripts.recording import effects, sql
from cosmos_async.dbt.session import Dbt

Json = dict[str, Any]

FORMAT = 1
RESULTS_SCHEMA = "https://schemas.getdbt.com/dbt/run-results/v6.json"
TELEMETRY = "cosmos_async_otel.jsonl"
BUILT = ("model", "seed", "snapshot", "function", "test", "unit_test")
_PASSES = 50
_WELL = frozenset(("success", "pass", "warn", "fail", "no-op"))


def record(dbt: Dbt, *, uploads: Path, changing: Collection[str] | None) -> Json:
    """
    Return the recording of *dbt*'s invocation.

    Args:
        dbt: Opened for it; it is dbt 2.
        uploads: Where to keep the bytes of load jobs.
        changing: As for :func:`cosmos_async.dbt.planner.record.record_plan`.

    Raises:
        ConfigError: The profile, or an option, is none that dbt 2 can be recorded with.
        DbtError: dbt refused; its own words are in the message.
    """
    return Recorder(dbt, uploads=uploads, changing=changing).record()


class Recorder:
    """Records one invocation; the arguments are those of :func:`record`."""

    def __init__(self, dbt: Dbt, *, uploads: Path, changing: Collection[str] | None) -> None:
        assert dbt.program is not None
        self._changing = changing
        self._dbt = dbt
        self._program = Program(dbt)
        self._version, self._tried = dbt.program.version, dbt.program.tried
        self._project = project_of(dbt)
        self._arguments = dbt.arguments()
        self._flags = Flags(self._arguments, dbt.workspace.env, dbt.workspace.project_dir)
        self._front = FrontEnd(str(uploads), root=root_of(dbt), project=self._project, env=dbt.workspace.env)
        self._statuses: dict[str, Json] = {}  # dbt's results, by unique id
        self._first: Json = {}  # run_results.json of the first pass
        self._start_hooks: Json = {}  # the ends of on-run-start hooks, as dbt's telemetry tells them
        self._asking: set[str] = set()  # nodes and hooks whose own code sends queries
        self._invocation_id = str(uuid.uuid4())
        self._begun = datetime.now(timezone.utc)  # what dbt calls ``run_started_at``

    def record(self) -> Json:
        """Return the recording."""
        if self._tried:
            require_own_endpoint(self._dbt, self._program)
        listed = self._program.listed()
        nodes = buildable(listed.manifest)
        selected = [unique_id for unique_id in nodes if unique_id in listed.selected]
        beyond = Beyond(listed.manifest, tests=self._why_no_tests())
        refuse_hooks(listed.manifest, beyond, untried=None if self._tried else self._version)
        left = {
            unique_id: why
            for unique_id in selected
            for why in [self._why_not(beyond, nodes[unique_id])]
            if why
        }
        self._asking = {unique_id for unique_id in selected if beyond.asks(nodes[unique_id])}
        starts = hooks_of(listed.manifest, START)
        self._asking.update(hook["unique_id"] for hook in starts if beyond.hook_asks(hook))
        self._know(listed.manifest, selected, left, beyond)
        waiting = [
            unique_id
            for unique_id in selected
            if unique_id not in left and _materialized(nodes[unique_id]) != "ephemeral"
        ]
        ephemerals = [unique_id for unique_id in selected if _materialized(nodes[unique_id]) == "ephemeral"]
        manifest = listed.manifest
        # They are the results task's (``end_hooks``).
        remove_run_hooks(self._dbt, (END,))
        with self._front.server.serve() as endpoint:
            env = {**write_profile(self._dbt, endpoint), STARTED_AT: self._begun.isoformat()}
            for count in range(_PASSES):
                if not waiting:
                    break
                if count:
                    remove_run_hooks(self._dbt)
                # Ephemeral models are only told of.
                wanted = [nodes[unique_id] for unique_id in [*waiting, *(() if count else ephemerals)]]
                self._build(wanted, nodes, count, env)
                if not count:
                    manifest = self._program.artifact("manifest.json")
                    ends = hooks_of(listed.manifest, END)
                    manifest["nodes"].update({hook["unique_id"]: hook for hook in ends})
                done = [
                    unique_id for unique_id in waiting if self._status(unique_id) not in (None, "skipped")
                ]
                self._dbt.processes.on_line(
                    f"[cosmos-async] planned {len(self._statuses)} of {len(selected)} nodes"
                )
                for unique_id in done:
                    if self._status(unique_id) not in _WELL:
                        self._front.is_unknown(unique_id)  # what its real run makes of it
                waiting = [unique_id for unique_id in waiting if unique_id not in done]
                if not done:
                    break
        self._write_artifacts(manifest, selected)
        return self._document(manifest, selected)

    def _why_not(self, beyond: Beyond, node: Json) -> str | None:
        """Return why a node is real dbt's from the start, None where it is recorded."""
        if not self._tried:
            return f"dbt {self._version} was not tried with this version of cosmos-async."
        return beyond.why(node)

    def _write_artifacts(self, manifest: Json, selected: Sequence[str]) -> None:
        """Leave dbt's artifacts as one run of it would: several passes have written them."""
        target, nodes = self._dbt.workspace.target_path, buildable(manifest)
        metadata = {"dbt_schema_version": RESULTS_SCHEMA, "dbt_version": self._version, "env": {}}
        results = self._first or {"metadata": metadata, "args": {}, "elapsed_time": 0.0}
        entries = {result["unique_id"]: result for result in results.get("results", [])}
        entries.update(self._statuses)
        results["results"] = [
            entries[unique_id]
            for unique_id in selected
            if unique_id in self._statuses
            or (unique_id in entries and _materialized(nodes[unique_id]) == "ephemeral")
        ]
        (target / "run_results.json").write_text(json.dumps(results), encoding="utf-8")
        (target / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    def _know(self, manifest: Json, selected: Sequence[str], left: Mapping[str, str], beyond: Beyond) -> None:
        """Tell the front end what this run builds, and what of that is built in a way that nobody can foretell."""
        nodes, overlay = buildable(manifest), self._front.overlay
        for unique_id, source in manifest["sources"].items():
            overlay.project[(source["database"], source["schema"], source["identifier"])] = unique_id
        built = {}
        for unique_id, node in nodes.items():
            path = _relation(node)
            if path is not None:
                overlay.project[path] = unique_id
                if unique_id in selected:
                    built[path] = unique_id
        for unique_id, why in left.items():
            self._front.journal.flag(unique_id, why)
        everything = [*nodes, *manifest["sources"]]
        reads = {
            unique_id: everything
            if beyond.names_relations(nodes[unique_id])
            else _read_by(nodes[unique_id], nodes)
            for unique_id in selected
            if beyond.reads_columns(nodes[unique_id])
        }
        self._front.builds(built, reads=reads, unknown=left, assuming=self._assuming(nodes, selected))

    def _assuming(self, nodes: Mapping[str, Json], selected: Sequence[str]) -> set[str]:
        """Return the nodes that may be planned by what is there now; not what an ephemeral model may be asking for."""
        if self._changing is None:
            return set()
        return {
            unique_id
            for unique_id in set(selected).difference(self._changing)
            if not any(
                _materialized(nodes[parent]) == "ephemeral"
                for parent in nodes[unique_id]["depends_on"]["nodes"]
                if parent in nodes
            )
        }

    def _build(
        self, wanted: Sequence[Json], nodes: Mapping[str, Json], count: int, env: Mapping[str, str]
    ) -> None:
        workspace = self._dbt.workspace
        telemetry = f"{TELEMETRY}.{count}"
        self._front.spans = Spans(workspace.log_path / telemetry)
        (workspace.target_path / "run_results.json").unlink(missing_ok=True)
        extra = ["--otel-file-name", telemetry, "--invocation-id", self._invocation_id]
        with self._program.quiet():
            finished = self._program.build(wanted, extra, of=nodes.values(), env=env)
        if not (workspace.target_path / "run_results.json").is_file():
            raise self._dbt.failure(self._arguments, finished)
        document = self._program.artifact("run_results.json")
        self._first, results = self._first or document, document["results"]
        asked = [result for result in results if result["status"] not in ("skipped", "no-op")]
        for result in results:
            if result["status"] != "skipped":
                self._statuses[result["unique_id"]] = result
        if not count:
            self._start_hooks = dict(self._front.spans.hooks)
            if (
                not asked
                and finished.exit_code != 0
                and not self._front.journal.flags.keys() & self._start_hooks.keys()
            ):
                raise self._dbt.failure(self._arguments, finished)

    def _status(self, unique_id: str) -> str | None:
        result = self._statuses.get(unique_id)
        return None if result is None else str(result["status"])

    def _why_no_tests(self) -> str | None:
        """Return why no test of this run is recorded, None where they are."""
        if self._flags.judges_warnings:
            return "Warnings are errors in this run, or are not told, which dbt 2 decides itself."
        if self._flags.store_failures:
            return "An option of this run stores the failures of all tests, which dbt 2 decides itself."
        return None

    # -- the document --------------------------------------------------------------------------------------------

    def _document(self, manifest: Json, selected: Sequence[str]) -> Json:
        journal = self._front.journal
        nodes = buildable(manifest)
        profile = self._dbt.invocation.profile_config
        job = next(
            (event for events in journal.events.values() for event in events if event["event"] == "job"), None
        )
        ephemerals = [unique_id for unique_id, node in nodes.items() if _materialized(node) == "ephemeral"]
        # What an ephemeral model reads is read for its children, whether it is selected or not.
        described = {
            unique_id: self._describe(nodes[unique_id])
            for unique_id in dict.fromkeys([*selected, *ephemerals])
        }
        for unique_id in described:
            if self._status(unique_id) is None:
                journal.flag(unique_id, "dbt 2 did not come to it while it was recorded.")
        for unique_id in self._asking:
            if any(map(_may_have_rows, journal.events.get(unique_id, []))):
                journal.flag(unique_id, "It may use the result of a script that also changes something.")
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
            "started_at": self._begun.replace(tzinfo=None).isoformat(),
            "arguments": self._arguments,
            "project_name": manifest["metadata"]["project_name"],
            "profile_name": profile.profile_name,
            "target_name": profile.target_name,
            "project": self._project,
            "execution_project": job["project"] if job else self._project,
            "dataset": None,
            "location": job["location"] if job else None,
            "endpoint": None if self._dbt.endpoint else setting(self._dbt, "api_endpoint") or None,
            "threads": 0,
            "full_refresh": self._flags.full_refresh,
            "hooks_needed": True,  # dbt 2 runs no node after an on-run-start hook that fails
            "fail_fast": self._flags.fail_fast,
            "warn_error": False,
            "run": {
                "on_run_start": self._hooks(manifest),
                "on_run_end": len(hooks_of(manifest, END)),
                "parents": parents,
                "listings": journal.listings,
                "routines": journal.routines,
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
                unique_id: {
                    "name": nodes[unique_id]["name"],
                    "depends_on": list(nodes[unique_id]["depends_on"]["nodes"]),
                }
                for unique_id in ephemerals
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
                "error": self._hook_error(hook["unique_id"]),
            }
            for at, hook in enumerate(hooks_of(manifest, START))
        ]

    def _hook_error(self, unique_id: str) -> str | None:
        """Return what dbt says of a hook that failed while it was recorded."""
        end = self._start_hooks.get(unique_id)
        if end is None:
            return "dbt 2 did not come to it while it was recorded."
        if end["attributes"].get("hook_outcome") == "HOOK_OUTCOME_SUCCESS":
            return None
        return str((end.get("status") or {}).get("message") or "dbt 2 does not say why it failed.")

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
            # What dbt tells of a seed it knows from the file.
            "adapter_response": (result.get("adapter_response") or {})
            if node["resource_type"] == "seed"
            else {},
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


def buildable(manifest: Json) -> dict[str, Json]:
    """Return what a build is about, by unique id, in the manifest's order."""
    found = {**manifest["nodes"], **manifest.get("unit_tests", {}), **manifest.get("functions", {})}
    return {unique_id: node for unique_id, node in found.items() if node["resource_type"] in BUILT}


def _read_by(node: Json, nodes: Json) -> list[str]:
    """Return what a node may look at: what it depends on, and a unit test at what its model depends on."""
    found = list(node["depends_on"]["nodes"])
    if node["resource_type"] == "unit_test":
        found += [each for model in found if model in nodes for each in nodes[model]["depends_on"]["nodes"]]
    return found


def _may_have_rows(event: Json) -> bool:
    """Tell whether a statement that was not sent might have had a result."""
    query = event.get("configuration", {}).get("query")
    return bool(
        event["event"] == "job" and query and not event["rows"] and not sql.gives_no_rows(query["query"])
    )


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
