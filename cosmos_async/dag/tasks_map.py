"""``dag.tasks_map``: the tasks of dbt's nodes, for whoever goes on with a DAG once it is rendered."""

from __future__ import annotations

from typing import Any, NoReturn


class TasksMap(dict[str, Any]):
    """
    A node's task or group, by the node's unique id.

    The tasks around the nodes stand under their ids: ``dbt_setup_async`` and the like.
    """

    def __missing__(self, key: str) -> NoReturn:
        raise KeyError(
            f"{key} has no task here: it is not selected, a converter left it out, or it runs in another one's task"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> TasksMap:
        # A DAG that is copied has copied its tasks by now.
        return TasksMap({key: memo.get(id(task), task) for key, task in self.items()})
