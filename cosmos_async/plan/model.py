"""
The plan: what dbt would do on BigQuery, as pure data.

Setup records it, the store keeps it, the trigger carries it out. It knows neither Airflow nor dbt nor HTTP. A node's
plan is an ordered list of steps: operations that write, and between them the guards, which repeat every read that
dbt made at this position. As long as they answer as planned, the operations are what dbt would have sent. Where dbt reads
what the node has just written and writes it back changed, a native operation does so at that moment.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, Union

from cosmos_async.exceptions import PlanDamaged, PlanVersionMismatch

FORMAT = 7  # raise it when an older reader would misunderstand; say so in the changelog
#: Bytes of node plans that are read at once. From the same region this takes hardly longer than a few kilobytes do, and it is
#: some 200 nodes: most runs' plans are one block, and one of thousands of nodes is a handful.
BLOCK = 1024 * 1024

Json = dict[str, Any]


class Level(str, Enum):
    """How a node is executed, cheapest first."""

    STATIC = "S"  #: operations only
    GUARDED = "G"  #: operations between guards
    NATIVE = "N"  #: with read-modify-write steps of the executor
    LATE = "L"  #: planned by a worker once the nodes before it are built
    DBT = "D"  #: real dbt on a worker

    @property
    def word(self) -> str:
        """The letter's meaning, for people."""
        return {"S": "static", "G": "guarded", "N": "native", "L": "late", "D": "real dbt"}[self.value]


class GuardKind(str, Enum):
    """What a guard reads, and so how the answer is projected (see ``cosmos_async.plan.projection``)."""

    TARGET_STATE = "target_state"  #: tables.get of the node's relation: absent, or its type
    TABLE = "table"  #: tables.get: type, schema, partitioning, clustering; None when absent
    SETTINGS = "settings"  #: tables.get: as TABLE, and the options dbt compares a materialized view's configuration with
    DATASET = "dataset"  #: datasets.get: location; None when absent
    LISTING = "listing"  #: names and types of a dataset's ``tables`` or ``routines``, or of a project's ``datasets``
    ROWS = "rows"  #: the rows a query returns
    SCHEMA = "schema"  #: the fields a query would return, by dry run


@dataclass(frozen=True)
class Guard:
    """One read that dbt made while planning, to be repeated at the same position."""

    kind: GuardKind
    subject: str  #: as a person calls it: ``project.dataset.table``, or the query's first words
    request: Json  #: project/dataset/table, or project/location/configuration of the query
    expected: Any  #: the projection of the answer the plan was made for
    predicted: bool = False  #: foretold (by dry run, or from this run's own writes) rather than read
    early: bool = False  #: asked before the node's first write as well; stands for one that comes in its place behind it
    assumed: bool = False  #: of what the run itself changes before the node's turn, read as it was when the run was planned


@dataclass(frozen=True)
class JobOperation:
    """Insert one BigQuery job (query, load or copy) and wait for it."""

    purpose: str  #: for the log: ``main``, ``pre-hook``, ``create temporary table``, ...
    project: str  #: the project that runs and pays for it
    location: str | None  #: None lets BigQuery follow the data
    configuration: Json  #: the REST body's ``configuration``, labels included, exactly as dbt would send it
    main: bool = False  #: dbt's ``main`` statement: its statistics become the node's adapter_response
    rows: bool = False  #: its rows are the node's outcome (a test)
    shared: str | None = None  #: the run needs this once, under this name (``create_schema:project.dataset``)
    upload: str | None = None  #: name of the store's object that holds the bytes of a load job
    upload_digest: str | None = None  #: SHA-256 of these bytes

    @property
    def is_central(self) -> bool:
        """Whether it does what its node is there for: dbt's main statement, a test's query, a seed's load, a copied table."""
        return self.main or self.rows or self.purpose in ("load", "copy")


@dataclass(frozen=True)
class CallOperation:
    """Send one REST call that changes metadata: delete or patch a table or a dataset."""

    purpose: str
    method: str  #: DELETE, PATCH, POST or PUT
    path: str  #: below ``/bigquery/v2/``, such as ``projects/p/datasets/d/tables/t``
    body: Json | None = None
    missing_ok: bool = False  #: a 404 is as good as success (dbt's ``not_found_ok``)


