"""
From a node's events to its steps: guards where dbt read, operations where it wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cosmos_async.plan.model import (
    CallOperation,
    Guard,
    GuardKind,
    JobOperation,
    Json,
    Level,
    NativeKind,
    NativeOperation,
    Step,
)
from cosmos_async.plan.projection import (
    project_dataset,
    project_fields,
    project_listing,
    project_rows,
    project_settings,
    project_table,
    project_target,
)
from cosmos_async.plan.store import upload_object

_READS = frozenset(("relation", "table", "settings", "dataset", "listing", "rows", "schema"))
#: Why a node needs the executor's own hand.
_NATIVE = {
    "update_columns": "describes the columns that its table has by then",
    "grants": "compares its grants with those its relation has by then",
    "grant_access": "changes the access list of a dataset",
    "add_columns": "writes its table's columns back, with new ones if there are any",
    "sync_structs": "changes the fields of its table's records",
    "copy_partitions": "copies the partitions that its new data has by then",
}
_LONGEST_SUBJECT = 80  # characters
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


class NotStatic(Exception):
    """This cannot be expressed as steps; the message is a sentence for a person."""


@dataclass(frozen=True)
class Made:
    """A node's steps and what they cost."""

    steps: tuple[Step, ...]
    level: Level
    reason: str


