"""
A graph as JSON-able data, as it is kept between two imports of a DAG file.

Small, as it is read at every import: positions instead of ids, as ids are long and often repeated, and each
configuration that many nodes share once. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cosmos_async.constants import DbtResourceType
from cosmos_async.graph.model import Graph, Node, Settings, Source, Test, UnitTest
from cosmos_async.plan.ownership import Place

FORMAT = 7  # another number is as good as nothing kept

_KINDS = {kind.value: kind for kind in DbtResourceType}


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """Return *graph* as JSON-able data."""
    return _Writer(graph).document()


def graph_from_json(document: dict[str, Any]) -> Graph:
    """
    Return the graph that :func:`graph_to_json` wrote.

    Raises:
        ValueError: The document is something else, or of another format.
    """
    try:
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']} is not {FORMAT}")
        return _Reader(document).graph()
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"not a graph: {error!r}") from error


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.position = {unique_id: index for index, unique_id in enumerate(graph.nodes)}
        self.usual: list[dict[str, Any]] = []
        self.places: dict[int, int] = {}  # of a shared configuration in that list, by its identity

    def document(self) -> dict[str, Any]:
        graph = self.graph
        return {
            "format": FORMAT,
            "project_name": graph.project_name,
            "nodes": [self._node(node) for node in graph.nodes.values()],
            "tests": [self._test(test) for test in graph.tests.values()],
            "unit_tests": [
                [test.unique_id, self.position[test.model], test.original_file_path, test.meta]
                for test in graph.unit_tests.values()
            ],
            "sources": [
                [
                    self._node(source.node),
                    source.has_freshness,
                    source.is_read,
                    self._positions(source.holds_back),
                ]
                for source in graph.sources.values()
            ],
            "exposures": [self._node(node) for node in graph.exposures.values()],
            "usual": self.usual,  # filled by now
        }

    def _positions(self, nodes: Iterable[str]) -> list[int]:
        return [self.position[unique_id] for unique_id in nodes]

    def _parents(self, parents: tuple[str, ...], depends_on: tuple[str, ...]) -> list[Any] | None:
        if parents == depends_on:
            return None
        return [self.position.get(unique_id, unique_id) for unique_id in parents]

    def _settings(self, settings: Settings) -> list[Any]:
        place = self.places.get(id(settings.usual))
        if place is None:
            place = self.places[id(settings.usual)] = len(self.usual)
            self.usual.append(settings.usual)
        return [place, settings.own] if settings.own else [place]

    def _node(self, node: Node) -> list[Any]:
        return [
            node.unique_id,
            node.resource_type.value,
            node.package_name,
            node.fqn,
            node.original_file_path,
            node.tags,
            node.materialized,
            node.meta,
            self._positions(node.depends_on),
            self._parents(node.parents, node.depends_on),
            self._settings(node.settings),
            node.description,
        ]

    def _test(self, test: Test) -> list[Any]:
        return [
            test.unique_id,
            self._positions(test.depends_on),
            self.position.get(test.place.owner or "", test.place.owner),
            self._positions(test.place.holds_back),
            test.place.several,
            self._positions(test.after),
            test.original_file_path,
            test.meta,
            self._parents(test.parents, test.depends_on),
        ]


class _Reader:
    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.ids = [row[0] for row in document["nodes"]]
        self.usual = document["usual"]

    def graph(self) -> Graph:
        document = self.document
        sources = [
            Source(self._node(row), has_freshness, is_read, self._named(holds_back))
            for row, has_freshness, is_read, holds_back in document["sources"]
        ]
        return Graph(
            document["project_name"],
            {row[0]: self._node(row) for row in document["nodes"]},
            {row[0]: self._test(row) for row in document["tests"]},
            {row[0]: UnitTest(row[0], self.ids[row[1]], row[2], row[3]) for row in document["unit_tests"]},
            {source.node.unique_id: source for source in sources},
            {row[0]: self._node(row) for row in document["exposures"]},
        )

    def _named(self, positions: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.ids[position] for position in positions)

    def _parents(self, row: list[Any] | None, depends_on: tuple[str, ...]) -> tuple[str, ...]:
        if row is None:
            return depends_on
        return tuple(self.ids[parent] if isinstance(parent, int) else parent for parent in row)

    def _node(self, row: list[Any]) -> Node:
        place, *own = row[10]
        depends_on = self._named(row[8])
        return Node(
            unique_id=row[0],
            resource_type=_KINDS[row[1]],
            package_name=row[2],
            fqn=tuple(row[3]),
            original_file_path=row[4],
            tags=tuple(row[5]),
            materialized=row[6],
            meta=row[7],
            depends_on=depends_on,
            parents=self._parents(row[9], depends_on),
            description=row[11],
            settings=Settings(self.usual[place], *own),
        )

    def _test(self, row: list[Any]) -> Test:
        depends_on = self._named(row[1])
        owner = self.ids[row[2]] if isinstance(row[2], int) else row[2]
        return Test(
            unique_id=row[0],
            depends_on=depends_on,
            place=Place(owner, self._named(row[3]), row[4]),
            after=self._named(row[5]),
            original_file_path=row[6],
            meta=row[7],
            parents=self._parents(row[8], depends_on),
        )