class NativeKind(str, Enum):
    """What a native operation does."""

    #: Read the table's schema, put descriptions and policy tags into it, write it back (dbt's ``update_columns``).
    #: The payload: ``columns``, by name or dotted path, each with what dbt knows of it (``description``,
    #: ``policy_tags``, ``quote``); ``checked``: whether dbt leaves out, with a warning, those the table lacks;
    #: ``keep_tags``, if it is there: whether policy tags stay as they are.
    UPDATE_COLUMNS = "update_columns"
    #: Ask for the relation's grants, revoke what is too much, grant what is missing (dbt's ``apply_grants``).
    #: The payload: ``grants`` wanted, grantees by privilege; ``show`` and ``apply``, the two jobs (``project``,
    #: ``location``, ``configuration``; the second one's SQL is made then); ``texts`` it is made of, see
    #: :mod:`cosmos_async.dbt_rules.grants`.
    GRANTS = "grants"
    #: Put an entry into a dataset's access list, unless it is there (dbt's ``grant_access_to``). The payload: ``entry``.
    GRANT_ACCESS = "grant_access"
    #: Add columns to the table's schema (dbt's ``alter_table_add_columns`` and ``alter_table_add_remove_columns``).
    #: The payload: ``columns``, new fields by dotted path, and ``replacing``; see :func:`cosmos_async.dbt_rules.columns.with_added`.
    ADD_COLUMNS = "add_columns"
    #: Give records the shape of the new data (dbt's ``sync_struct_columns``). The payload: ``columns``, the records'
    #: names, and ``source``, the table (project/dataset/table) of the new data.
    SYNC_STRUCTS = "sync_structs"
    #: Copy the partitions that a query finds to the table, one after the other (dbt's ``copy_partitions``). The payload:
    #: ``find``, the query, and ``copy``, the copy of the whole tables (as in ``GRANTS``), and ``pattern``; see
    #: :mod:`cosmos_async.dbt_rules.partitions`.
    COPY_PARTITIONS = "copy_partitions"


@dataclass(frozen=True)
class NativeOperation:
    """Change what is there by then, as dbt reads it first; repeating it changes nothing more."""

    kind: NativeKind
    request: Json  #: project/dataset/table; without a table for a dataset
    payload: Json  #: what to write; see the kind


Step = Union[Guard, JobOperation, CallOperation, NativeOperation]


@dataclass(frozen=True)
class Batch:
    """One batch of a microbatch model: a window of event time, and what dbt would do for it."""

    name: str  #: dbt's own, such as ``2024-01-01``
    start: str  #: ISO 8601, inclusive
    end: str  #: exclusive
    steps: tuple[Step, ...]
    at_once: int = 1  #: how many of its kind dbt would run at the same time; 1 means alone


@dataclass(frozen=True)
class TestRule:
    """How a test's row becomes its status; dbt's own configs."""

    __test__ = False  # not a test case, whatever its name says

    severity: str = "ERROR"
    warn_if: str = "!= 0"
    error_if: str = "!= 0"
    warn_error: bool = False  #: ``--warn-error``: a warning fails


@dataclass(frozen=True)
class FreshnessRule:
    """How old a source may be, and what tells; dbt's own configs."""

    criteria: Json  #: ``warn_after``, ``error_after`` and ``filter``, as dbt's ``sources.json`` has them
    #: project/dataset/table, of which BigQuery tells when it was changed; None where the row of the plan's query tells
    table: Json | None = None


@dataclass(frozen=True)
class NodePlan:
    """What dbt would do for one node."""

    unique_id: str
    name: str
    resource_type: str  #: dbt's word: model, test, seed, snapshot, unit_test, ...
    level: Level
    reason: str = ""  #: why it is not cheaper; empty for S
    materialized: str | None = None
    relation: str | None = None  #: ``project.dataset.table``
    fqn: tuple[str, ...] = ()  #: dbt's own path to the node; selects it alone for real dbt
    file: str | None = None  #: the node's file, relative to the dbt project
    compiled_code: str | None = None
    steps: tuple[Step, ...] = ()
    test: TestRule | None = None
    message: str | None = (
        None  #: dbt's fixed message where it does not depend on a job (copy materialization, no-op)
    )
    response: Json | None = None  #: dbt's fixed adapter response, as for the message
    batches: tuple[Batch, ...] = ()  #: a microbatch model's, in dbt's order; it has no steps of its own
    freshness: FreshnessRule | None = None  #: a source's

    @property
    def assumed(self) -> bool:
        """Whether it is right only if what the run changes before the node's turn is then as it was."""
        return any(isinstance(step, Guard) and step.assumed for step in self.steps)