class Steps:
    """
    Makes the steps of one node.

    Args:
        recording: The whole recording.
        node: The node's description.
        schemas: The steps that create a dataset, by ``project.dataset``, for each the run creates.
        own: The node's own events; None means all that were recorded.
        begins: Whether the node begins with them; later batches of a model do not.
    """

    def __init__(
        self,
        recording: Json,
        node: Json,
        schemas: Mapping[str, tuple[Step, ...]],
        *,
        own: list[Json] | None = None,
        begins: bool = True,
    ) -> None:
        self._recording = recording
        self._node = node
        self._schemas = schemas
        self._own: list[Json] = recording["events"].get(node["unique_id"], []) if own is None else own
        self._begins = begins
        self._reasons: list[str] = []

    def make(self) -> Made:
        """
        Return the steps.

        Raises:
            NotStatic: Real dbt has to run this node.
        """
        # The inputs of a unit test are given, ephemeral models among them.
        inherits = self._begins and self._node["resource_type"] != "unit_test"
        events = [*(self._inherited(self._node, set()) if inherits else ()), *self._own]
        body = self._body(events)
        if not body:
            return Made((), Level.STATIC, "")
        writes = any(not isinstance(step, Guard) for step in body)
        if (
            self._node["resource_type"] in ("test", "unit_test")
            and sum(isinstance(step, JobOperation) and step.rows for step in body) != 1
        ):
            raise NotStatic("Its result does not come from one query, as dbt's own tests' do.")
        target = self._target() if writes and self._begins else None
        created = self._creates(events) if writes and self._begins else []
        rest = _with_early([step for step in body if step != target])
        steps = (*([target] if target else []), *created, *rest)
        if not self._reasons:
            return Made(steps, Level.STATIC, "")
        native = any(isinstance(step, NativeOperation) for step in steps)
        level = Level.NATIVE if native else Level.GUARDED
        return Made(steps, level, "It " + "; it ".join(dict.fromkeys(self._reasons)) + ".")

    def body(self) -> list[Step]:
        """
        Return what the node's own events say, in their order, and nothing around it.

        Raises:
            NotStatic: As for :meth:`make`.
        """
        return self._body(self._own)

    def _inherited(self, node: Json, seen: set[str]) -> list[Json]:
        # dbt compiles an ephemeral model once and puts it into each of its children: its reads are theirs.
        found: list[Json] = []
        for parent in node["depends_on"]:
            above = self._recording["nodes"].get(parent)
            if above is not None and above["ephemeral"] and parent not in seen:
                seen.add(parent)
                found.extend(self._inherited(above, seen))
                found.extend(event for event in self._recording["events"].get(parent, []))
        return found

    # -- guards and operations in their order ---------------------------------------------------------------------

    def _body(self, events: list[Json]) -> list[Step]:
        steps: list[Step] = []
        since: list[Guard] = []  # the guards since the last operation
        states: set[str] = set()  # dbt asks for a relation's state once, at the beginning of a run
        center = next((at for at, event in enumerate(events) if self._is_center(event)), len(events))
        for at, event in enumerate(events):
            if event["event"] not in _READS:
                steps.append(self._operation(event, before=at < center))
                since = []
                continue
            guard = self._guard(event)
            if guard is None or guard in since:
                continue
            if guard.kind is GuardKind.TARGET_STATE:
                if guard.subject in states:
                    continue
                states.add(guard.subject)
            since.append(guard)
            steps.append(guard)
        while steps and isinstance(steps[-1], Guard):
            steps.pop()  # nothing is written after it, so nothing depends on it
        return steps

    def _is_center(self, event: Json) -> bool:
        if event["event"] != "job":
            return False
        return bool(event["job_id"] == self._node["main_job"] or event["kind"] in ("load", "copy"))

    def _guard(self, event: Json) -> Guard | None:
        kind: str = event["event"]
        path: list[str] = event.get("path") or []
        if kind == "relation":
            if self._node["resource_type"] == "function" and path[-1] in (
                self._node["name"],
                self._node["alias"],
            ):
                return None  # it is created or replaced either way, and a table of its name is another thing
            if path != self._node["relation"]:
                self._reasons.append(f"asks whether {'.'.join(path)} exists")
            return _table_guard(GuardKind.TARGET_STATE, path, event["state"], predicted=event["predicted"])
        if kind == "table":
            self._reasons.append(f"reads the columns of {'.'.join(path)}")
            if not event["predicted"] or event["answer"] is None:
                return _table_guard(
                    GuardKind.TABLE, path, project_table(event["answer"]), predicted=event["predicted"]
                )
            # What was foretold are its columns, and they are all that dbt looks at in a table it has just made.
            query = {"query": f"select * from `{'.'.join(path)}`", "useLegacySql": False}
            fields: list[Json] = (event["answer"].get("schema") or {}).get("fields") or []
            return self._schema_guard(
                {"project": self._recording["execution_project"], "location": self._recording["location"]},
                query,
                ".".join(path),
                fields,
                predicted=True,
            )
        if kind == "settings":
            self._reasons.append(f"reads the settings of {'.'.join(path)}")
            return _table_guard(GuardKind.SETTINGS, path, project_settings(event["answer"]), predicted=False)
        if kind == "dataset":
            self._reasons.append(f"reads the dataset {'.'.join(path)}")
            request = {"project": path[0], "dataset": path[1]}
            return Guard(GuardKind.DATASET, ".".join(path), request, project_dataset(event["answer"]))
        if kind == "listing":
            return self._listing_guard(event)
        if kind == "schema":
            self._reasons.append("reads the columns of a query")
            query = event["request"]["configuration"]["query"]
            return self._schema_guard(
                event["request"],
                query,
                _subject(query["query"]),
                event["answer"],
                predicted=event["predicted"],
            )
        self._reasons.append("reads the rows of a query")
        return _rows_guard(event)

    def _listing_guard(self, event: Json) -> Guard:
        what, path = event["what"], event["path"]
        self._reasons.append(f"lists the {what} of {'.'.join(path)}")
        request = {"what": what, **dict(zip(("project", "dataset"), path)), "ignored": event["ignored"]}
        expected = project_listing(event["answer"], ignored=event["ignored"])
        return Guard(GuardKind.LISTING, f"the {what} of {'.'.join(path)}", request, expected)

    @staticmethod
    def _schema_guard(
        request: Json, query: Json, subject: str, fields: list[Json], *, predicted: bool
    ) -> Guard:
        asked = {
            "project": request["project"],
            "location": request["location"],
            "configuration": {"dryRun": True, "query": query},
        }
        return Guard(GuardKind.SCHEMA, subject, asked, project_fields(fields), predicted)

    def _operation(self, event: Json, *, before: bool) -> Step:
        if event["event"] == "native":
            return self._native(event)
        if event["event"] not in ("job", "call"):
            raise NotStatic(f"It does something that is not known here: {event['event']}.")
        operation = _operation(event, _purpose(event, main=self._node["main_job"], before=before))
        if isinstance(operation, JobOperation):
            return replace(operation, main=event["job_id"] == self._node["main_job"], rows=event["rows"])
        return operation

    def _native(self, event: Json) -> NativeOperation:
        self._reasons.append(_NATIVE[event["kind"]])
        request = dict(zip(("project", "dataset", "table"), event["path"]))
        return NativeOperation(NativeKind(event["kind"]), request, event["payload"])

    # -- what comes first -----------------------------------------------------------------------------------------

    def _target(self) -> Guard | None:
        """Return the guard for the state of the node's own relation when the run began."""
        path = self._node["relation"]
        if path is None or self._node["resource_type"] == "function":
            return None
        for event in self._own:
            if event["event"] == "relation" and event["path"] == path:
                return _table_guard(
                    GuardKind.TARGET_STATE, path, event["state"], predicted=event["predicted"]
                )
            if event["event"] == "table" and event["path"] == path and not event["predicted"]:
                return _table_guard(
                    GuardKind.TARGET_STATE, path, project_target(event["answer"]), predicted=False
                )
        dataset = ".".join(path[:2])
        listing = self._recording["run"]["listings"].get(dataset)
        if listing is None and dataset not in self._schemas:
            raise NotStatic(f"dbt did not look whether {'.'.join(path)} exists.")
        return _table_guard(
            GuardKind.TARGET_STATE, path, (listing or {}).get(path[2], "absent"), predicted=False
        )

    def _creates(self, events: list[Json]) -> list[Step]:
        """Return the steps that create the datasets the node writes into, where the run has to create them."""
        relation = self._node["relation"]
        own = ".".join(relation[:2]) if relation else None
        # A hook may write into another dataset than the node's own; functions and unit tests have no relation at all.
        everywhere = self._node["resource_type"] in ("unit_test", "function")
        hooks = [
            _sql(event).replace("`", "") for event in events if everywhere or "run_hooks" in event["macros"]
        ]
        return [
            step
            for dataset, steps in sorted(self._schemas.items())
            if dataset == own or any(_mentions(text, dataset.split(".")[1]) for text in hooks)
            for step in steps
        ]


