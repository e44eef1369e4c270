"""Whether a dataset exists: asked in a way that can be asked again later."""

from __future__ import annotations

import functools
from typing import Any

from ..common import need
from .session import Recording


class DatasetPatches:
    """Replaces how the adapter finds out whether a dataset is there."""

    def __init__(self, recording: Recording) -> None:
        self.overlay = recording.overlay

    def install(self) -> None:
        """Put everything in place."""
        from dbt.adapters.bigquery import BigQueryAdapter
        from google.api_core.exceptions import NotFound

        need(BigQueryAdapter, "check_schema_exists")
        exists = BigQueryAdapter.check_schema_exists

        @functools.wraps(exists)
        def checking(adapter: Any, database: str, schema: str) -> bool:
            # dbt lists the dataset's tables, and what it finds there changes while the run builds.
            if (database, schema) in self.overlay.created_datasets:
                return True
            connections = adapter.connections
            try:
                connections.get_thread_connection().handle.get_dataset(
                    connections.dataset_ref(database, schema)
                )
            except NotFound:
                return False
            return True

        # Macros may call what is decorated with `available`; the decoration is an attribute of the function.
        BigQueryAdapter.check_schema_exists = checking
