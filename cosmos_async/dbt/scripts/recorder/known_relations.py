"""
What dbt knows of the warehouse, for each late node its own: several are recorded in one process, each as if it were alone.
"""

from __future__ import annotations

import copy
import threading
from typing import Any

from ..recording.journal import RUN
from .session import Recording


class KnownRelations:
    """
    Gives each node a copy of dbt's cache of relations, as that is when the node begins.

    A node tells the cache of what it makes, renames and drops. When late nodes are recorded side by side nothing of that has
    happened, and what one of them tells is not for the others.
    """

    def __init__(self, recording: Recording) -> None:
        self._node = recording.context.node
        self._own: dict[str, Any] = {}
        self._lock = threading.Lock()

    def install(self) -> None:
        """Put everything in place."""
        from dbt.adapters.bigquery import BigQueryAdapter

        def get(adapter: Any) -> Any:
            return self._of(self._node(), adapter.__dict__["cache"])

        def keep(adapter: Any, cache: Any) -> None:
            adapter.__dict__["cache"] = cache

        # An attribute that every adapter sets when it is made (``BaseAdapter.__init__``).
        BigQueryAdapter.cache = property(get, keep)

    def _of(self, unique_id: str, everybodys: Any) -> Any:
        if unique_id == RUN:
            return everybodys
        with self._lock:
            if unique_id not in self._own:
                self._own[unique_id] = _copied(everybodys)
            return self._own[unique_id]


def _copied(cache: Any) -> Any:
    with cache.lock:
        mine = copy.copy(cache)
        mine.lock = threading.RLock()
        mine.schemas = set(cache.schemas)
        # BigQuery's adapter links no relations with one another, so an entry is its relation and nothing else.
        mine.relations = {key: type(one)(one.inner) for key, one in cache.relations.items()}
    return mine