@dataclass(frozen=True)
class IndexEntry:
    """What the whole run knows of one node."""

    name: str
    resource_type: str
    level: Level
    reason: str
    digest: str = ""  #: SHA-256 of the node plan's stored bytes
    owner: str | None = None  #: a test's owner; see :mod:`cosmos_async.plan.ownership`
    fqn: tuple[str, ...] = ()
    relation: str | None = None  #: what it builds, as ``project.dataset.table``
    offset: int = 0  #: where its plan begins in the object that has them all
    length: int = 0  #: of its plan, in bytes
    assumed: bool = False  #: see :attr:`NodePlan.assumed`


@dataclass(frozen=True)
class RunInfo:
    """Where a plan comes from and what all its nodes share."""

    dag_id: str
    run_id: str
    created_at: str  #: UTC, ISO 8601
    host: str  #: the machine whose setup task wrote it
    project_name: str
    target_name: str
    invocation_id: str
    dbt_version: str
    adapter_version: str
    package_version: str  #: of cosmos-async
    endpoint: str | None = None  #: the BigQuery endpoint dbt's profile names, if it names one
    parsed: str | None = None  #: SHA-256 of the parsed project in the store, if setup kept it
    projects: tuple[str, ...] = ()  #: in which its jobs run
    fail_fast: bool = False  #: the first node that fails ends the others
    #: Random, and part of every job's id: an id says which planned run it is of, and not just what that is called. All
    #: plans that setup makes while one DAG run is under way have the same.
    nonce: str = ""
    #: The nonce under which this DAG run was planned before it ended and was cleared; its outcomes go on counting.
    follows: str | None = None
    tasks: str | None = (
        None  #: SHA-256 of the graph of the run's tasks, where those may begin ahead of Airflow
    )
    ahead: bool = False  #: tasks may have begun ahead of Airflow, by this plan or by one before it
    planned_anew: bool = False  #: by a later try of setup: no further task begins ahead of Airflow
    threads: int = 0  #: dbt's: how many batches of its microbatch models run at once; 0 means no bound
    max_jobs: int = 0  #: how many of its jobs a triggerer runs at once; 0 means no bound
    full_refresh: bool = False  #: ``--full-refresh``, or what stands for it
    seeds_when_changed: bool = False  #: a seed is loaded only where that changes something


@dataclass(frozen=True)
class Hook:
    """One on-run-start hook: its part of the prelude."""

    unique_id: str
    name: str  #: dbt's own, such as ``shop.on-run-start.0``
    begin: int  #: the position of its first step
    end: int  #: the position after its last one
    needed: bool = False  #: dbt runs no node if it fails (``skip_nodes_if_on_run_start_fails``)
    compiled_code: str | None = None


@dataclass(frozen=True)
class Index:
    """The table of contents of a run's plan; written last."""

    run: RunInfo
    nodes: dict[str, IndexEntry]
    prelude: tuple[Step, ...] = ()  #: datasets, on-run-start hooks: shared operations before any node
    hooks: tuple[Hook, ...] = ()  #: which of these steps are whose
    plans: str = (
        ""  #: SHA-256 of the object that all node plans are in, see :mod:`cosmos_async.plan.node_plans`
    )
    format: int = field(default=FORMAT)

    @cached_property
    def blocks(self) -> dict[str, tuple[int, int]]:
        """
        Which bytes of all plans are read for a node: its own and those beside it, up to :data:`BLOCK`.

        The first one's position, and that after the last one.
        """
        found: dict[str, tuple[int, int]] = {}
        block: list[str] = []
        start = end = 0
        for unique_id, entry in sorted(self.nodes.items(), key=lambda item: item[1].offset):
            if entry.offset + entry.length - start > BLOCK:
                found.update(dict.fromkeys(block, (start, end)))
                block, start = [], entry.offset
            block.append(unique_id)
            end = entry.offset + entry.length
        found.update(dict.fromkeys(block, (start, end)))
        return found

    def tests_of(self, unique_id: str) -> list[str]:
        """Return the data tests that the test task of *unique_id* (a node, a source or a test) executes, sorted."""
        return self._owned(unique_id, "test")

    def unit_tests_of(self, unique_id: str) -> list[str]:
        """Return the unit tests that decide whether the model *unique_id* is built, sorted."""
        return self._owned(unique_id, "unit_test")

    def other_tests(self) -> list[str]:
        """Return the tests that belong to no task of their own or of a node, sorted."""
        return [test for test in self.all_tests() if self.nodes[test].owner is None]

    def all_tests(self) -> list[str]:
        """Return every test of the run, sorted."""
        return sorted(
            test for test, entry in self.nodes.items() if entry.resource_type in ("test", "unit_test")
        )

    def _owned(self, unique_id: str, resource_type: str) -> list[str]:
        return sorted(
            test
            for test, entry in self.nodes.items()
            if entry.owner == unique_id and entry.resource_type == resource_type
        )


