"""
Which task executes which test, and which nodes wait for it.

Pure. In ``dbt build`` a test runs once all of its parents are built, and holds back the nodes that lie below all of them,
sources included and over the whole project, whatever is selected. Where one parent lies below all others, that is what
lies below this parent: the test is one of its own. Any other test with several parents needs a task of its own, as a
parent's children need not wait for it. Rendering a DAG and planning a run both ask here, so a task executes exactly
the tests whose edges it was given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass


def depths(depends_on: Mapping[str, Collection[str]]) -> dict[str, int]:
    """
    Return how many nodes lie above each node on its longest way up.

    Args:
        depends_on: Each node's direct parents. Parents that are not keys themselves (sources, macros) do not count.

    Raises:
        ValueError: The nodes depend on one another in a circle.
    """
    known: dict[str, int] = {}
    open_nodes: set[str] = set()
    for start in depends_on:
        stack = [start]
        # Iterative: a project may be deeper than Python's recursion limit.
        while stack:
            node = stack[-1]
            if node in known:
                stack.pop()
                continue
            parents = [parent for parent in depends_on[node] if parent in depends_on]
            waiting = [parent for parent in parents if parent not in known]
            if waiting:
                if node in open_nodes:
                    raise ValueError(f"{node} depends on itself, by way of {waiting[0]}")
                open_nodes.add(node)
                stack.extend(waiting)
                continue
            known[node] = 1 + max((known[parent] for parent in parents), default=-1)
            open_nodes.discard(node)
            stack.pop()
    return known


def is_source(unique_id: str) -> bool:
    """Return whether dbt calls it a source."""
    return unique_id.startswith("source.")


def is_test(unique_id: str) -> bool:
    """Return whether dbt calls it a test, or a unit test."""
    return unique_id.startswith(("test.", "unit_test."))


def is_held_back(unique_id: str) -> bool:
    """Return whether tests hold the node back; ``dbt build`` lets functions pass."""
    return not unique_id.startswith("function.")


@dataclass(frozen=True)
class Place:
    """Where a test runs."""

    #: Whose task executes it: a selected node, a source, or the test itself. None: it holds nothing back and stands on
    #: nothing that is selected, not even further up, so that it may run with others like it at any time.
    owner: str | None
    #: The selected nodes that wait for it and have no other such node above them, parents first. Left out where the test
    #: has one parent that is selected, too: all that waits for this one waits for it.
    holds_back: tuple[str, ...] = ()
    several: bool = False  #: whether it has more than one parent

    def owner_of(self, test: str, *, detach: bool) -> str | None:
        """
        Return the owner.

        Args:
            test: Whose place this is.
            detach: Whether every test with several parents has a task of its own.
        """
        return test if detach and self.several and self.owner is not None else self.owner


class Lineage:
    """
    Who lies above and below whom in a project. Sets of nodes are kept as bits of one number each, which keeps thousands
    of nodes and tests within a fraction of a second.

    Args:
        depends_on: Direct parents of every node in the project that ``dbt build`` could build, selected or not. Parents
            that are not keys themselves (sources) have none.
        selected: The nodes that are; keys of *depends_on*.

    Raises:
        ValueError: The nodes depend on one another in a circle.
    """

    def __init__(self, depends_on: Mapping[str, Collection[str]], selected: Collection[str]) -> None:
        self._selected = frozenset(selected)
        mentioned = {parent: () for parents in depends_on.values() for parent in parents}
        everything: dict[str, Collection[str]] = {**mentioned, **depends_on}
        depth = depths(everything)
        self._order = sorted(everything, key=lambda node: (depth[node], node))
        self._bit = {node: 1 << position for position, node in enumerate(self._order)}
        self._above: dict[str, int] = {}
        self._below = dict.fromkeys(self._order, 0)
        for node in self._order:
            bits = 0
            for parent in everything[node]:
                bits |= self._above[parent] | self._bit[parent]
            self._above[node] = bits
        for node in reversed(self._order):
            bits = self._below[node] | self._bit[node]
            for parent in everything[node]:
                self._below[parent] |= bits
        self._standing = self._bits(self._selected)
        self._waiting = self._bits(filter(is_held_back, self._selected))

    def place(self, test: str, parents: Collection[str]) -> Place:
        """
        Return where a test runs.

        Args:
            test: Its unique id.
            parents: All it depends on, selected or not, sources included.
        """
        parents = list(dict.fromkeys(parents))
        if not parents:
            return Place(None)
        several = len(parents) > 1
        last = self._last(parents)
        if last in self._selected and not several:
            return Place(last)
        holds_back = self._first_below(parents)
        if last is not None and (last in self._selected or is_source(last)):
            return Place(last, holds_back, several)
        known = [parent for parent in parents if parent in self._bit]
        touches = bool(holds_back) or any(
            (self._above[parent] | self._bit[parent]) & self._standing for parent in known
        )
        return Place(test if touches else None, holds_back, several)

    def _bits(self, nodes: Iterable[str]) -> int:
        bits = 0
        for node in nodes:
            bits |= self._bit[node]
        return bits

    def _last(self, parents: list[str]) -> str | None:
        """Return the parent that all others lie above; there is one at most."""
        if len(parents) == 1:
            return parents[0]
        if not all(parent in self._bit for parent in parents):
            return None  # something that is never built, such as a metric
        wanted = self._bits(parents)
        last = max(parents, key=lambda parent: self._bit[parent])
        return last if (self._above[last] | self._bit[last]) & wanted == wanted else None

    def _first_below(self, parents: list[str]) -> tuple[str, ...]:
        candidates = self._waiting
        for parent in parents:
            candidates &= self._below.get(parent, 0)
        found = []
        while candidates:
            first = candidates & -candidates  # the lowest bit: nobody else among them stands above it
            node = self._order[first.bit_length() - 1]
            found.append(node)
            candidates &= ~(first | self._below[node])
        return tuple(found)


def unit_test_owner(parents: Iterable[str], selected: Collection[str]) -> str | None:
    """
    Return the model that a unit test decides about; None where it is not selected, as dbt then does not run the test.

    Args:
        parents: What the test depends on; dbt names its model first, then what the model reads.
        selected: The nodes that are.
    """
    model = next(iter(parents), None)
    return model if model in selected else None
