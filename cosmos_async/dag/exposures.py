"""Tasks that an author's converter makes of exposures, such as the refresh of a dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cosmos_async.constants import DbtResourceType
from cosmos_async.dag.edges import Edges, Placed, connect, connect_placed
from cosmos_async.dag.tasks import TaskMaker
from cosmos_async.graph.model import Graph, Node
from cosmos_async.plan.ownership import is_source


def place_exposures(
    graph: Graph, tasks: TaskMaker, edges: Edges, *, sources: Mapping[str, Any], tests: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Add the tasks of exposures, behind what they show and its tests, and return them by the exposures' unique ids.

    The end of dbt's run does not wait for them: they are no part of it.

    Args:
        graph: The graph.
        tasks: Makes the tasks.
        edges: Knows where the nodes are.
        sources: The tasks or groups of sources.
        tests: The tasks of sources' tests, and of tests that have a task of their own.
    """
    made: dict[str, Any] = {}
    if DbtResourceType.EXPOSURE not in tasks.converters:
        return made
    for unique_id, node in graph.exposures.items():
        task = tasks.converted(node, tasks.task_id(node), tasks.folder_of(node))
        if task is None:
            continue
        made[unique_id] = task
        parents = edges.nearest_placed(node.depends_on)
        before = [sources[parent] for parent in node.parents if parent in sources]
        before += [tests[one] for one in _tests_above(node, graph, edges) if one in tests]
        for parent in parents:
            connect_placed(edges.placed[parent], Placed(task, task, task))
        for one in before:
            connect(one, task)
        if not parents and not before:
            connect(tasks.setup, task)
    return made


def _tests_above(node: Node, graph: Graph, edges: Edges) -> list[str]:
    """Return the tests all of whose parents stand above *node*, and the sources that it reads itself."""
    above = edges.all_above(node.depends_on)
    tests = [
        one for one, test in graph.tests.items() if test.depends_on and above.issuperset(test.depends_on)
    ]
    return tests + [parent for parent in node.parents if is_source(parent)]
