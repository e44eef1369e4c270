"""
Mapped task groups: a ``DbtTaskGroup`` within one is a run of its own for each instance of the group.

All tasks of an instance have its map index, so what one of them asks of another it asks of the one with the same index.
A task that is mapped by itself shares the one setup task with its siblings.
"""

from __future__ import annotations

from typing import Any


def is_mapped_with(task: Any, other_id: str) -> bool:
    """
    Return whether *task* is in the same mapped task group as the task *other_id*.

    Args:
        task: An operator in its DAG.
        other_id: The full id of a task that was made before it.
    """
    if getattr(task, "task_group", None) is None:
        return False
    # Airflow lets no mapped group be within another one.
    group = task.get_closest_mapped_task_group()
    return group is not None and any(other.task_id == other_id for other in group.iter_tasks())


def index_for(task: Any, other_id: str, instance: Any) -> int:
    """Return the map index of the task *other_id* that belongs to *task*'s *instance*; -1 where it is not mapped."""
    return int(instance.map_index) if is_mapped_with(task, other_id) else -1
