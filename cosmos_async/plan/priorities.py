"""
Which jobs of a run come first where more wait than may run at once: those with the longest way to the run's end.

Pure. How long nodes take is what they took in an earlier run; the results task keeps that beside the kept plan, and setup
writes what follows from it into the graph of the run's tasks.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cosmos_async.plan.outcome import Outcome
from cosmos_async.plan.task_graph import TaskGraph

SECONDS_OBJECT = "seconds.json"


def dump_seconds(outcomes: Iterable[Outcome]) -> bytes:
    """Return the seconds that nodes took, as an object of the store."""
    return json.dumps({outcome.unique_id: round(outcome.seconds, 3) for outcome in outcomes}).encode()


def load_seconds(data: bytes) -> dict[str, float]:
    """Return what :func:`dump_seconds` wrote, nothing where it is something else: only an order depends on it."""
    try:
        return {str(unique_id): float(seconds) for unique_id, seconds in json.loads(data).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def with_seconds_left(
    graph: TaskGraph, nodes: Mapping[str, Sequence[Sequence[str]]], seconds: Mapping[str, float]
) -> TaskGraph:
    """
    Return the graph with the seconds from each task's start to the end of the longest way through those below it.

    Args:
        graph: The run's tasks.
        nodes: Of each task its nodes in groups: one group after the other, the nodes of a group at once.
        seconds: What nodes took in an earlier run, by unique id. One that is not known counts as the median of the others.
    """
    usual = statistics.median(seconds.values()) if seconds else 1.0
    left: dict[str, float] = {}
    waiting = {task_id: len(list(graph.below(task_id))) for task_id in graph.tasks}
    ready = [task_id for task_id, below in waiting.items() if not below]
    while ready:
        task_id = ready.pop()
        own = sum(
            max(seconds.get(node, usual) for node in group) for group in nodes.get(task_id, ()) if group
        )
        left[task_id] = own + max((left[below] for below in graph.below(task_id)), default=0.0)
        for above in graph.tasks[task_id].above or ():
            waiting[above] -= 1
            if not waiting[above]:
                ready.append(above)
    return TaskGraph(
        {task_id: replace(task, seconds_left=left.get(task_id, 0.0)) for task_id, task in graph.tasks.items()}
    )
