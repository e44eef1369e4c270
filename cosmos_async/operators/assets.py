"""
A run's tables as Airflow's assets: their names, their aliases, and the tasks that announce them.

Names are those of Cosmos' async mode for BigQuery (astronomer-cosmos 1.15), so a DAG that is scheduled on them goes on. But
the table is the node's own, where Cosmos takes the profile's dataset and the model's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from cosmos_async import settings
from cosmos_async.airflow.assets import (
    HAS_ALIASES,
    NEEDS_ALIASES,
    AssetEvent,
    make_alias,
    record,
    send_through_aliases,
    takes_only_slashes,
)
from cosmos_async.exceptions import ConfigError
from cosmos_async.plan.announcements import Announcement


def uses_aliases() -> bool:
    """
    Return whether events are sent through aliases, so that Airflow shows the DAG as their producer.

    Raises:
        ConfigError: The setting ``enable_dataset_alias`` is off where Airflow has no other way.
    """
    enabled = settings.enable_dataset_alias()
    if NEEDS_ALIASES and not enabled:
        raise ConfigError(
            "Setting [cosmos_async] enable_dataset_alias (or that of [cosmos]) is False, but Airflow 3 has no other way to "
            "announce what a run has built. Remove the setting, or set RenderConfig(emit_datasets=False)."
        )
    return HAS_ALIASES and enabled


def outlets_for(aliases: Iterable[str]) -> list[Any]:
    """Return the outlets of a task that announces through these aliases; none where there are no aliases."""
    return [make_alias(name) for name in aliases] if uses_aliases() else []


def alias_name(task: Any) -> str:
    """Return the name of a task's alias: its DAG, its task group and itself, as ``shop__orders__run``."""
    return alias_of(
        task.dag_id, task.task_group.group_id if task.task_group is not None else None, task.task_id
    )


def alias_of(dag_id: str | None, group_id: str | None, task_id: str) -> str:
    """Return an alias' name; of nested groups only the innermost counts, as in Cosmos."""
    last = [name.split(".")[-1] for name in (group_id, task_id) if name]
    return "__".join([dag_id, *last] if dag_id else last)


def asset_uri(relation: str) -> str:
    """Return the URI of a table, ``project.dataset.table``."""
    # From the right: a project may be of a domain, as example.com:shop.
    project, dataset, table = relation.rsplit(".", 2)
    slashes = takes_only_slashes() or settings.use_dataset_airflow3_uri_standard()
    # A table's name may have letters that a URI has not.
    return "bigquery://" + ("/" if slashes else ".").join((project, dataset, quote(table)))


def announce(task: Any, context: Any, found: Iterable[Announcement]) -> None:
    """
    Tell Airflow which tables a run has built, but for those it has been told of.

    Args:
        task: The operator that runs, on a worker.
        context: Its context. Through aliases, Airflow takes the events if the task succeeds.
        found: What is announced of the run.
    """
    events = [AssetEvent(asset_uri(one.relation), one.alias, one.extra) for one in found if not one.made]
    if uses_aliases():
        send_through_aliases(task, context, events)
    else:
        record(context["ti"], events)
    if events:
        task.log.info("Announced to Airflow: %s", ", ".join(event.uri for event in events))
