"""
Task dependencies: the edges between a graph's tasks, which are those of ``dbt build``.

A node's children wait for its last task. Functions are the exception: no test holds them back, and what lies behind them
waits for the tests of what lies before them. A node without a place (a converter left it out, say) passes the order on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cosmos_async.airflow.compat import BaseOperator, TaskGroup
from cosmos_async.graph.model import Graph, Test
from cosmos_async.plan.ownership import is_held_back


@dataclass(frozen=True)
class Placed:
    """A node's place in the DAG."""

    whole: Any  #: the group or the only task; edges to and from other nodes meet here
    first: Any  #: the task that builds the node
    last: Any  #: the task after which its children may start


def connect(upstream: Any, downstream: Any) -> None:
    """
    Do what ``upstream >> downstream`` does.

    Airflow's own way hashes the whole DAG, all task ids included, twice per edge; in a DAG of a thousand nodes that is
    a third of the time its file takes to import. What a converter made may be anything, and takes that way.
    """
    if not all(isinstance(task, BaseOperator) and task.has_dag() for task in (upstream, downstream)):
        upstream >> downstream
        return
    upstream.downstream_task_ids.add(downstream.task_id)
    downstream.upstream_task_ids.add(upstream.task_id)


def connect_placed(parent: Placed, child: Placed) -> None:
    """Do what ``parent.whole >> child.whole`` does, the arrows between groups in the UI included."""
    if isinstance(parent.whole, TaskGroup):
        parent.whole.update_relative(child.whole, upstream=False)
    if isinstance(child.whole, TaskGroup):
        child.whole.update_relative(parent.last, upstream=True)
    connect(parent.last, child.first)


class Edges:
    """
    The edges of one graph.

    Args:
        graph: The graph.
        placed: Its nodes that have a place.
        setup: The task that comes before all others.
    """

    def __init__(self, graph: Graph, placed: dict[str, Placed], setup: Any) -> None:
        self.graph = graph
        self.placed = placed
        self.setup = setup

    def connect_nodes(self) -> None:
        """Let each node wait for its parents."""
        for unique_id, child in self.placed.items():
            parents = self.nearest_placed(self.graph.nodes[unique_id].depends_on)
            if not parents:
                connect(self.setup, child.first)
            for parent in parents:
                if is_held_back(unique_id):
                    connect_placed(self.placed[parent], child)
                else:  # a function, which dbt lets pass its parents' tests
                    connect(self.placed[parent].first, child.first)
            if is_held_back(unique_id):
                for parent in self._behind_functions(parents):
                    connect(self.placed[parent].last, child.first)

    def leaves(self) -> list[Any]:
        """Return the last tasks of the nodes for which no node waits."""
        # Functions do not count as children: nobody else waits for the tests of what they stand on.
        parents = {
            parent
            for unique_id in self.placed
            if is_held_back(unique_id)
            for parent in self.nearest_placed(self._parents(unique_id))
        }
        return [placed.last for unique_id, placed in self.placed.items() if unique_id not in parents]

    def hold_back(self, test: Any, nodes: Sequence[str]) -> bool:
        """Let *nodes* wait for a test's task; return whether anybody does."""
        waiting = self._placed_below(nodes)
        for unique_id in waiting:
            connect(test, self.placed[unique_id].first)
        return bool(waiting)

    def behind_parents(self, test: Any, parents: Test) -> None:
        """Let a test's own task wait for the nodes it depends on."""
        direct = [parent for parent in parents.depends_on if parent in self.placed]
        for parent in direct:
            connect(self.placed[parent].first, test)
        # Between these and the test stands a node that waits for their tests.
        left = [
            above for node in parents.depends_on if node not in self.placed for above in self._parents(node)
        ]
        further = self.nearest_placed([*parents.after, *left])
        for above in further:
            connect(self.placed[above].last, test)
        if not direct and not further:
            connect(self.setup, test)

    def all_above(self, nodes: Sequence[str]) -> set[str]:
        """Return *nodes* and all selected nodes above them."""
        found: set[str] = set()
        waiting = list(nodes)
        while waiting:
            unique_id = waiting.pop()
            if unique_id not in found:
                found.add(unique_id)
                waiting += self._parents(unique_id)
        return found

    def nearest_placed(self, nodes: Sequence[str]) -> list[str]:
        """Return *nodes*, each without a place (left out by a converter, say) replaced by its parents."""
        if all(unique_id in self.placed for unique_id in nodes):
            return list(nodes)
        found: dict[str, None] = {}
        for unique_id in nodes:
            above = [unique_id] if unique_id in self.placed else self.nearest_placed(self._parents(unique_id))
            found.update(dict.fromkeys(above))
        return list(found)

    def _parents(self, unique_id: str) -> tuple[str, ...]:
        return self.graph.nodes[unique_id].depends_on

    def _behind_functions(self, nodes: Sequence[str]) -> set[str]:
        """Return what stands above the functions among *nodes*: further functions, and the nearest nodes that are none."""
        found: set[str] = set()
        for unique_id in nodes:
            if not is_held_back(unique_id):
                above = self.nearest_placed(self._parents(unique_id))
                found |= {*above, *self._behind_functions(above)}
        return found

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        children: dict[str, list[str]] = {}
        for unique_id, node in self.graph.nodes.items():
            for parent in node.depends_on:
                children.setdefault(parent, []).append(unique_id)
        return children

    def _placed_below(self, nodes: Sequence[str]) -> list[str]:
        """Return *nodes*, each without a place replaced by its children; functions wait for no test, and pass it on."""
        found: dict[str, None] = {}
        for unique_id in nodes:
            here = unique_id in self.placed and is_held_back(unique_id)
            below = [unique_id] if here else self._placed_below(self._children.get(unique_id, []))
            found.update(dict.fromkeys(below))
        return list(found)
