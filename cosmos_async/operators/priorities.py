"""
What nodes took in an earlier run, kept in the store beside the kept plan; see :mod:`cosmos_async.plan.priorities`.

Only an order depends on it, so no run fails for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cosmos_async import settings
from cosmos_async.exceptions import CosmosAsyncError, PlanNotFound
from cosmos_async.operators.plan_reuse import kept_place
from cosmos_async.plan.model import Index, RunInfo
from cosmos_async.plan.outcome import Outcome
from cosmos_async.plan.priorities import SECONDS_OBJECT, dump_seconds, load_seconds, with_seconds_left
from cosmos_async.plan.task_graph import GraphTask, TaskGraph
from cosmos_async.triggers.google.blocking import run_until_complete


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
    return with_seconds_left(graph, nodes, _earlier(folder, operator))


def keep_seconds(folder: str, run: RunInfo, outcomes: Iterable[Outcome], operator: Any) -> None:
    """
    Keep what the nodes of a run took, for the next one.

    Args:
        folder: The run's folder.
        run: What the index says of it.
        outcomes: The nodes'.
        operator: The results task.
    """
    from cosmos_async.triggers.storage.documents import write_objects

    if not are_bounded(run.max_jobs):
        return
    objects = {SECONDS_OBJECT: dump_seconds(outcomes)}
    try:
        run_until_complete(write_objects(kept_place(folder), objects, identity=operator.identity))
    except CosmosAsyncError as error:
        operator.log.warning("What nodes took could not be kept for the next run's order: %s", error)


def _earlier(folder: str, operator: Any) -> dict[str, float]:
    from cosmos_async.triggers.storage.documents import ObjectMissing, read_object

    try:
        data = run_until_complete(read_object(kept_place(folder), SECONDS_OBJECT, identity=operator.identity))
    except ObjectMissing:  # no run has ended yet
        return {}
    except CosmosAsyncError as error:
        operator.log.warning("What nodes took in the run before is not known: %s", error)
        return {}
    return load_seconds(data)


def _nodes(index: Index, task: GraphTask) -> list[list[str]]:
    from cosmos_async.triggers.execution.task_nodes import nodes_of

    try:
        return nodes_of(index, task.work, task.unique_id)
    except PlanNotFound:  # what dbt has not selected in this run
        return []
