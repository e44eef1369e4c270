"""
Columns that a node adds to its table or changes there: dbt decides, on the columns that are there or are foretold, and
the executor reads the table and writes it back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..common import need
from ..recording.sql import Path
from .session import Recording


@dataclass
class Altering:
    """A table whose schema dbt is about to read and write back."""

    path: Path
    dropped: frozenset[str] = frozenset()  #: the columns that a statement of dbt's takes away in between
    before: Any = None  #: the fields that dbt was told
    fields: Any = None  #: those it wrote back, None where it did not

    def now(self) -> list[Any]:
        """Return the fields as they are after what dbt has sent so far."""
        return [column for column in self.before or [] if column["name"] not in self.dropped]


class ColumnChanges:
    """Replaces what changes a table's schema in dbt's adapter."""

    def __init__(self, recording: Recording) -> None:
        self._journal = recording.journal
        self._context = recording.context
        self._overlay = recording.overlay

    def install(self, adapter: Any) -> None:
        """Put everything in place."""
        need(adapter, "alter_table_add_columns")
        # dbt-bigquery 1.9 has neither of the latter.
        if not hasattr(adapter, "alter_table_add_remove_columns"):
            self._adding(adapter, "alter_table_add_columns", replacing=False)
            return
        self._adding(adapter, "alter_table_add_remove_columns", replacing=True)
        need(adapter, "sync_struct_columns")
        self._syncing(adapter)

    def _adding(self, adapter: Any, name: str, *, replacing: bool) -> None:
        original = getattr(adapter, name)

        @functools.wraps(original)
        def adding(adapter_: Any, relation: Any, add_columns: Any, remove_columns: Any = None) -> None:
            # Snapshots call it with no columns at all. 1.9 then sends the schema back as it was read, and so do we.
            if replacing and not add_columns and not remove_columns:
                return
            path = _path(relation)
            dropped = frozenset(column.name for column in remove_columns or () if "." not in column.name)
            given = (relation, add_columns) if not replacing else (relation, add_columns, remove_columns)
            altering = self._during(path, dropped, lambda: original(adapter_, *given))
            if altering.fields is not None:
                new = {column.name: column.column_to_bq_schema().to_api_repr() for column in add_columns}
                self._add("add_columns", path, {"columns": new, "replacing": replacing})

        setattr(adapter, name, adding)

    def _syncing(self, adapter: Any) -> None:
        original = adapter.sync_struct_columns

        @functools.wraps(original)
        def syncing(
            adapter_: Any, on_schema_change: str, source_relation: Any, target_relation: Any, changes: Any
        ) -> Any:
            path = _path(target_relation)
            returned: list[Any] = []

            def sync() -> None:
                returned.append(
                    original(adapter_, on_schema_change, source_relation, target_relation, changes)
                )

            altering = self._during(path, frozenset(), sync)
            if altering.fields is not None:
                names = [
                    after["name"]
                    for after, before in zip(altering.fields, altering.before)
                    if after != before
                ]
                project, dataset, table = _path(source_relation)
                source = {"project": project, "dataset": dataset, "table": table}
                self._add("sync_structs", path, {"columns": names, "source": source})
            return returned[0]

        adapter.sync_struct_columns = syncing

    def _during(self, path: Path, dropped: frozenset[str], change: Callable[[], None]) -> Altering:
        if self._journal.doing("phase") == "compile":
            # Where it fails, dbt tells of it as an error of the model's SQL, which it has not compiled then.
            self._context.leave_to_dbt(f"Its SQL itself changes the columns of {'.'.join(path)}.")
        altering = Altering(path, dropped)
        with self._journal.while_doing(altering=altering):
            change()
        fields = altering.now() if altering.fields is None else altering.fields
        if altering.before is not None and fields != altering.before:
            self._overlay.note(path, by=self._context.node(), columns=fields)
        return altering

    def _add(self, kind: str, path: Path, payload: dict[str, Any]) -> None:
        self._journal.add(self._context.node(), "native", kind=kind, path=list(path), payload=payload)


def _path(relation: Any) -> Path:
    return (relation.database, relation.schema, relation.identifier)
