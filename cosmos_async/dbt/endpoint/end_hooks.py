"""
on-run-end hooks of a run of dbt 2, carried out by real dbt 2 on the worker of the results task.

dbt 2 takes no results of a run that it has not made itself, but in a hook it hands them over as a plain list of
dictionaries (``dbt-tasks-sa/src/task_runner.rs``, 2.0.0-alpha.4). So it is told to build next to nothing, and before a hook's
own text stands what fills that list with the run's results. What it builds must not happen: until the hooks begin, dbt's
requests are answered as while it is recorded.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from cosmos_async.dbt.endpoint.front_end import FrontEnd
from cosmos_async.dbt.endpoint.probe import require_own_endpoint
from cosmos_async.dbt.endpoint.program import (
    STARTED_AT,
    Program,
    project_of,
    remove_run_hooks,
    rewrite_run_hooks,
    root_of,
    selector_of,
    write_profile,
)
from cosmos_async.dbt.endpoint.run_hooks import END, START, carriers
from cosmos_async.dbt.endpoint.server import Refused
from cosmos_async.dbt.endpoint.spans import Ambiguous, Spans
from cosmos_async.dbt.scripts.recording.calls import Call
from cosmos_async.dbt.scripts.recording.jobs import Submission
from cosmos_async.dbt.session import Dbt
from cosmos_async.exceptions import DbtError
from cosmos_async.plan.model import Level, RunInfo
from cosmos_async.plan.outcome import Outcome, Status

Json = dict[str, Any]

TELEMETRY = "cosmos_async_end.jsonl"
PHASE = "ON_RUN_END"
#: Of a request that is no query, dbt's telemetry may tell a little later.
PATIENCE = 0.5  # seconds
_GRAPH_KINDS = ("model", "snapshot", "seed", "test")
_WRITTEN = ("model", "snapshot", "seed")

#: Fills the list that dbt gives to a hook, and to macros that look for it. A node is what ``graph`` says of it.
_FILL = (
    "{%- if execute -%}"
    "{%- for cosmos_async_at in range(results | length) -%}{%- do results.pop() -%}{%- endfor -%}"
    "{%- for cosmos_async_id, cosmos_async_told, cosmos_async_else in RESULTS -%}"
    "{%- set cosmos_async_node = {} -%}"
    "{%- for key, value in (cosmos_async_else or graph.nodes[cosmos_async_id]).items() -%}"
    "{%- if key != 'defer_relation' -%}{%- do cosmos_async_node.update({key: value}) -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- do results.append(dict(cosmos_async_told, node=cosmos_async_node, unique_id=cosmos_async_id)) -%}"
    "{%- endfor -%}"
    "{%- set schemas = SCHEMAS -%}"
    "{%- set database_schemas = DATABASES -%}"
    "{%- set selected_resources = SELECTED -%}"
    "{%- endif -%}"
)


def run_end_hooks(dbt: Dbt, manifest: Json, results: Sequence[Json], *, run: RunInfo) -> Outcome | None:
    """
    Run the hooks, and return how the one ended that failed; None where all went well. As in dbt 2, those after it are not run.

    Args:
        dbt: Opened for the invocation that was planned; its packages need not be there.
        manifest: dbt's, of the run.
        results: The entries of the run's ``run_results.json``.
        run: What the index says of the run.

    Raises:
        DbtError: dbt did not come to the hooks, or cannot be told to run them alone.
    """
    dbt.install_packages()
    program = Program(dbt)
    carrier = _carrier(program, manifest)
    prelude = fill(results, manifest)
    remove_run_hooks(dbt, (START,))
    rewrite_run_hooks(dbt, {END: lambda text: prelude + text if text.strip() else text})
    require_own_endpoint(dbt, program)
    (dbt.workspace.log_path / TELEMETRY).unlink(missing_ok=True)
    extra = ["--otel-file-name", TELEMETRY, "--invocation-id", run.invocation_id]
    on_line = dbt.processes.on_line
    with tempfile.TemporaryDirectory() as folder:
        front = EndFrontEnd(folder, root=root_of(dbt), project=project_of(dbt), env=dbt.workspace.env)
        spans = front.spans = Spans(dbt.workspace.log_path / TELEMETRY)
        with front.server.serve() as endpoint, program.quiet() as lines:
            # What dbt says of what it only seems to build is nobody's business.
            dbt.processes.on_line = lambda line: (on_line if spans.has_begun(PHASE) else lines.append)(line)
            env = {**write_profile(dbt, endpoint), STARTED_AT: run.created_at}
            finished = program.build([carrier], extra, env=env)
    if not spans.has_begun(PHASE):
        raise dbt.failure(program.arguments([carrier], extra), finished)
    for record in spans.hooks.values():
        if record["attributes"].get("hook_outcome") != "HOOK_OUTCOME_SUCCESS":
            return _outcome(record)
    return None


class EndFrontEnd(FrontEnd):
    """Sends on what on-run-end hooks ask, and answers what comes before them as while dbt is recorded."""

    def answer(self, call: Call) -> Any:
        """
        Return the answer to one request of dbt's.

        Raises:
            Refused: It would change something, and is no hook's.
        """
        if self._is_a_hooks(call):
            return call.forward()
        if call.method not in ("GET", "HEAD") and call.shape != ("POST", 3, "jobs"):
            raise Refused("Nothing is changed before the on-run-end hooks begin.")
        return super().answer(call)

    def _is_a_hooks(self, call: Call) -> bool:
        assert self.spans is not None
        if self.spans.has_begun(PHASE):
            return True
        if call.shape != ("POST", 3, "jobs") or call.is_upload:
            known = len(call.parts) > 3 and self.has_sent(call.parts[3])
            return not known and self.spans.has_begun(PHASE, patience=PATIENCE)
        with suppress(Ambiguous):
            # The telemetry tells of a query before it is sent, and of its phase before that.
            self.sender(Submission(call.document, call.url))
        return self.spans.has_begun(PHASE)


def _carrier(program: Program, manifest: Json) -> Json:
    """Return something that dbt can be told to build alone."""
    for node in carriers(manifest):
        if program.listed(select=[selector_of(node)]).selected == {node["unique_id"]}:
            return node
    raise DbtError(
        "dbt 2 runs on-run-end hooks only where it builds something, and cannot be told to build any one model or test of the "
        "project alone, as their names begin alike."
    )


def fill(results: Sequence[Json], manifest: Json) -> str:
    """
    Return the template that stands before a hook's own.

    Args:
        results: The entries of ``run_results.json``.
        manifest: dbt's.
    """
    more = {**manifest.get("unit_tests", {}), **manifest.get("functions", {})}
    told = tuple(
        (
            result["unique_id"],
            {key: value for key, value in result.items() if key not in ("unique_id", "relation_name")},
            None if result["unique_id"].split(".")[0] in _GRAPH_KINDS else more.get(result["unique_id"]),
        )
        for result in results
    )
    places = sorted(
        {
            (node["database"], node["schema"])
            for result in results
            for node in [manifest["nodes"].get(result["unique_id"])]
            if node is not None and node["resource_type"] in _WRITTEN and result["status"] == "success"
        }
    )
    values: dict[str, Any] = {
        "RESULTS": told,
        "SCHEMAS": tuple(sorted({schema for _, schema in places})),
        "DATABASES": list(places),
        "SELECTED": tuple(result["unique_id"] for result in results),
    }
    return re.sub("|".join(values), lambda name: literal(values[name[0]]), _FILL)


def literal(value: Any) -> str:
    """Return a value as a template writes it: an expression of Jinja."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(key)}: {literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + "".join(f"{literal(each)}, " for each in value) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _outcome(record: Json) -> Outcome:
    """Return how a hook ended that failed, as dbt's telemetry tells it."""
    begun, ended = (
        datetime.fromtimestamp(int(record[name]) / 1e9, timezone.utc).isoformat()
        for name in ("start_time_unix_nano", "end_time_unix_nano")
    )
    message = str((record.get("status") or {}).get("message") or "dbt 2 does not say why it failed.")
    return Outcome(
        unique_id=record["attributes"]["unique_id"],
        status=Status.ERROR,
        message=message.strip(),
        level=Level.DBT,
        started_at=begun,
        completed_at=ended,
        try_number=1,
        failures=1,
    )