def create_schemas(events: Iterable[Json]) -> dict[str, tuple[Step, ...]]:
    """
    Return the steps that create each dataset a run lacks, by ``project.dataset``.

    Raises:
        NotStatic: The run writes something else before its nodes.
    """
    found: dict[str, list[Step]] = {}
    for event in events:
        if event["event"] in _READS:
            continue
        dataset = event.get("dataset")
        if dataset is None or event["event"] != "job":
            raise NotStatic(
                f"it sends {event.get('method') or _subject(_sql(event))} and belongs to no node."
            )
        steps = found.setdefault(dataset, [])
        name = f"create_schema:{dataset}" + (f".{len(steps)}" if steps else "")
        steps.append(_shared(event, "create schema", name))
    return {dataset: tuple(steps) for dataset, steps in found.items()}


def hook_steps(recording: Json, unique_id: str, name: str) -> list[Step]:
    """
    Return the steps of an on-run-start hook.

    Args:
        recording: The whole recording.
        unique_id: The hook's.
        name: What its jobs are called, as all tasks of the run share them.

    Raises:
        NotStatic: The hook does what cannot be done once for all tasks.
    """
    hook: Json = {
        "unique_id": unique_id,
        "relation": None,
        "resource_type": "operation",
        "main_job": None,
        "depends_on": [],
    }
    found: list[Step] = []
    events = recording["events"].get(unique_id, [])
    # Which datasets there are is asked when a run begins, by dbt itself as by hooks: that is now.
    own = [event for event in events if event["event"] != "dataset"]
    for step in Steps(recording, hook, {}, own=own).body():
        if isinstance(step, JobOperation):
            step = replace(step, purpose="on-run-start", shared=f"{name}.{len(found)}")
        elif isinstance(step, CallOperation):
            raise NotStatic(f"It sends {step.method} {step.path}.")
        elif isinstance(step, NativeOperation):
            raise NotStatic(f"It {_NATIVE[step.kind.value]}.")
        found.append(step)
    return found


