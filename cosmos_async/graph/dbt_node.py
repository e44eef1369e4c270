"""
What an author's functions see of the graph: dbt's nodes, by the names that Cosmos has for their attributes.

A :class:`DbtNode` is a look at what is kept of a project, made when somebody asks for it; nothing is stored twice.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_async.constants import DbtResourceType
from cosmos_async.exceptions import ProjectError

if TYPE_CHECKING:
    from cosmos_async.graph.model import Graph, Node, Test

_PACKAGES = "dbt_packages"  # dbt's own default for packages-install-path


class DbtNode:
    """
    A node of the dbt project: a model, seed, snapshot, function, source, exposure or test.

    Attributes are those of ``cosmos.dbt.graph.DbtNode`` (1.15). Of a test only what is about tasks is known of its
    ``config``: ``meta`` with ``owner`` and ``cosmos``.
    """

    __slots__ = ("_graph", "_node")

    def __init__(self, node: Node | Test, graph: DbtGraph) -> None:
        self._node = node
        self._graph = graph

    @property
    def unique_id(self) -> str:
        """dbt's id of it: ``model.shop.orders``."""
        return self._node.unique_id

    @property
    def resource_type(self) -> DbtResourceType:
        """What it is."""
        return self._node.resource_type

    @property
    def package_name(self) -> str:
        """The dbt project or package that it comes from."""
        return self._node.package_name

    @property
    def resource_name(self) -> str:
        """Its name as in its id: ``orders.v2``."""
        return self._node.resource_name

    @property
    def name(self) -> str:
        """Its name as in task ids: ``orders_v2``."""
        return self.resource_name.replace(".", "_")

    @property
    def fqn(self) -> list[str]:
        """dbt's path to it; empty for a test."""
        return list(self._node.fqn)

    @property
    def depends_on(self) -> list[str]:
        """The ids of what it reads, as the manifest names them: sources and what is not selected as well."""
        return list(self._node.parents)

    @property
    def downstream(self) -> list[str]:
        """The ids of what reads it, as far as that is selected; no tests."""
        return list(self._graph.children.get(self.unique_id, ()))

    @property
    def path_base(self) -> Path:
        """The folder of the project or package that it comes from."""
        return self._graph.path_of(self.package_name)

    @property
    def original_file_path(self) -> Path:
        """The path of its file, below :attr:`path_base`."""
        return Path(self._node.original_file_path)

    @property
    def file_path(self) -> Path:
        """The path of its file."""
        return self.path_base / self.original_file_path

    @property
    def tags(self) -> list[str]:
        """dbt's tags; none are known of a test."""
        return list(self._node.tags)

    @property
    def config(self) -> dict[str, Any]:
        """dbt's configuration, its whole ``meta`` included; a copy."""
        return copy.deepcopy(self._node.config)

    @property
    def meta(self) -> dict[str, Any]:
        """
        What stands below ``cosmos`` in its ``meta``, as in Cosmos; the whole is ``config["meta"]``.

        Raises:
            ProjectError: That is no mapping.
        """
        found = (self.config.get("meta") or {}).get("cosmos") or {}
        return self._mapping(found, "meta.cosmos")

    @property
    def owner(self) -> str:
        """The owner in its ``meta``, or an empty string."""
        return self._node.owner

    @property
    def operator_kwargs_to_override(self) -> dict[str, Any]:
        """The arguments for its task in ``meta.cosmos.operator_kwargs``."""
        return self._mapping(self.meta.get("operator_kwargs") or {}, "meta.cosmos.operator_kwargs")

    @property
    def profile_config_to_override(self) -> dict[str, Any]:
        """What ``meta.cosmos.profile_config`` asks for. Only a converter's own task can follow it."""
        return self._mapping(self.meta.get("profile_config") or {}, "meta.cosmos.profile_config")

    @property
    def has_freshness(self) -> bool:
        """Whether it is a source whose freshness dbt can judge."""
        source = self._graph.graph.sources.get(self.unique_id)
        return source is not None and source.has_freshness

    @property
    def has_test(self) -> bool:
        """Whether a selected data test depends on it."""
        return self._graph.has_test(self.unique_id)

    @property
    def has_non_detached_test(self) -> bool:
        """Whether one of these runs with it, where tests of several parents have tasks of their own."""
        return self._graph.has_test(self.unique_id, detached=self._graph.detach_tests)

    @property
    def has_ephemeral_materialization(self) -> bool:
        """Whether dbt builds nothing for it."""
        return str(self._node.config.get("materialized") or "").lower() == "ephemeral"

    @property
    def checksum(self) -> str | None:
        """The MD5 of a seed's file, None for everything else and where the file cannot be read."""
        if self.resource_type is not DbtResourceType.SEED:
            return None
        try:
            content = self.file_path.read_bytes()
        except OSError:
            return None
        return hashlib.md5(content, usedforsecurity=False).hexdigest()

    @property
    def context_dict(self) -> dict[str, Any]:
        """A part of this as JSON-able data, with Cosmos' keys."""
        return {
            "unique_id": self.unique_id,
            "resource_type": self.resource_type.value,
            "depends_on": self.depends_on,
            "file_path": str(self.file_path),
            "original_file_path": str(self.original_file_path),
            "tags": self.tags,
            "config": self.config,
            "has_test": self.has_test,
            "has_non_detached_test": self.has_non_detached_test,
            "resource_name": self.resource_name,
            "name": self.name,
            "checksum": self.checksum,
        }

    def _mapping(self, value: Any, what: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ProjectError(
                f"{self.unique_id} ({self._node.original_file_path}): {what} must be a mapping, and is {value!r}."
            )
        return value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DbtNode) and self._node == other._node

    def __hash__(self) -> int:
        return hash(self.unique_id)

    def __repr__(self) -> str:
        return f"DbtNode({self.unique_id!r})"


