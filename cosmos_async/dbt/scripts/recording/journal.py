"""What was seen, in the order it was seen, by the node that caused it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

RUN = ""  # what belongs to no node: schemas, listings
_WRITES = frozenset(("job", "call", "native"))  # events
GRAPH = "graph, where hooks and packages may have put things"
WHOLE_CONTEXT = "all of dbt's context"
VARIABLE = "a variable that holds a list or mapping, where nodes may have put things"


class Journal:
    """Collects events and what this thread is doing while they happen."""

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.flags: dict[str, str] = {}  #: why a node cannot be planned, by node
        self.late: set[str] = set()  #: those of them that can be planned once the nodes before them are built
        self.nodes: dict[str, dict[str, Any]] = {}
        self.listings: dict[str, dict[str, str]] = {}  #: table types by name, by ``project.dataset``
        self.routines: dict[str, dict[str, str]] = {}  #: their types by name, where dbt lists them, too
        self.batches: dict[str, list[dict[str, Any]]] = {}  #: of microbatch models, in dbt's order, by node
        self.run: dict[str, Any] = {"on_run_start": [], "on_run_end": 0}
        #: what dbt's cache knew when the run began and when it ended; what only the run itself can tell
        self.relations: dict[str, list[Any]] = {"schemas": [], "start": [], "end": [], "open": []}
        self.moments: dict[str, str] = {}  #: what a node uses that another run has differently, by node
        #: nodes that use what all nodes of an invocation share in dbt's memory
        self.remembering: set[str] = set()
        #: the first of them that has got an answer which is only assumed
        self.may_remember: str | None = None
        self.temporaries: dict[str, list[str]] = {}  #: names that dbt made of the time of day, by node
        self.environment: set[str] = set()  #: the environment variables that were asked for
        self.once: str | None = None  #: why the plan of this run can serve no other one
        self.ephemerals: dict[
            str, dict[str, Any]
        ] = {}  #: name and parents of all of the project, selected or not
        self.inherited: set[str] = set()  #: what is compiled for another node, and reads the warehouse then
        #: how many of a node's macros dbt found while parsing; it adds those that it calls
        self.macros: dict[str, int] = {}
        self._lock = threading.Lock()
        self._here = threading.local()

    def add(self, unique_id: str, event: str, **values: Any) -> dict[str, Any]:
        """Append one event of a node and return it."""
        entry = {
            "event": event,
            "phase": self.doing("phase"),
            "macros": list(self.doing("macros") or ()),
            **values,
        }
        compiled, owners = self.doing("compiling"), {unique_id}
        if compiled is not None and compiled != unique_id:
            self.inherited.add(compiled)
            owners.add(compiled)  # an ephemeral model, which is compiled for the first of its children alone
        if self.doing("batch") is not None:
            entry["batch"] = self.doing("batch")
        with self._lock:
            for owner in owners:
                self.events.setdefault(owner, []).append(entry)
        return entry

    def has_written(self, unique_id: str) -> bool:
        """Tell whether a node has come to change something."""
        with self._lock:
            return any(event["event"] in _WRITES for event in self.events.get(unique_id, ()))

    def assumed(self, unique_id: str) -> str | None:
        """Return why an answer to a node is only assumed, None where all are certain; see :meth:`NodeContext.assume`."""
        with self._lock:
            reasons = (event.get("assumed") for event in self.events.get(unique_id, ()))
            return next(filter(None, reasons), None)

    def doing(self, what: str) -> Any:
        """Return what this thread said of itself by :meth:`while_doing`."""
        return getattr(self._here, what, None)

    @contextmanager
    def while_doing(self, **what: Any) -> Iterator[None]:
        """Let this thread say of itself what it does, such as ``fetch=True``."""
        before = {name: self.doing(name) for name in what}
        for name, value in what.items():
            setattr(self._here, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self._here, name, value)

    def use(self, unique_id: str, what: str) -> None:
        """Note that a node uses what another run has differently; the first one counts."""
        with self._lock:
            self.moments.setdefault(unique_id, what)
        if what not in (GRAPH, WHOLE_CONTEXT, VARIABLE):
            return
        self.remembering.add(unique_id)
        if self.assumed(unique_id) is not None:
            self.may_remember = self.may_remember or unique_id
        if self.may_remember is not None and unique_id != RUN:
            reason = f"It looks into dbt's memory, where {self.may_remember} may have left an answer that is only assumed."
            self.flag(unique_id, reason, late=True)

    def use_once(self, why: str) -> None:
        """Note why the plan of this run can serve no other one; the first reason counts."""
        with self._lock:
            self.once = self.once or why

    def name_temporary(self, unique_id: str, identifier: str) -> None:
        """Note a name that dbt made of the time of day for what a node makes and drops."""
        with self._lock:
            self.temporaries.setdefault(unique_id, []).append(identifier)

    def flag(self, unique_id: str, reason: str, *, late: bool = False) -> None:
        """
        Give up on a node; its first reason counts.

        Args:
            unique_id: The node.
            reason: A sentence for a person.
            late: Whether it can be planned once the nodes before it are built; otherwise real dbt has to run it.
        """
        with self._lock:
            if unique_id in self.flags:
                return
            self.flags[unique_id] = reason
            if late:
                self.late.add(unique_id)
