"""Airflow's own accessors of a task's outlet events, as its context has them."""

from __future__ import annotations

from typing import Any

from cosmos_async.airflow.compat import AIRFLOW_VERSION


def outlet_events() -> Any:
    """Return what a context has under ``outlet_events``; since Airflow 2.10."""
    if AIRFLOW_VERSION >= (3, 0):
        from airflow.sdk.execution_time.context import OutletEventAccessors
    else:
        from airflow.utils.context import OutletEventAccessors  # type: ignore[no-redef]
    return OutletEventAccessors()


def sent(events: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Return alias, URI and extra of each event in it."""
    found = []
    for accessor in events._dict.values():
        for event in getattr(accessor, "asset_alias_events", None) or getattr(
            accessor, "dataset_alias_events", ()
        ):
            if AIRFLOW_VERSION >= (3, 0):
                found.append((event.source_alias_name, event.dest_asset_key.uri, event.extra))
            else:
                found.append((event["source_alias_name"], event["dest_dataset_uri"], event["extra"]))
    return found
