"""
Airflow's assets, which are datasets before Airflow 3: their events, sent by a task on a worker.

No version takes such an event from a trigger that ends its task.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cosmos_async.airflow.compat import AIRFLOW_VERSION

#: A task may send events of assets that only its run knows, through an alias that the DAG knows.
HAS_ALIASES = AIRFLOW_VERSION >= (2, 10)  # removable when Airflow 2.9 is dropped

#: There is no other way to do so, as workers have no database.
NEEDS_ALIASES = AIRFLOW_VERSION >= (3, 0)  # removable when Airflow 2.11 is dropped


@dataclass(frozen=True)
class AssetEvent:
    """An asset has changed."""

    uri: str
    alias: str
    extra: dict[str, Any]  #: of strings and numbers; Airflow 2.10 takes nothing else


def make_alias(name: str) -> Any:
    """Return Airflow's alias of this name; only where :data:`HAS_ALIASES`."""
    if TYPE_CHECKING or AIRFLOW_VERSION >= (3, 0):
        from airflow.sdk import AssetAlias
    else:  # removable when Airflow 2.11 is dropped
        from airflow.datasets import DatasetAlias as AssetAlias
    return AssetAlias(name)


def takes_only_slashes() -> bool:
    """Return whether the parts of a table's name have to be parts of its URI's path."""
    if AIRFLOW_VERSION >= (3, 0):
        return True
    from airflow.configuration import conf

    return bool(conf.getboolean("core", "strict_dataset_uri_validation", fallback=False))


def send_through_aliases(task: Any, context: Any, events: Iterable[AssetEvent]) -> None:
    """
    Give Airflow events to record if the task succeeds. It makes the assets that it does not know.

    Args:
        task: The operator that runs.
        context: Its context.
        events: What has changed.
    """
    known = {getattr(outlet, "name", None) for outlet in task.outlets}
    for event in events:
        alias = make_alias(event.alias)
        if event.alias not in known:
            # Airflow drops what comes through an alias that is no outlet of the task.
            task.outlets.append(alias)
            known.add(event.alias)
        context["outlet_events"][alias].add(_asset(event.uri), extra=event.extra)


def record(instance: Any, events: Iterable[AssetEvent]) -> None:
    """
    Record events in Airflow's database at once; only without :data:`NEEDS_ALIASES`.

    Args:
        instance: The task instance that is their source.
        events: What has changed.
    """
    from airflow.datasets.manager import dataset_manager  # type: ignore[import-not-found]
    from airflow.models.dataset import DatasetModel  # type: ignore[import-not-found]
    from airflow.utils.session import create_session

    with create_session() as session:
        for event in events:
            dataset = _asset(event.uri)
            if session.query(DatasetModel).filter_by(uri=dataset.uri).first() is None:
                new = DatasetModel(uri=dataset.uri)
                dataset_manager.create_datasets(dataset_models=[new], session=session)
            dataset_manager.register_dataset_change(
                task_instance=instance, dataset=dataset, extra=event.extra, session=session
            )


def _asset(uri: str) -> Any:
    if TYPE_CHECKING or AIRFLOW_VERSION >= (3, 0):
        from airflow.sdk import Asset
    else:  # removable when Airflow 2.11 is dropped
        from airflow.datasets import Dataset as Asset
    with warnings.catch_warnings():
        # Beside Google's provider Airflow 2.9 to 2.11 say of each name with dots that Airflow 3 wants slashes.
        warnings.filterwarnings("ignore", message=".*is not AIP-60 compliant")
        return Asset(uri)
