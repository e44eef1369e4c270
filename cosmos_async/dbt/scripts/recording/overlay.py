"""
What this run has changed so far, had it really been done, and what can be foretold of it.

A read of something the run itself writes cannot be answered by the warehouse as it is now. Its columns can often be
foretold all the same: BigQuery tells the columns of any query for nothing (a dry run), and tables that do not exist
yet are put into that query as empty subqueries with the columns foretold for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import effects, emptiness, sql
from .fields import empty_query

DryRun = Callable[[str], Any]


@dataclass(frozen=True)
class Change:
    """A relation as this run leaves it."""

    by: str  #: the node
    exists: bool
    kind: str  #: TABLE, VIEW, ...
    columns: Callable[[], Any]  #: foretells its fields; None where nobody can


@dataclass(frozen=True)
class NotNow:
    """Why something cannot be read before the run."""

    reason: str  #: a sentence for a person
    late: bool  #: whether it can be read once the nodes before the reader are built


@dataclass
class _Changes:
    """What was changed, by ``(project, dataset, table)``."""

    shapes: dict[sql.Path, Change] = field(default_factory=dict)
    writers: dict[sql.Path, str] = field(
        default_factory=dict
    )  #: the nodes that changed something, rows included
    empty: set[sql.Path] = field(default_factory=set)  #: made by this run, and certainly without rows so far


class Overlay:
    """
    The run's own changes, by ``(project, dataset, table)``.

    Args:
        default_project: Where names without a project are.
        late: Whether the nodes before the recorded ones are built by now: the warehouse is as dbt would find it. Several
            late nodes are recorded side by side, each as if it were alone: it finds no change but its own.
        node: Returns the node this thread works for.
    """

    def __init__(
        self, default_project: str, *, late: bool = False, node: Callable[[], str] = lambda: ""
    ) -> None:
        self.default_project = default_project
        self.late = late
        self._node = node
        self.built: dict[sql.Path, str] = {}  #: the nodes of this run and what they build
        self.project: dict[sql.Path, str] = {}  #: all that the project builds, whether selected or not
        self.created_datasets: set[sql.Path] = set()  #: those that this run makes
        self._of_all = _Changes()
        self._of_each: dict[str, _Changes] = {}  # of late nodes
        self._lock = threading.RLock()

    @property
    def _seen(self) -> _Changes:
        """The changes that the node finds for which this thread works."""
        if not self.late:
            return self._of_all
        with self._lock:
            return self._of_each.setdefault(self._node(), _Changes())

    def _builders(self, reader: str) -> dict[sql.Path, str]:
        """Return the nodes that build something while the reader is recorded."""
        return {path: by for path, by in self.built.items() if not self.late or by == reader}

    @property
    def unchanged(self) -> bool:
        """Whether this run has changed nothing yet: all is there as dbt would find it."""
        with self._lock:
            return not (self._seen.shapes or self._seen.writers or self.created_datasets)

    def full(self, path: sql.Path) -> sql.Path:
        """Return a path with its project."""
        return path if len(path) != 2 else (self.default_project, *path)

    def change(self, path: sql.Path) -> Change | None:
        """Return what became of a relation in this run, if its shape changed."""
        return self._seen.shapes.get(self.full(path))

    def note(
        self, path: sql.Path, *, by: str, exists: bool = True, kind: str = "TABLE", columns: Any = None
    ) -> None:
        """Note that a relation was created, replaced, altered or dropped."""
        foretell = columns if callable(columns) else lambda: columns
        with self._lock:
            self._seen.shapes[self.full(path)] = Change(by, exists, kind, foretell)
            self._seen.writers[self.full(path)] = by
            self._seen.empty.discard(self.full(path))

    def wrote(self, path: sql.Path, *, by: str) -> None:
        """Note that the rows of a relation were changed."""
        with self._lock:
            self._seen.writers[self.full(path)] = by
            self._seen.empty.discard(self.full(path))

    def has_written(self, path: sql.Path, *, by: str) -> bool:
        """Tell whether a node is the last one that has changed a relation in this run, be it its rows."""
        return self._seen.writers.get(self.full(path)) == by

    def is_empty(self, path: sql.Path) -> bool:
        """Tell whether a relation is one that this run has made and that certainly has no rows so far."""
        return self.full(path) in self._seen.empty

    def writer(self, path: sql.Path, *, reader: str) -> str | None:
        """
        Return the node whose writes a read of this relation depends on.

        A node that reads its own relation before it writes it, as incremental models do, depends on nobody.
        """
        path = self.full(path)
        if path and path[-1].endswith("*"):
            return self._writer_below(path[:-1], path[-1][:-1], reader)
        written = self._seen.writers.get(path)
        builder = None if self.late else self.built.get(path)
        return written or (builder if builder != reader else None)

    def _writer_below(self, dataset: sql.Path, prefix: str, reader: str) -> str | None:
        with self._lock:
            known = [*self._seen.writers, *self._builders(reader)]
        for path in known:
            if path[:-1] == dataset and path[-1].startswith(prefix):
                return self.writer(path, reader=reader)
        return None

    def apply(self, script: str, *, by: str, dry_run: DryRun, exists: Callable[[sql.Path], bool]) -> None:
        """Note what a script does that was recorded and not sent."""
        found = sql.statements(script)
        for at, statement in enumerate(found):
            what = effects.effect(statement)
            path = self.full(what.path)
            if what.kind == "SCHEMA":
                if what.verb == "create":
                    two = len(what.path) == 2
                    self.created_datasets.add(what.path if two else (self.default_project, *what.path))
                continue
            if what.verb == "create" and not what.temporary:
                if what.if_not_exists and exists(path):
                    continue
                body = what.shape
                # Functions and the like that stand before it in the script (dbt's sql_header) are part of the query.
                header = script[: statement.tokens[0].start] if at else ""
                foretell = None if body is None else self._later(body, dry_run, header)
                self.note(path, by=by, kind=what.kind, columns=foretell)
                if what.kind == "TABLE" and what.body and emptiness.has_no_rows(what.body, self.is_empty):
                    with self._lock:
                        self._seen.empty.add(path)
            elif what.verb == "drop":
                self.note(path, by=by, exists=False, kind=what.kind)
            elif what.verb == "alter" and what.columns:
                # Foretold at once: the relation is its own past.
                fields = None if what.shape is None else self.foretell(what.shape, dry_run)
                self.note(path, by=by, kind=what.kind, columns=fields)
            elif path and not emptiness.changes_nothing(statement, self.is_empty):
                self.wrote(path, by=by)

    def foretell(self, query: str, dry_run: DryRun, header: str = "") -> Any:
        """Return the fields that *query* will have once this run got there; None where nobody can tell."""
        return self._foretold(query, self._changes_of(query), dry_run, header)

    def _changes_of(self, query: str) -> dict[sql.Path, Change]:
        changes = {path: self.change(path) for path in sql.paths(query)}
        return {path: change for path, change in changes.items() if change is not None}

    def _foretold(self, query: str, changes: dict[sql.Path, Change], dry_run: DryRun, header: str) -> Any:
        substitutes: dict[sql.Path, str] = {}
        for path, change in changes.items():
            fields = change.columns() if change.exists else None
            if not fields:
                return None
            substitutes[path] = empty_query(fields)
        return dry_run(header + (sql.substitute(query, substitutes) if substitutes else query))

    def without_rows(self, query: str) -> str | None:
        """
        Return a query that BigQuery answers now as it will answer *query* once this run got there.

        Tables that are known to be without rows by then stand in it as such. None where their columns are not known.
        """
        substitutes: dict[sql.Path, str] = {}
        for path in sql.paths(query):
            if self.is_empty(path):
                change = self.change(path)
                fields = change.columns() if change is not None else None
                if not fields:
                    return None
                substitutes[path] = empty_query(fields)
        return sql.substitute(query, substitutes) if substitutes else query

    def _later(self, query: str, dry_run: DryRun, header: str) -> Callable[[], Any]:
        """
        Return what foretells *query* when it is first asked, and remembers it.

        What it reads is as it is now: a later statement may replace one of these relations by a query of its own rows.
        """
        changes = self._changes_of(query)
        known: list[Any] = []
        lock = threading.Lock()

        def get() -> Any:
            with lock:
                if not known:
                    known.append(self._foretold(query, changes, dry_run, header))
            return known[0]

        return get

    # -- what a read must not depend on ---------------------------------------------------------------------------

    def changed_in(self, text: str, *, reader: str, but_empty: bool = False) -> tuple[str, str] | None:
        """
        Return a relation a query names that this run writes, and who does: the reader itself, if it is one.

        Args:
            text: The query.
            reader: The node that asks.
            but_empty: Leave out those that are known to be without rows.
        """
        found = [
            (".".join(self.full(path)), by)
            for path in sorted(sql.paths(text))
            for by in [self.writer(path, reader=reader)]
            if by and not (but_empty and self.is_empty(path))
        ]
        return min(found, key=lambda one: one[1] != reader, default=None)

    def why_not_now(self, text: str, *, reader: str, legacy: bool = False) -> NotNow | None:
        """Return why the rows of a query cannot be read before the run, None if they can."""
        for path in sorted(sql.paths(text)):
            dataset = _described_dataset(path)
            if dataset is not None and self._changes_in(dataset):
                reason = f"It asks {'.'.join(path)} about objects that this run changes."
                return NotNow(reason, late=not self._changes_in(dataset, by=reader))
        if legacy:
            with self._lock:
                named = [
                    path
                    for path in (*self._seen.writers, *self._builders(reader))
                    if path and path[-1] in text
                ]
            if named:
                reason = f"It asks about {'.'.join(named[0])}, which this run writes, in legacy SQL."
                return NotNow(reason, late=self._seen.writers.get(named[0]) != reader)
        changed = self.changed_in(text, reader=reader, but_empty=self.without_rows(text) is not None)
        if changed is None:
            return None
        relation, by = changed
        whose = "which it writes itself" if by == reader else f"which this run builds first ({by})"
        return NotNow(f"Its SQL depends on the rows of {relation}, {whose}.", late=by != reader)

    def why_no_listing(self, dataset: sql.Path, *, reader: str) -> NotNow | None:
        """Return why it cannot be told before the run what a dataset contains, None if it can."""
        # Hooks come before everything that nodes build.
        if not self._changes_in(dataset, built=not reader.startswith("operation.")):
            return None
        reason = f"It lists what the dataset {'.'.join(dataset)} contains, which this run changes."
        return NotNow(reason, late=not self._changes_in(dataset, by=reader))

    def _changes_in(self, dataset: sql.Path, *, built: bool = True, by: str | None = None) -> bool:
        """
        Tell whether this run changes something in a dataset.

        Args:
            dataset: Its name; empty, or a region's, means all of them.
            built: Whether what nodes will build counts.
            by: Only what this node has written so far.
        """
        with self._lock:
            # A late node finds all there that others build, and has built nothing itself.
            coming = self.built if built and by is None and not self.late else ()
            changed = {
                path[:2]
                for path in (*self._seen.writers, *coming)
                if len(path) == 3 and (by is None or self._seen.writers[path] == by)
            }
        if not dataset or any("region-" in part.lower() for part in dataset):
            return bool(changed)
        # A name alone is a dataset's, or a project's: its view speaks of every dataset in it.
        if len(dataset) == 1 and any(path[0] == dataset[0] for path in changed):
            return True
        return self.full((*dataset, ""))[:-1] in changed


def _described_dataset(path: sql.Path) -> sql.Path | None:
    """Return the dataset of which a view of metadata speaks (empty: of all), None where the path is no such view."""
    at = next((at for at, part in enumerate(path) if part.upper().startswith("INFORMATION_SCHEMA")), None)
    return None if at is None else path[:at]
