"""
``copy_partitions``: which partitions there are is known when the new data is there, so dbt's own macros copy one that
stands for each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .made_up import MadeUp
from .session import Recording

_FIELDS = [{"name": "partition", "type": "STRING", "mode": "NULLABLE"}]


class _Partition:
    """Stands for every partition: tells how it is written."""

    pattern: str | None = None

    def strftime(self, pattern: str) -> str:
        """Remember *pattern*."""
        self.pattern = pattern
        return str(self)

    def __str__(self) -> str:
        return "<cosmos_async partition>"


class Partitions:
    """Stands in for dbt's macros that find partitions and copy them."""

    def __init__(self, recording: Recording) -> None:
        self._journal = recording.journal
        self._context = recording.context
        self._jobs = recording.wire.jobs
        self._overlay = recording.overlay

    def find(self, call: Callable[[], Any]) -> Any:
        """Let *call*, dbt's macro for partitions that its new data has, go on with something that stands for all."""
        with self._journal.while_doing(finding=([], _FIELDS, [])):
            return call()

    def copy(
        self,
        call: Callable[..., Any],
        tmp_relation: Any,
        target_relation: Any,
        partitions: Any,
        partition_by: Any,
    ) -> Any:
        """
        Record the copies that dbt's macro makes.

        Args:
            call: The macro.
            tmp_relation: The table of the new data.
            target_relation: The node's table.
            partitions: What is to be copied: known by now, or not.
            partition_by: How the table is partitioned.
        """
        found: list[Any] = (self._journal.doing("finding") or ([],))[0]
        if type(partitions) is not MadeUp:
            return call(tmp_relation, target_relation, partitions, partition_by)
        partition = _Partition()
        with self._jobs.keeping() as copies:
            returned = call(tmp_relation, target_relation, [partition], partition_by)
        suffix = f"${partition}"
        if len(found) != 1 or len(copies) != 1 or not _strip(copies[0]["configuration"], suffix):
            self._context.leave_to_dbt("It copies partitions in a way that is not known here.")
        path = (target_relation.database, target_relation.schema, target_relation.identifier)
        self._journal.add(
            self._context.node(),
            "native",
            kind="copy_partitions",
            path=list(path),
            payload={"find": found[0], "copy": copies[0], "pattern": partition.pattern},
        )
        self._overlay.wrote(path, by=self._context.node())
        return returned


def _strip(configuration: dict[str, Any], suffix: str) -> bool:
    """Take *suffix* from the names of the tables of a copy; tell whether each had it."""
    copy = configuration.get("copy") or {}
    tables = [copy.get("destinationTable"), copy.get("sourceTable"), *copy.get("sourceTables", ())]
    found = [table for table in tables if table is not None]
    known = all(table["tableId"].endswith(suffix) for table in found)
    for table in found:
        table["tableId"] = table["tableId"][: -len(suffix)]
    return known and len(found) > 1
