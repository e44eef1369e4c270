"""Names of what a run announces to Airflow (assets, in Airflow 2 datasets), for DAGs that are scheduled on it; as in Cosmos 1.15."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cosmos_async.airflow.compat import DAG, TaskGroup

__all__ = ["construct_dataset_uri", "get_dataset_alias_name"]

__path__: list[str] = []  # see cosmos_names


def get_dataset_alias_name(dag: DAG | None, task_group: TaskGroup | None, task_id: str) -> str:
    """
    Return the alias under which a node's table is announced: DAG, innermost task group and task, as ``shop__orders__run``.

    Args:
        dag: The DAG; needed where there is no task group.
        task_group: The task's group; None for a task that is in none.
        task_id: Its id, with or without its groups'.
    """
    from cosmos_async.operators.assets import alias_of

    if task_group is not None:
        return alias_of(task_group.dag_id, task_group.group_id, task_id)
    return alias_of(None if dag is None else dag.dag_id, None, task_id)


def construct_dataset_uri(namespace: str, name: str, warn_uri_migration: bool = True) -> str:
    """
    Return the URI under which a table is announced.

    Args:
        namespace: OpenLineage's, ``bigquery``.
        name: The table, as ``project.dataset.table``.
        warn_uri_migration: Without effect.

    Raises:
        ConfigError: It is of another warehouse.
    """
    from cosmos_async.exceptions import ConfigError
    from cosmos_async.operators.assets import asset_uri

    if namespace.partition(":")[0] != "bigquery":
        raise ConfigError(
            f"{namespace!r} is not BigQuery, which alone is run here. Import this function from cosmos.dataset."
        )
    return asset_uri(name)
