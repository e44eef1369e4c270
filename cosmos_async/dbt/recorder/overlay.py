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
        self._changes: dict[sql.Path, Change] = {}
        self._written: dict[sql.Path, str] = {}
        self._lock = threading.RLock()

    def full(self, path: sql.Path) -> sql.Path:
        """Return a path with its project."""
        return path if len(path) != 2 else (self.default_project, *path)

    def change(self, path: sql.Path) -> Change | None:
        """Return what became of a relation in this run, if its shape changed."""
        return self._changes.get(self.full(path))

    def note(
        self, path: sql.Path, *, by: str, exists: bool = True, kind: str = "TABLE", columns: Any = None
    ) -> None:
        """Note that a relation was created, replaced, altered or dropped."""
        foretell = columns if callable(columns) else lambda: columns
        with self._lock:
            self._changes[self.full(path)] = Change(by, exists, kind, foretell)
            self._written[self.full(path)] = by

    def writer(self, path: sql.Path, *, reader: str) -> str | None:
        """
        Return the node whose writes a read of this relation depends on.

        A node that reads its own relation before it writes it, as incremental models do, depends on nobody.
        """
        path = self.full(path)
        if path and path[-1].endswith("*"):
            return self._writer_below(path[:-1], path[-1][:-1], reader)
        written = self._written.get(path)
        builder = self.built.get(path)
        return written or (builder if builder != reader else None)

    def _writer_below(self, dataset: sql.Path, prefix: str, reader: str) -> str | None:
        with self._lock:
            known = [*self._written, *self.built]
        for path in known:
            if path[:-1] == dataset and path[-1].startswith(prefix):
                return self.writer(path, reader=reader)
        return None

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
            if what.kind == "SCHEMA":
                continue
            if what.verb == "create" and not what.temporary:
                if what.if_not_exists and exists(path):
                    continue
                body = what.body
                # Functions and the like that stand before it in the script (dbt's sql_header) are part of the query.
                header = script[: statement.tokens[0].start] if at else ""
                foretell = None if body is None else self._later(body, dry_run, header)
                self.note(path, by=by, kind=what.kind, columns=foretell)
            elif what.verb == "drop":
                self.note(path, by=by, exists=False, kind=what.kind)
            elif what.verb == "alter" and what.columns:
                self.note(path, by=by, kind=what.kind)
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

    def _later(self, query: str, dry_run: DryRun, header: str) -> Callable[[], Any]:
        """Return what foretells *query* when it is first asked, and remembers it."""
        known: list[Any] = []
        lock = threading.Lock()

        def get() -> Any:
            with lock:
                if not known:
                    known.append(self.foretell(query, dry_run, header))
            return known[0]

        return get

    # -- what a read must not depend on ---------------------------------------------------------------------------

    def changed_in(self, text: str, *, reader: str) -> tuple[str, str] | None:
        """Return the first relation a query names that this run writes, and the node that does."""
        for path in sorted(sql.paths(text)):
            by = self.writer(path, reader=reader)
            if by:
                return ".".join(self.full(path)), by
        return None

    def why_not_now(self, text: str, *, reader: str, legacy: bool = False) -> str | None:
        """Return why the rows of a query cannot be read before the run, None if they can."""
        for path in sql.paths(text):
            if self._speaks_of_changes(path):
                return f"It asks {'.'.join(path)} about objects that this run changes."
        if legacy:
            with self._lock:
                named = [path for path in (*self._written, *self.built) if path and path[-1] in text]
            if named:
                return f"It asks about {'.'.join(named[0])}, which this run writes, in legacy SQL."
        changed = self.changed_in(text, reader=reader)
        if changed is None:
            return None
        relation, by = changed
        whose = "which it writes itself" if by == reader else f"which this run builds first ({by})"
        return f"Its SQL depends on the rows of {relation}, {whose}."

    def _speaks_of_changes(self, path: sql.Path) -> bool:
        """Tell whether a path is a view of metadata that may list what this run changes."""
        at = next((at for at, part in enumerate(path) if part.upper().startswith("INFORMATION_SCHEMA")), None)
        if at is None:
            return False
        dataset = path[:at]
        # A region's or a project's view speaks of every dataset in it.
        if not dataset or any("region-" in part.lower() for part in dataset):
            return True
        return self.full((*dataset, ""))[:-1] in self.datasets()
