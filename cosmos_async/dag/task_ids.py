"""Which task ids Airflow allows, and where an id comes from if the usual one is not possible."""

from __future__ import annotations

from collections.abc import Callable

from cosmos_async.exceptions import ProjectError
from cosmos_async.graph.model import Configured, Test
from cosmos_async.plan.ids import digest

LONGEST = 250  # characters, Airflow's limit


def is_legal(task_id: str) -> bool:
    """Return whether Airflow takes *task_id*."""
    letters = task_id.replace("-", "").replace("_", "").replace(".", "")
    return letters.isalnum() and letters.isascii() and len(task_id) <= LONGEST


def check_id(task_id: str, node: Configured | None) -> None:
    """
    Make sure that Airflow takes *task_id*.

    Args:
        task_id: The id.
        node: The node it is made of, if any.

    Raises:
        ProjectError: It does not.
    """
    if is_legal(task_id):
        return
    whose = f"{node.unique_id} ({node.original_file_path})" if node is not None else "A task"
    raise ProjectError(
        f"{whose} would have the task id {task_id!r}, but Airflow allows letters, digits, dashes, dots and underscores, "
        f"at most {LONGEST} of them. Rename the node, or give RenderConfig a normalize_task_id."
    )


def free_id(usual: str, other: str, unique_id: str, is_free: Callable[[str], bool]) -> str:
    """
    Return the usual id of a test's task or group, or another one where that is not allowed or taken.

    dbt is free in the names of tests: they come from files, may be long, and may be the same in two packages.

    Args:
        usual: Cosmos' id.
        other: The next best.
        unique_id: What the id is for; makes the last resort.
        is_free: Tells whether nobody has an id.
    """
    for label in (usual, other):
        # Cosmos stays below the limit.
        if is_legal(label) and len(label) < LONGEST and is_free(label):
            return label
    return f"{unique_id.split('.', 1)[0]}_{digest(unique_id)[:10]}"


def hash_of(test: Test) -> str:
    """Return what tells *test* from others of its name. It is stable: another test more or less does not rename it."""
    parts = test.unique_id.split(".")
    return parts[-1] if len(parts) > 3 else digest(test.unique_id)[:10]
