"""
Lineage of a run, as OpenLineage tells it: what setup knows of it beforehand, and the event of one task. Pure.

Setup writes the document beside the plan where Airflow's OpenLineage provider is active; triggers make their events of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from cosmos_async.exceptions import PlanDamaged

LINEAGE_FILE = "lineage.json"  # beside the plan

Json = dict[str, Any]


@dataclass(frozen=True)
class RunLineage:
    """What all tasks of a run have in common; the values are those of the provider's own events."""

    moment: (
        str  #: the run's logical date, or when it might run at the earliest: a part of all run ids; ISO 8601
    )
    parent: Json  #: the facet ``parent``: the DAG run
    nominal: tuple[Optional[str], Optional[str]]  #: the data interval
    tags: tuple[str, ...]  #: the DAG's
    airflow: Json  #: of the facet ``airflow``: ``dag`` and ``dagRun``


@dataclass(frozen=True)
class TaskLineage:
    """What is known of one task before it runs."""

    owners: tuple[str, ...]
    description: Optional[str]
    description_type: Optional[str]  #: its MIME type
    airflow: Json  #: of the facet ``airflow``: ``task`` and ``taskInstance``
    facets: Json = field(default_factory=dict)  #: the user's own, of ``[openlineage] custom_run_facets``


@dataclass(frozen=True)
class NodeLineage:
    """A node or a source of the dbt project."""

    parents: tuple[str, ...]  #: unique ids
    relation: Optional[str] = (
        None  #: ``project.dataset.table``; None where it has no table, as an ephemeral model
    )
    description: Optional[str] = None
    columns: dict[str, tuple[Optional[str], Optional[str]]] = field(
        default_factory=dict
    )  #: those that dbt describes: type and description
    test: Optional[tuple[str, Optional[str]]] = None  #: of a test: its name (``not_null``) and its column


@dataclass(frozen=True)
class Lineage:
    """The document."""

    run: RunLineage
    tasks: dict[str, Optional[TaskLineage]]  #: by task id; None where no events of it are wanted
    nodes: dict[str, NodeLineage]  #: by unique id

    def inputs_of(self, unique_id: str, referenced: Iterable[str] = ()) -> list[str]:
        """
        Return the tables that a node reads, sorted.

        Args:
            unique_id: The node.
            referenced: Tables that its BigQuery jobs name. BigQuery names what is below a view as well, so those that the
                node's parents are made of are left out.
        """
        found = set(self._relations(self._parents(unique_id)))
        own = self._relation(unique_id)
        above = set(self._relations(self._ancestors(unique_id)))
        found |= {table for table in referenced if table not in above}
        return sorted(found - {own})

    def known(self, relation: str) -> NodeLineage | None:
        """Return the node or source whose table it is."""
        return next((node for node in self.nodes.values() if node.relation == relation), None)

    def _relation(self, unique_id: str) -> str | None:
        node = self.nodes.get(unique_id)
        return None if node is None else node.relation

    def _relations(self, unique_ids: Iterable[str]) -> Iterator[str]:
        for unique_id in unique_ids:
            relation = self._relation(unique_id)
            if relation is not None:
                yield relation

    def _parents(self, unique_id: str) -> Iterator[str]:
        """Return what a node reads from, where an ephemeral model stands for what it reads from."""
        node = self.nodes.get(unique_id)
        for parent in () if node is None else node.parents:
            yield parent
            if self._relation(parent) is None:
                yield from self._parents(parent)

    def _ancestors(self, unique_id: str) -> set[str]:
        seen: set[str] = set()
        left = list(self._parents(unique_id))
        while left:
            node = self.nodes.get(left.pop())
            for parent in () if node is None else node.parents:
                if parent not in seen:
                    seen.add(parent)
                    left.append(parent)
        return seen


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: Optional[str] = None
    description: Optional[str] = None
    fields: tuple[Column, ...] = ()  #: of a record


@dataclass(frozen=True)
class Assertion:
    """What a test has found of a table."""

    name: str
    column: Optional[str]
    success: bool


@dataclass(frozen=True)
class Dataset:
    """A table that a task reads or has built."""

    name: str  #: ``project.dataset.table``
    columns: tuple[Column, ...] = ()
    description: Optional[str] = None
    sources: dict[str, list[tuple[str, str]]] = field(
        default_factory=dict
    )  #: a column's origins: tables and their columns
    rows: Optional[int] = None  #: that were written
    size: Optional[int] = None  #: bytes that were written
    assertions: tuple[Assertion, ...] = ()


@dataclass(frozen=True)
class Tables:
    """What a task has done to tables, and by which BigQuery job."""

    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    sql: Optional[str] = None
    job: Optional[Json] = None  #: BigQuery's resource of the job that people look for


#: Of an event that tells of none.
NO_TABLES = Tables()


@dataclass(frozen=True)
class TaskEvent:
    """A task instance begins or ends."""

    dag_id: str
    task_id: str
    map_index: int
    try_number: int
    state: str  #: OpenLineage's word: ``START``, ``COMPLETE`` or ``FAIL``
    at: str  #: UTC, ISO 8601
    run: RunLineage
    task: TaskLineage
    tables: Tables = NO_TABLES
    error: Optional[str] = None


def dump_lineage(lineage: Lineage) -> bytes:
    """Return the document as JSON bytes."""
    return json.dumps(asdict(lineage), separators=(",", ":"), default=str).encode()


def load_lineage(data: bytes) -> Lineage:
    """
    Return what :func:`dump_lineage` wrote.

    Raises:
        PlanDamaged: The bytes are something else.
    """
    try:
        document = json.loads(data)
        run = document["run"]
        return Lineage(
            RunLineage(**{**run, "nominal": tuple(run["nominal"]), "tags": tuple(run["tags"])}),
            {
                name: None if task is None else TaskLineage(**{**task, "owners": tuple(task["owners"])})
                for name, task in document["tasks"].items()
            },
            {unique_id: _node(node) for unique_id, node in document["nodes"].items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PlanDamaged(f"{LINEAGE_FILE} is not what setup writes: {error}") from error


def _node(document: Mapping[str, Any]) -> NodeLineage:
    return NodeLineage(
        **{
            **document,
            "parents": tuple(document["parents"]),
            "columns": {name: tuple(column) for name, column in document["columns"].items()},
            "test": None if document["test"] is None else tuple(document["test"]),
        }
    )
