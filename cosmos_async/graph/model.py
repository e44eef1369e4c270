"""
The nodes of a dbt project that become tasks, and the tests that belong to them.

Small on purpose: a DAG file is imported again and again, so what is kept between imports holds only what a DAG needs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from cosmos_async.constants import DbtResourceType
from cosmos_async.exceptions import ProjectError
from cosmos_async.plan.ownership import Place, is_source


class Configured:
    """What its author configures as a task, by dbt's ``meta``."""

    unique_id: str
    original_file_path: str
    meta: dict[str, Any]

    @property
    def resource_name(self) -> str:
        """Its name as in its unique id, a version or a test's hash included: ``orders.v2``."""
        return self.unique_id.split(".", 2)[2]

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
class Settings:
    """
    A node's configuration but for ``meta`` and ``materialized``.

    dbt writes some thirty keys for every node, nearly all of them with the same values: these are kept once.
    """

    usual: dict[str, Any] = field(
        default_factory=dict
    )  #: shared by the nodes of a kind that have the same keys
    own: dict[str, Any] = field(default_factory=dict)  #: what differs from them


@dataclass(frozen=True)
class Node(Configured):
    """A model, seed, snapshot or function that ``dbt build`` builds; a source or an exposure has the same shape."""

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
    #: What the manifest names above it: sources and what is not selected as well; where that is the same, the same tuple.
    parents: tuple[str, ...] = ()
    settings: Settings = field(default_factory=Settings)  #: dbt's further configuration

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
        """dbt's configuration of the node."""
        built = {"materialized": self.materialized} if self.materialized else {}
        return {**self.settings.usual, **self.settings.own, **built, "meta": self.meta}


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
    parents: tuple[str, ...] = ()  #: as of a node

    resource_type = DbtResourceType.TEST
    fqn: ClassVar[tuple[str, ...]] = ()  #: not kept, as are its tags
    tags: ClassVar[tuple[str, ...]] = ()

    @property
    def name(self) -> str:
        """The test's name without dbt's hash."""
        return self.unique_id.split(".", 3)[2]

    @property
    def package_name(self) -> str:
        """The dbt project or package that it comes from."""
        return self.unique_id.split(".", 2)[1]

    @property
    def config(self) -> dict[str, Any]:
        """What is kept of dbt's configuration of the test."""
        return {"meta": self.meta}


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
    #: Those that are selected; they become tasks only by an author's converter.
    exposures: dict[str, Node] = field(default_factory=dict)

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