def _with_early(steps: list[Step]) -> list[Step]:
    """
    Let guards that come behind a write be asked before the first one as well.

    Most of them ask about what the node does not write, and a difference costs nothing as long as nothing has been written.
    None loses its place for that: what it asks may depend on the writes in ways that nobody can see from here (a view, a
    procedure), and the table may be changed while they run, when dbt would find it changed. Where they were foretold, their
    answers only come with the writes.
    """
    first = next((at for at, step in enumerate(steps) if not isinstance(step, Guard)), len(steps))
    asked = steps[:first]
    for step in steps[first:]:
        if isinstance(step, Guard) and not step.predicted and step not in asked:
            asked.append(step)
    early = [replace(step, early=True) for step in asked[first:] if isinstance(step, Guard)]
    return [*steps[:first], *early, *steps[first:]]


def _shared(event: Json, purpose: str, name: str) -> Step:
    operation = _operation(event, purpose)
    assert isinstance(operation, JobOperation)
    return replace(operation, shared=name)


def _operation(event: Json, purpose: str) -> JobOperation | CallOperation:
    if event["event"] == "call":
        return CallOperation(purpose, event["method"], event["path"], event["body"], event["missing_ok"])
    upload = event.get("upload")
    return JobOperation(
        purpose=purpose,
        project=event["project"],
        location=event["location"],
        configuration=event["configuration"],
        upload=upload_object(upload) if upload else None,
        upload_digest=upload,
    )


def _purpose(event: Json, *, main: str | None, before: bool) -> str:
    if event["event"] == "call":
        return {"DELETE": "drop", "PATCH": "describe"}.get(event["method"], str(event["method"]))
    if event["rows"]:
        return "test"
    if event["job_id"] == main:
        return "main"
    if "run_hooks" in event["macros"]:
        return "pre-hook" if before else "post-hook"
    if "apply_grants" in event["macros"]:
        return "grant"
    kind = str(event["kind"])
    if kind == "CREATE_TABLE_AS_SELECT":
        return "create temporary table" if "__dbt_tmp" in _sql(event) else "create table"
    return kind.lower().replace("_", " ")


def _table_guard(kind: GuardKind, path: list[str], expected: object, *, predicted: bool) -> Guard:
    project, dataset, table = path
    request = {"project": project, "dataset": dataset, "table": table}
    return Guard(kind, ".".join(path), request, expected, predicted)


def _rows_guard(event: Json) -> Guard:
    query = event["request"]["configuration"]["query"]
    rows = [row for page in event["pages"].values() for row in page]
    if event["total"] is None or len(rows) != event["total"]:
        raise NotStatic(f"It reads only a part of the rows of {_subject(query['query'])}.")
    return Guard(
        GuardKind.ROWS,
        _subject(query["query"]),
        {**event["request"], "ordered": event["ordered"]},
        project_rows({"rows": rows}, ordered=event["ordered"]),
        event.get("predicted", False),
    )


def _mentions(text: str, dataset: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(dataset)}\.", text) is not None


def _sql(event: Json) -> str:
    return str(event.get("configuration", {}).get("query", {}).get("query", ""))


def _subject(text: str) -> str:
    words = " ".join(_COMMENT.sub(" ", text).split())
    return words if len(words) <= _LONGEST_SUBJECT else words[: _LONGEST_SUBJECT - 1] + "…"
