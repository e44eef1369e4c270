"""
One step of a plan in words and SQL.

Pure. What is too long for a line is cut short; ``--json`` has all of it.
"""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass
from typing import Any

from cosmos_async.plan.model import (
    CallOperation,
    Guard,
    GuardKind,
    JobOperation,
    Json,
    NativeOperation,
    Step,
)

_LONGEST = 100  # characters of a list or a body before it is cut short
_DEFAULT_TIMEOUT_MS = 24 * 60 * 60 * 1000  # dbt-bigquery's, on every job
# The one dbt adds where a project says nothing; a comment of the user's own is shown.
_DEFAULT_COMMENT = re.compile(r'^/\* \{"app": "dbt", [^\n]*?\} \*/[^\S\n]*\n*')


@dataclass(frozen=True)
class Described:
    """A step for a person."""

    kind: str  #: guard, job, call, native
    text: str
    notes: tuple[str, ...] = ()
    sql: tuple[str, ...] = ()


def describe(step: Step) -> Described:
    """Return *step* in words."""
    if isinstance(step, Guard):
        return _guard(step)
    if isinstance(step, JobOperation):
        return _job(step)
    if isinstance(step, CallOperation):
        return _call(step)
    return _native(step)


def sql_lines(text: str) -> tuple[str, ...]:
    """Return a statement's lines without dbt's default comment, common indentation and runs of empty lines."""
    lines: list[str] = []
    for line in textwrap.dedent(_DEFAULT_COMMENT.sub("", text).expandtabs(4)).strip("\n").splitlines():
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)


def _guard(guard: Guard) -> Described:
    expected = guard.expected
    what = guard.subject
    if guard.kind is GuardKind.TARGET_STATE:
        text = f"{what} is {'absent' if expected == 'absent' else 'a ' + _words(str(expected))}"
    elif expected is None:
        text = f"{what} is absent"
    elif guard.kind in (GuardKind.TABLE, GuardKind.SETTINGS):
        text = f"{what} has columns {_columns(expected['schema'])}"
    elif guard.kind is GuardKind.SCHEMA:
        text = f"columns of {what}: {_columns(expected)}"
    elif guard.kind is GuardKind.LISTING:
        text = f"{what}: {_cut(', '.join(expected)) or 'none'}"
    elif guard.kind is GuardKind.DATASET:
        text = f"dataset {what} is in {expected.get('location')}"
    else:
        text = f"rows of {what}: {_cut(json.dumps(expected, ensure_ascii=False))}"
    when = " (foretold)" if guard.predicted else " (and again in its place)" if guard.early else ""
    return Described("guard", text + when)


def _job(job: JobOperation) -> Described:
    where = job.project + (f" in {job.location}" if job.location else "")
    configuration = job.configuration
    notes = _options(configuration)
    if job.shared:
        notes = ("once for the whole run", *notes)
    query = configuration.get("query")
    if query is not None:
        return Described("job", f"{job.purpose}, by {where}", notes, sql_lines(str(query.get("query", ""))))
    for kind in ("load", "copy", "extract"):
        if kind in configuration:
            return Described("job", f"{_moved(kind, configuration[kind])}, by {where}", notes)
    return Described("job", f"{job.purpose}, by {where}", (*notes, *_body(configuration)))


def _native(step: NativeOperation) -> Described:
    queries = {name: _sql(value) for name, value in step.payload.items()}
    told = {name: value for name, value in step.payload.items() if queries[name] is None}
    # What it asks for is known already; what it makes of the answer is not.
    sql = next((sql_lines(query) for query in queries.values() if query), ())
    return Described("native", f"{_words(step.kind.value)}: {_table(step.request)}", _body(told), sql)


def _sql(job: Any) -> str | None:
    """Return the statement of a job within a payload; None for what is no job."""
    if not (isinstance(job, dict) and "configuration" in job):
        return None
    return str(job["configuration"].get("query", {}).get("query", ""))


def _moved(kind: str, job: Json) -> str:
    target = _table(job.get("destinationTable") or {})
    disposition = f" ({job['writeDisposition']})" if job.get("writeDisposition") else ""
    if kind == "copy":
        sources = job.get("sourceTables") or [job.get("sourceTable") or {}]
        return f"copy {', '.join(_table(source) for source in sources)} to {target}{disposition}"
    return f"{kind} {job.get('sourceFormat', 'data')} into {target}{disposition}"


def _options(configuration: Json) -> tuple[str, ...]:
    query = configuration.get("query") or {}
    # Every job of a run has it.
    labels = {k: v for k, v in (configuration.get("labels") or {}).items() if k != "dbt_invocation_id"}
    found: dict[str, Any] = {
        "labels": ", ".join(f"{name}={value}" for name, value in sorted(labels.items())),
        "priority": query.get("priority") if query.get("priority") != "INTERACTIVE" else None,
        "maximum bytes billed": query.get("maximumBytesBilled"),
        "timeout": _timeout(configuration.get("jobTimeoutMs")),
        "reservation": configuration.get("reservation"),
    }
    told = [f"{name} {value}" for name, value in found.items() if value]
    return ("; ".join(told),) if told else ()


def _timeout(milliseconds: Any) -> str | None:
    if milliseconds is None or int(milliseconds) == _DEFAULT_TIMEOUT_MS:
        return None
    return f"{int(milliseconds) / 1000:g} s"


def _call(call: CallOperation) -> Described:
    words = {"DELETE": "delete", "PATCH": "change", "POST": "create", "PUT": "replace"}
    parts = call.path.split("/")
    # projects/p/datasets/d/tables/t: the kind of thing is the last collection, its name the ids.
    what = f"{parts[-2][:-1]} {'.'.join(parts[1::2])}" if len(parts) % 2 == 0 else call.path
    missing = ", if it is there" if call.missing_ok else ""
    return Described("call", f"{words.get(call.method, call.method)} {what}{missing}", _body(call.body))


def _body(body: Json | None) -> tuple[str, ...]:
    return (_cut(json.dumps(body, ensure_ascii=False)),) if body else ()


def _columns(fields: list[Json]) -> str:
    return _cut(", ".join(f"{field['name']} {field['type']}" for field in fields)) if fields else "none"


def _table(reference: Json) -> str:
    names = ("project", "dataset", "table") if "table" in reference else ("projectId", "datasetId", "tableId")
    return ".".join(str(reference[name]) for name in names if reference.get(name))


def _words(name: str) -> str:
    return name.replace("_", " ").lower()


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\u2026"
