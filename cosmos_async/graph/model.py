"""
The nodes of a dbt project that become tasks, and the tests that belong to them.

Small on purpose: a DAG file is imported again and again, so what is kept between imports holds only what a DAG needs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cosmos_async.constants import DbtResourceType
from cosmos_async.exceptions import ProjectError
from cosmos_async.plan.ownership import Place, is_source

FORMAT = 6  # of the kept JSON; another number is as good as nothing kept


class Configured:
    """What its author configures as a task, by dbt's ``meta``."""

    unique_id: str
    original_file_path: str
    meta: dict[str, Any]

    @property
    def owner(self) -> str:
        """The owner named in the node's ``meta``, several with commas between them, or an empty string."""
        owner = self.meta.get("owner") or ""
        return ", ".join(map(str, owner)) if isinstance(owner, (list, tuple)) else str(owner)

    @property
    def operator_kwargs(self) -> dict[str, Any]:
        """
        The task arguments in the node's ``meta.cosmos.operator_kwargs``.

        Raises:
            ProjectError: They are not a mapping, or the node asks for a profile of its own.
        """
        settings = self.meta.get("cosmos") or {}
        kwargs = settings.get("operator_kwargs") or {} if isinstance(settings, dict) else None
        if not isinstance(kwargs, dict):
            raise ProjectError(
                f"{self.unique_id} ({self.original_file_path}): meta.cosmos and its operator_kwargs must be mappings."
            )
        if settings.get("profile_config"):
            raise ProjectError(
                f"{self.unique_id} ({self.original_file_path}): meta.cosmos.profile_config is not supported, as one dbt "
                "plans all nodes of a run with one profile. Remove it, or give the node's models a DbtTaskGroup with "
                "a ProfileConfig of their own."
            )
        return dict(kwargs)


@dataclass(frozen=True)
class Node(Configured):
    """A model, seed, snapshot or function that ``dbt build`` builds."""

    unique_id: str
    resource_type: DbtResourceType
    package_name: str
    fqn: tuple[str, ...]  #: dbt's path to the node; selects it alone
    original_file_path: str  #: relative to its project
    tags: tuple[str, ...] = ()
    materialized: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    description: str = ""  #: dbt's, shortened
    #: The nearest selected nodes above it. A node left out by the selection passes on its own parents, as in dbt.
    depends_on: tuple[str, ...] = ()

    @property
    def resource_name(self) -> str:
        """The node's name as in its unique id, version included: ``orders.v2``."""
        return self.unique_id.split(".", 2)[2]

    @property
    def name(self) -> str:
        """The node's name as tasks and groups carry it: ``orders_v2``."""
        return self.resource_name.replace(".", "_")

    @property
    def is_ephemeral(self) -> bool:
        """Whether dbt builds nothing for it."""
        return self.materialized == "ephemeral"

    @property
    def config(self) -> dict[str, Any]:
        """What is kept of dbt's configuration of the node."""
        return {"materialized": self.materialized, "tags": list(self.tags), "meta": self.meta}


@dataclass(frozen=True)
class Test(Configured):
    """A generic or singular data test."""

    __test__ = False  # not a test case, whatever its name says

    unique_id: str
    depends_on: tuple[str, ...]  #: its parents among the selected nodes, each once
    place: Place  #: who executes it, and who waits for it
    #: The nearest selected nodes above its parents that are not selected. In dbt these wait for the tests of what is above
    #: them, selected or not, and so does this one.
    after: tuple[str, ...] = ()
    original_file_path: str = ""
    meta: dict[str, Any] = field(default_factory=dict)  #: what of it is about tasks

    @property
    def name(self) -> str:
        """The test's name without dbt's hash."""
        return self.unique_id.split(".", 3)[2]


@dataclass(frozen=True)
class UnitTest(Configured):
    """A unit test of a model."""

    unique_id: str
    model: str  #: the model it decides about
    original_file_path: str = ""
    meta: dict[str, Any] = field(default_factory=dict)  #: what of it is about tasks


@dataclass(frozen=True)
class Source:
    """A source that is selected, and so may have a task for its freshness."""

    node: Node  #: what names its tasks; never among a graph's nodes
    has_freshness: bool = False  #: whether dbt can tell a fresh one from a stale one
    is_read: bool = False  #: whether a selected node reads it directly
    holds_back: tuple[str, ...] = ()  #: the nearest selected nodes that stand on it


