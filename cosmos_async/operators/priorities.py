"""
What nodes took in an earlier run, kept in the store beside the kept plan; see :mod:`cosmos_async.plan.priorities`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cosmos_async import settings
from cosmos_async.exceptions import PlanNotFound
from cosmos_async.operators.kept_objects import keep, read_kept
from cosmos_async.plan.model import Index, RunInfo
from cosmos_async.plan.outcome import Outcome
from cosmos_async.plan.priorities import SECONDS_OBJECT, dump_seconds, load_seconds, with_seconds_left
from cosmos_async.plan.task_graph import GraphTask, TaskGraph


def are_bounded(max_jobs: int) -> bool:
    """
    Return whether jobs of a run may have to wait for others.

    Args:
        max_jobs: The run's own bound, 0 where it has none.
    """
    return bool(max_jobs or settings.max_concurrent_jobs())


def prioritized(graph: TaskGraph, index: Index, folder: str, operator: Any) -> TaskGraph:
    """
    Return the graph of a run's tasks with the seconds that are left from each, by what an earlier run took.

    Args:
        graph: The graph.
        index: Of the run's plan.
        folder: The run's folder.
        operator: The setup task.
    """
    nodes = {task_id: _nodes(index, task) for task_id, task in graph.tasks.items()}
    known = read_kept(folder, SECONDS_OBJECT, operator)
    return with_seconds_left(graph, nodes, {} if known is None else load_seconds(known))


def keep_seconds(folder: str, run: RunInfo, outcomes: Iterable[Outcome], operator: Any) -> None:
    """
    Keep what the nodes of a run took, for the next one.

    Args:
        folder: The run's folder.
        run: What the index says of it.
        outcomes: The nodes'.
        operator: The results task.
    """
    if are_bounded(run.max_jobs):
        keep(folder, SECONDS_OBJECT, dump_seconds(outcomes), operator)


def _nodes(index: Index, task: GraphTask) -> list[list[str]]:
    from cosmos_async.triggers.execution.task_nodes import nodes_of

    try:
        return nodes_of(index, task.work, task.unique_id)
    except PlanNotFound:  # what dbt has not selected in this run
        return []
