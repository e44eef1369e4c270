"""
Which task executes which test.

Pure. ``dbt build`` runs a test once all of its parents are built and lets it hold back only what lies below them.
A test with several parents therefore belongs to the one that is built last. Rendering a DAG and planning a run both
ask here, so ``<model>.test`` executes exactly the tests whose edges it was given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


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


def assign_owners(
    tests: Mapping[str, Collection[str]],
    depends_on: Mapping[str, Collection[str]],
    attached: Mapping[str, str | None] | None = None,
    *,
    detach: bool = False,
) -> dict[str, str]:
    """
    Return the owner of each test: the node whose test task executes it.

    The owner is the parent that is built last. Where several are equally deep it is the node the test is attached to,
    else the last by name. Edges from every other parent to the owner's test task cannot close a circle, as they
    only ever lead to a node that is at least as deep.

    Args:
        tests: Each test's parents among the selected models, seeds and snapshots. One without any gets no owner.
        depends_on: Direct parents of every node in the project, selected or not, so that everyone who asks gets the
            same answer.
        attached: The node each test is declared on (dbt's ``attached_node``). Leave it out where a node and its
            tests are one task (``TestBehavior.BUILD``): there, ties must fall the same way for every test.
        detach: Make tests with several parents their own owners.
    """
    return owners_by_depth(tests, depths(depends_on), attached, detach=detach)


def owners_by_depth(
    tests: Mapping[str, Collection[str]],
    depth: Mapping[str, int],
    attached: Mapping[str, str | None] | None = None,
    *,
    detach: bool = False,
) -> dict[str, str]:
    """Return what :func:`assign_owners` returns, for callers that keep the :func:`depths` of their nodes."""
    attached = attached or {}
    owners: dict[str, str] = {}
    for test, parents in tests.items():
        if not parents:
            continue
        if detach and len(set(parents)) > 1:
            owners[test] = test
            continue
        declared_on = attached.get(test)
        owners[test] = max(parents, key=lambda node: (depth.get(node, 0), node == declared_on, node))
    return owners