@dataclass(frozen=True)
class Graph:
    """What a selection of a dbt project holds."""

    project_name: str  #: dbt's name for it
    nodes: dict[str, Node]
    tests: dict[str, Test]
    unit_tests: dict[str, UnitTest] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)

    @cached_property
    def tested(self) -> frozenset[str]:
        """The nodes that are a parent of at least one test."""
        return frozenset(parent for test in self.tests.values() for parent in test.depends_on)

    @cached_property
    def tested_alone(self) -> frozenset[str]:
        """The nodes that are the only parent of at least one test."""
        return frozenset(
            parent for test in self.tests.values() if not test.place.several for parent in test.depends_on
        )

    @cached_property
    def unit_tested(self) -> frozenset[str]:
        """The models that have unit tests."""
        return frozenset(test.model for test in self.unit_tests.values())

    @cached_property
    def tested_sources(self) -> dict[str, tuple[str, ...]]:
        """The sources with tests of their own, each with the nodes that wait for these."""
        return {
            test.place.owner: test.place.holds_back
            for test in self.tests.values()
            if test.place.owner is not None and is_source(test.place.owner)
        }

    @cached_property
    def other_tests(self) -> list[str]:
        """The tests that hold nothing back and stand on nothing that is selected."""
        return sorted(test.unique_id for test in self.tests.values() if test.place.owner is None)

    def check_names(self) -> None:
        """
        Make sure that each node can have tasks of its own.

        Raises:
            ProjectError: Two nodes share a name.
        """
        names = Counter(node.name for node in self.nodes.values())
        for name, count in names.items():
            if count > 1:
                same = sorted(node.unique_id for node in self.nodes.values() if node.name == name)
                raise ProjectError(
                    f"{' and '.join(same)} would have the same tasks, as both are named {name!r}. Rename one of them "
                    "(an `alias` keeps its table's name), or select only one of them in this DAG."
                )

    def to_json(self) -> dict[str, Any]:
        """Return the graph as JSON-able data: positions instead of ids, as ids are long and often repeated."""
        position = {unique_id: index for index, unique_id in enumerate(self.nodes)}
        return {
            "format": FORMAT,
            "project_name": self.project_name,
            "nodes": [
                [*_row(node), [position[parent] for parent in node.depends_on]]
                for node in self.nodes.values()
            ],
            "tests": [
                [
                    test.unique_id,
                    [position[parent] for parent in test.depends_on],
                    position.get(test.place.owner or "", test.place.owner),
                    [position[node] for node in test.place.holds_back],
                    test.place.several,
                    [position[node] for node in test.after],
                    test.original_file_path,
                    test.meta,
                ]
                for test in self.tests.values()
            ],
            "unit_tests": [
                [test.unique_id, position[test.model], test.original_file_path, test.meta]
                for test in self.unit_tests.values()
            ],
            "sources": [
                [
                    *_row(source.node),
                    source.has_freshness,
                    source.is_read,
                    [position[node] for node in source.holds_back],
                ]
                for source in self.sources.values()
            ],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Graph:
        """
        Return the graph that :meth:`to_json` wrote.

        Raises:
            ValueError: The document is something else, or of another format.
        """
        try:
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']} is not {FORMAT}")
            ids = [row[0] for row in document["nodes"]]
            nodes = {
                row[0]: _from_row(row, tuple(ids[index] for index in row[9])) for row in document["nodes"]
            }
            tests = {
                row[0]: Test(
                    row[0],
                    tuple(ids[index] for index in row[1]),
                    Place(
                        ids[row[2]] if isinstance(row[2], int) else row[2],
                        tuple(ids[index] for index in row[3]),
                        row[4],
                    ),
                    tuple(ids[index] for index in row[5]),
                    row[6],
                    row[7],
                )
                for row in document["tests"]
            }
            unit_tests = {
                row[0]: UnitTest(row[0], ids[row[1]], row[2], row[3]) for row in document["unit_tests"]
            }
            sources = {
                row[0]: Source(_from_row(row), row[9], row[10], tuple(ids[index] for index in row[11]))
                for row in document["sources"]
            }
            return cls(document["project_name"], nodes, tests, unit_tests, sources)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError(f"not a graph: {error!r}") from error


_KINDS = {kind.value: kind for kind in DbtResourceType}


def _row(node: Node) -> list[Any]:
    return [
        node.unique_id,
        node.resource_type.value,
        node.package_name,
        node.fqn,
        node.original_file_path,
        node.tags,
        node.materialized,
        node.meta,
        node.description,
    ]


def _from_row(row: list[Any], depends_on: tuple[str, ...] = ()) -> Node:
    return Node(
        row[0],
        _KINDS[row[1]],
        row[2],
        tuple(row[3]),
        row[4],
        tuple(row[5]),
        row[6],
        row[7],
        row[8],
        depends_on,
    )