_STEP_NAMES = {Guard: "guard", JobOperation: "job", CallOperation: "call", NativeOperation: "native"}


def _step_to_json(step: Step) -> Json:
    return {
        "step": _STEP_NAMES[type(step)],
        **{name: value for name, value in asdict(step).items() if value is not None},
    }


def _step_from_json(document: Json) -> Step:
    values = dict(document)
    kind = values.pop("step")
    if kind == "guard":
        values["kind"] = GuardKind(values["kind"])
        values.setdefault("expected", None)
        return Guard(**values)
    if kind == "job":
        values.setdefault("location", None)
        return JobOperation(**values)
    if kind == "call":
        return CallOperation(**values)
    if kind == "native":
        values["kind"] = NativeKind(values["kind"])
        return NativeOperation(**values)
    raise ValueError(f"unknown step {kind!r}")


def _steps_from_json(documents: list[Json]) -> tuple[Step, ...]:
    return tuple(_step_from_json(document) for document in documents)


def _dump(document: Json) -> bytes:
    # Never sorted: the order of columns, grants or parameters is a part of what dbt would do. The order in which the
    # classes above name their fields makes equal plans equal bytes, so that a digest can speak for them.
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _parse(data: bytes, what: str) -> Json:
    try:
        document = json.loads(data)
        found = document["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise PlanDamaged(
            f"{what} is not a readable plan ({error}). Clear the setup task to write it anew."
        ) from error
    if found != FORMAT:
        raise PlanVersionMismatch(
            f"{what} was written in plan format {found}, and this process reads format {FORMAT}. "
            "Setup and triggerer run different versions of cosmos-async: install the same one on all "
            "Airflow components, restart the triggerer, then clear the setup task."
        )
    return document  # type: ignore[no-any-return]


def dump_node(plan: NodePlan) -> bytes:
    """Return a node's plan as canonical JSON bytes."""
    document = asdict(plan)
    document["steps"] = [_step_to_json(step) for step in plan.steps]
    document["batches"] = [
        {**asdict(batch), "steps": [_step_to_json(step) for step in batch.steps]} for batch in plan.batches
    ]
    return _dump({"format": FORMAT, **document})


def load_node(data: bytes, *, what: str = "the node's plan") -> NodePlan:
    """
    Return the plan that :func:`dump_node` wrote.

    Raises:
        PlanDamaged: The bytes are not a plan.
        PlanVersionMismatch: Another format version wrote it.
    """
    document = _parse(data, what)
    try:
        del document["format"]
        document["level"] = Level(document["level"])
        document["fqn"] = tuple(document["fqn"])
        document["steps"] = _steps_from_json(document["steps"])
        document["batches"] = tuple(
            Batch(**{**batch, "steps": _steps_from_json(batch["steps"])}) for batch in document["batches"]
        )
        if document["test"] is not None:
            document["test"] = TestRule(**document["test"])
        if document["freshness"] is not None:
            document["freshness"] = FreshnessRule(**document["freshness"])
        return NodePlan(**document)
    except (KeyError, TypeError, ValueError) as error:
        raise PlanDamaged(
            f"{what} is not a readable plan ({error}). Clear the setup task to write it anew."
        ) from error


def dump_index(index: Index) -> bytes:
    """Return an index as canonical JSON bytes."""
    document = asdict(index)
    document["prelude"] = [_step_to_json(step) for step in index.prelude]
    return _dump(document)


def load_index(data: bytes, *, what: str = "the plan's index") -> Index:
    """
    Return the index that :func:`dump_index` wrote.

    Raises:
        PlanDamaged: The bytes are not an index.
        PlanVersionMismatch: Another format version wrote it.
    """
    document = _parse(data, what)
    try:
        nodes = {
            unique_id: IndexEntry(**{**entry, "level": Level(entry["level"]), "fqn": tuple(entry["fqn"])})
            for unique_id, entry in document["nodes"].items()
        }
        prelude = tuple(_step_from_json(step) for step in document["prelude"])
        hooks = tuple(Hook(**hook) for hook in document["hooks"])
        run = RunInfo(**{**document["run"], "projects": tuple(document["run"]["projects"])})
        return Index(run=run, nodes=nodes, prelude=prelude, hooks=hooks, plans=document["plans"])
    except (KeyError, TypeError, ValueError) as error:
        raise PlanDamaged(
            f"{what} is not a readable plan ({error}). Clear the setup task to write it anew."
        ) from error