class DbtGraph:
    """
    The nodes of a DAG or task group, as ``dag.dbt_graph`` shows them.

    Args:
        graph: What is selected.
        project_path: The folder of the dbt project.
        detach_tests: Tests with several parents have tasks of their own.
    """

    def __init__(self, graph: Graph, project_path: Path, *, detach_tests: bool) -> None:
        self.graph = graph
        self.project_path = project_path
        self.detach_tests = detach_tests

    @property
    def filtered_nodes(self) -> Mapping[str, DbtNode]:
        """The selected nodes by their unique ids: what dbt builds, sources, exposures and data tests."""
        return _Nodes(self)

    @property
    def nodes(self) -> Mapping[str, DbtNode]:
        """The same: of what is not selected, nothing is kept."""
        return self.filtered_nodes

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """What reads a node, by its unique id."""
        found: dict[str, list[str]] = {}
        for node in (*self.graph.nodes.values(), *self.graph.exposures.values()):
            for parent in node.parents:
                found.setdefault(parent, []).append(node.unique_id)
        return found

    @cached_property
    def _tested(self) -> dict[str, bool]:
        """The parents of tests, each with whether it is the only one of one of them."""
        found: dict[str, bool] = {}
        for test in self.graph.tests.values():
            for parent in test.parents:
                found[parent] = found.get(parent, False) or len(test.parents) == 1
        return found

    @cached_property
    def detached_from_parent(self) -> dict[str, list[DbtNode]]:
        """The tests that have a task of their own as they have several parents, by each of these."""
        found: dict[str, list[DbtNode]] = {}
        for test in self.graph.tests.values() if self.detach_tests else ():
            for parent in test.parents if len(test.parents) > 1 else ():
                found.setdefault(parent, []).append(self.view(test))
        return found

    def has_test(self, unique_id: str, *, detached: bool = False) -> bool:
        """Return whether a test depends on a node; with *detached*, whether one depends on this node alone."""
        return self._tested.get(unique_id, False) if detached else unique_id in self._tested

    def path_of(self, package: str) -> Path:
        """Return the folder of a package, or of the project itself."""
        if package in ("", self.graph.project_name) or not self.graph.project_name:
            return self.project_path
        return self.project_path / _PACKAGES / package

    def view(self, node: Node | Test) -> DbtNode:
        """Return what an author's function gets for *node*."""
        return DbtNode(node, self)

    def __deepcopy__(self, memo: dict[int, Any]) -> DbtGraph:
        return self  # it never changes; a copy of a DAG needs none

    def __repr__(self) -> str:
        return f"DbtGraph({str(self.project_path)!r}, {len(self.filtered_nodes)} nodes)"


class _Nodes(Mapping[str, DbtNode]):
    def __init__(self, graph: DbtGraph) -> None:
        self._graph = graph

    def __getitem__(self, unique_id: str) -> DbtNode:
        graph = self._graph.graph
        source = graph.sources.get(unique_id)
        found = (
            graph.nodes.get(unique_id)
            or (source.node if source is not None else None)
            or graph.exposures.get(unique_id)
            or graph.tests.get(unique_id)
        )
        if found is None:
            raise KeyError(unique_id)
        return self._graph.view(found)

    def __iter__(self) -> Iterator[str]:
        graph = self._graph.graph
        for known in (graph.nodes, graph.sources, graph.exposures, graph.tests):
            yield from known

    def __len__(self) -> int:
        graph = self._graph.graph
        return sum(len(known) for known in (graph.nodes, graph.sources, graph.exposures, graph.tests))

    def __repr__(self) -> str:
        return repr(dict(self))
