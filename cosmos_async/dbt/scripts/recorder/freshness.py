"""What is replaced in dbt's task that measures sources: what it would ask, it asks when a source is measured."""

from __future__ import annotations

import functools
from datetime import datetime, timedelta, timezone
from typing import Any

from ..common import need
from ..recording.answers import FRESHNESS_ROW
from .lines import say_nothing_of_freshness
from .session import Recording

_DBTS_OWN = frozenset(("dbt", "dbt_bigquery"))
_BATCH = "bigquery_use_batch_source_freshness"
_LOADED, _ASKED = (
    datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=int(value)) for value in FRESHNESS_ROW
)


def describe_freshness(node: Any) -> dict[str, Any]:
    """Return what the planner has to know of a source beyond any node's."""
    return {
        "relation": [node.database, node.schema, node.identifier],
        "freshness": node.freshness and node.freshness.to_dict(omit_none=False),
    }


class FreshnessPatches:
    """Replaces how the adapter finds out how old a source is."""

    def __init__(self, recording: Recording) -> None:
        self.journal = recording.journal
        self.context = recording.context

    def install(self) -> None:
        """Put everything in place."""
        from dbt.adapters.bigquery import BigQueryAdapter
        from dbt.artifacts.schemas.results import RunStatus
        from dbt.task.freshness import FreshnessTask

        need(BigQueryAdapter, "calculate_freshness", "calculate_freshness_from_metadata")
        need(FreshnessTask, "populate_metadata_freshness_cache")
        self._by_query(BigQueryAdapter, "calculate_freshness")
        if hasattr(BigQueryAdapter, "calculate_freshness_from_custom_sql"):  # for loaded_at_query of dbt 1.10
            self._by_query(BigQueryAdapter, "calculate_freshness_from_custom_sql")
        self._by_metadata(BigQueryAdapter)
        # It asks for all sources at once, on behalf of none; what it does not know is asked for each.
        FreshnessTask.populate_metadata_freshness_cache = lambda task, adapter, selected: RunStatus.Success
        say_nothing_of_freshness()

    def _by_query(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def calculating(*args: Any, **kwargs: Any) -> Any:
            packages: set[str] = set()
            with self.journal.while_doing(test="freshness", packages=packages):
                response, found = original(*args, **kwargs)
            # What such a macro makes of the rows is not known; dbt's own hand them on.
            for package in sorted(packages - _DBTS_OWN):
                self.context.leave_to_dbt(
                    f"The package {package} measures the freshness of sources in its own way."
                )
            if (found["max_loaded_at"], found["snapshotted_at"]) != (_LOADED, _ASKED) or response is None:
                self.context.leave_to_dbt(
                    "How old it is, dbt does not take from the row of its query as it stands."
                )
            return response, found

        setattr(owner, name, calculating)

    def _by_metadata(self, owner: Any) -> None:
        original = owner.calculate_freshness_from_metadata

        @functools.wraps(original)
        def calculating(adapter: Any, source: Any, *args: Any, **kwargs: Any) -> Any:
            if "*" in (source.identifier or ""):
                self.context.leave_to_dbt(
                    "It is a wildcard, and no table of which BigQuery knows when it was changed."
                )
            if _asks_in_batches(adapter):
                self.context.leave_to_dbt(
                    f"The project sets {_BATCH}, and so dbt asks about many sources at once."
                )
            self.journal.add(
                self.context.node(), "last_modified", path=[source.database, source.schema, source.identifier]
            )
            age = (_ASKED - _LOADED).total_seconds()
            return None, {"max_loaded_at": _LOADED, "snapshotted_at": _ASKED, "age": age}

        owner.calculate_freshness_from_metadata = calculating


def _asks_in_batches(adapter: Any) -> bool:
    flags = getattr(adapter, "_behavior_flags", ())  # dbt-bigquery 1.9 has none
    return any(flag["name"] == _BATCH for flag in flags) and getattr(adapter.behavior, _BATCH).no_warn
