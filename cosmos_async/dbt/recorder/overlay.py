"""
What this run has changed so far, had it really been done, and what can be foretold of it.

A read of something the run itself writes cannot be answered by the warehouse as it is now. Its columns can often be
foretold all the same: BigQuery tells the columns of any query for nothing (a dry run), and tables that do not exist
yet are put into that query as empty subqueries with the columns foretold for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import sql
from .fields import empty_query

Fields = list  # of BigQuery's TableFieldSchema
DryRun = Callable[[str], Any]


@dataclass(frozen=True)
class Change:
    """A relation as this run leaves it."""

    by: str  #: the node
    exists: bool
    kind: str  #: TABLE, VIEW, ...
    columns: Callable[[], Any]  #: foretells its fields; None where nobody can


class Overlay:
    """The run's own changes, by ``(project, dataset, table)``."""

    def __init__(self, default_project: str) -> None:
        self.default_project = default_project
        self.built: dict[sql.Path, str] = {}  #: the nodes of this run and what they build
        self.done: set[str] = set()
        self._changes: dict[sql.Path, Change] = {}
        self._written: dict[sql.Path, str] = {}
        self._lock = threading.RLock()

    def full(self, path: sql.Path) -> sql.Path:
        """Return a path with its project."""
        return path if len(path) != 2 else (self.default_project, *path)

    def change(self, path: sql.Path) -> Change | None:
        """Return what became of a relation in this run, if its shape changed."""
        return self._changes.get(self.full(path))

    def set(
        self, path: sql.Path, *, by: str, exists: bool = True, kind: str = "TABLE", columns: Any = None
    ) -> None:
        """Note that a relation was created, replaced, altered or dropped."""
        foretell = columns if callable(columns) else lambda: columns
        with self._lock:
            self._changes[self.full(path)] = Change(by, exists, kind, foretell)
            self._written[self.full(path)] = by

    def writer(self, path: sql.Path) -> str | None:
        """Return the node that writes a relation in this run: has written it, or is going to build it."""
        path = self.full(path)
        return self._written.get(path) or self.built.get(path)

    def datasets(self) -> set[sql.Path]:
        """Return the datasets in which this run changes something."""
        with self._lock:
            return {path[:2] for path in (*self._written, *self.built) if len(path) == 3}

    def apply(self, script: str, *, by: str, dry_run: DryRun, exists: Callable[[sql.Path], bool]) -> None:
        """Note what a script does that was recorded and not sent."""
        found = sql.statements(script)
        for at, statement in enumerate(found):
            what = sql.effect(statement)
            path = self.full(what.path)
            if what.verb == "create" and not what.temporary:
                if what.if_not_exists and exists(path):
                    continue
                body = what.body
                # Functions and the like that stand before it in the script (dbt's sql_header) are part of the query.
                header = script[: statement.tokens[0].start] if at else ""
                foretell = (
                    None
                    if body is None
                    else self._once(lambda b=body, h=header: self.foretell(b, dry_run, h))
                )
                self.set(path, by=by, kind=what.kind, columns=foretell)
            elif what.verb == "drop":
                self.set(path, by=by, exists=False, kind=what.kind)
            elif what.verb == "alter" and what.columns:
                self.set(path, by=by, kind=what.kind)
            elif path:
                with self._lock:
                    self._written[path] = by

    def foretell(self, query: str, dry_run: DryRun, header: str = "") -> Any:
        """Return the fields that *query* will have once this run got there; None where nobody can tell."""
        substitutes: dict[sql.Path, str] = {}
        for path in sql.paths(query):
            change = self.change(path)
            if change is None:
                continue
            fields = change.columns() if change.exists else None
            if not fields:
                return None
            substitutes[path] = empty_query(fields)
        return dry_run(header + (sql.substitute(query, substitutes) if substitutes else query))

    @staticmethod
    def _once(compute: Callable[[], Any]) -> Callable[[], Any]:
        known: list[Any] = []
        lock = threading.Lock()

        def get() -> Any:
            with lock:
                if not known:
                    known.append(compute())
            return known[0]

        return get
