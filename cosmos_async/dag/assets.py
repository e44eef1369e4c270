"""Which nodes of a DAG are announced as Airflow's assets once they are built: as in Cosmos, models, seeds and snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cosmos_async.constants import ASSET_RESOURCES, DbtResourceType, TestBehavior
from cosmos_async.operators.assets import alias_name
from cosmos_async.operators.node import DbtNodeAsyncOperator, DbtTestAsyncOperator

if TYPE_CHECKING:
    from cosmos_async.dag.tasks import TaskMaker


def announced(tasks: TaskMaker) -> dict[str, Any]:
    """
    Return what the results task is told of assets.

    Args:
        tasks: Has made the tasks of all nodes.
    """
    if not tasks.config.emit_datasets:
        return {}
    every: list[Any] = tasks.dag.tasks
    aliases = {task.unique_id: alias_name(task) for task in every if _is_announced(task, tasks)}
    return {"aliases": aliases, "tested": tasks.config.test_behavior is TestBehavior.BUILD}


def _is_announced(task: Any, tasks: TaskMaker) -> bool:
    # The task of an ephemeral model executes tests alone.
    if not isinstance(task, DbtNodeAsyncOperator) or isinstance(task, DbtTestAsyncOperator):
        return False
    if task.setup_task_id != tasks.setup.task_id or not task.emit_datasets or task.unique_id is None:
        return False
    return DbtResourceType(task.unique_id.split(".")[0]) in ASSET_RESOURCES
