"""
What dbt 2 is doing at this moment, as its own telemetry tells.

With ``--otel-file-name`` dbt 2 (2.0.0-alpha.4) writes a line for each span as that begins, and another one as it ends: of
phases, nodes, hooks, and queries with their SQL before they are sent. So whoever meets a request knows who asks, and why.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: dbt writes a span's beginning before it sends the query, but not always before we get here.
PATIENCE = 2.0  # seconds
_POLL = 0.01

_EVENTS = "v1.public.events.fusion."
_QUERY, _HOOK, _PHASE = (
    f"{_EVENTS}query.QueryExecuted",
    f"{_EVENTS}hook.HookProcessed",
    f"{_EVENTS}phase.PhaseExecuted",
)
_NODES = (f"{_EVENTS}node.NodeEvaluated", f"{_EVENTS}node.NodeProcessed")
_WANTED = (_QUERY, _HOOK, _PHASE, *_NODES)


class Ambiguous(Exception):
    """It is not certain who sends a query; those who may have are its arguments."""


@dataclass(frozen=True)
class Asker:
    """Who asks BigQuery something, and what for."""

    unique_id: str | None  #: a node or an on-run hook; None stands for the run itself
    phase: str = ""  #: dbt's word, such as ``RENDER`` or ``RUN``
    hook: bool = False  #: whether it is a pre-hook or a post-hook of the node
    purpose: str = ""  #: dbt's description of the query, such as ``get_relation adapter call``


class Spans:
    """
    Reads the telemetry of one process of dbt while that is written.

    Args:
        path: The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self._open: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self.hooks: dict[
            str, dict[str, Any]
        ] = {}  #: on-run hooks in dbt's order, as their last line tells of them
        self._phases: set[str] = set()  # those that have begun

    def asker_of(self, sql: str) -> Asker:
        """
        Return who sends a query.

        Raises:
            Ambiguous: Nobody does, or several.
        """
        wanted = sql.strip()
        until = time.monotonic() + PATIENCE
        while True:
            with self._lock:
                self._read()
                found = {
                    self._asker(span)
                    for span in self._open.values()
                    if span["event_type"] == _QUERY and span["attributes"].get("sql", "").strip() == wanted
                }
            if len(found) == 1:
                return found.pop()
            if found or time.monotonic() > until:
                raise Ambiguous(*(found or self.at_work()))
            time.sleep(_POLL)

    def at_work(self) -> list[Asker]:
        """Return who may have sent a request that is no query: nodes and hooks that have begun and not ended."""
        with self._lock:
            self._read()
            spans = [span for span in self._open.values() if span["event_type"] in (*_NODES, _HOOK)]
            found: dict[str, Asker] = {}
            for span in spans:
                asker = self._asker(span)
                known = found.get(str(asker.unique_id))
                if asker.unique_id is not None and (known is None or _depth(asker) > _depth(known)):
                    found[asker.unique_id] = asker
        return list(found.values())

    def purpose_of(self, unique_id: str, known: Callable[[str, str], str], *, patient: bool) -> str:
        """
        Return what a node's query is for that it has begun and not ended; empty where it is none of those looked for.

        Args:
            unique_id: The node.
            known: Returns what a query is for, given its SQL and dbt's description of it; empty if it is not looked for.
            patient: Whether to wait for it.
        """
        until = time.monotonic() + (PATIENCE if patient else 0.0)
        while True:
            with self._lock:
                self._read()
                queries = [span for span in self._open.values() if span["event_type"] == _QUERY]
                for span in queries:
                    asker = self._asker(span)
                    found = known(str(span["attributes"].get("sql") or ""), asker.purpose)
                    if found and asker.unique_id == unique_id:
                        return found
            if time.monotonic() >= until:
                return ""
            time.sleep(_POLL)

    def has_begun(self, phase: str, *, patience: float = 0.0) -> bool:
        """
        Tell whether a phase has begun, such as ``ON_RUN_END``.

        Args:
            phase: dbt's word.
            patience: Seconds to wait for it.
        """
        until = time.monotonic() + patience
        while True:
            with self._lock:
                self._read()
                if phase in self._phases:
                    return True
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL)

    def _asker(self, span: dict[str, Any]) -> Asker:
        unique_id, hook, phase = None, False, ""
        for each in self._upwards(span):
            kind, attributes = each["event_type"], each["attributes"]
            unique_id = unique_id or attributes.get("unique_id") or None
            hook = hook or (
                kind == _HOOK and attributes.get("hook_type") in ("HOOK_TYPE_PRE_HOOK", "HOOK_TYPE_POST_HOOK")
            )
            phase = phase or _phase(attributes)
        purpose = span["attributes"].get("query_description") or "" if span["event_type"] == _QUERY else ""
        return Asker(unique_id, phase, hook, purpose)

    def _upwards(self, span: dict[str, Any]) -> Iterator[dict[str, Any]]:
        at: dict[str, Any] | None = span
        while at is not None:
            yield at
            at = self._open.get(at.get("parent_span_id") or "")

    def _read(self) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            record = json.loads(line)
            kind = record.get("record_type")
            if kind == "SpanStart":
                self._open[record["span_id"]] = record
                if record.get("event_type") == _PHASE:
                    self._phases.add(_phase(record["attributes"]))
            elif kind == "SpanEnd":
                self._open.pop(record["span_id"], None)
            if record.get("event_type") == _HOOK and record["attributes"].get("unique_id", "").startswith(
                "operation."
            ):
                self.hooks[record["attributes"]["unique_id"]] = record


def _depth(asker: Asker) -> tuple[bool, bool]:
    return asker.hook, asker.phase == "RUN"


def _phase(attributes: dict[str, Any]) -> str:
    return str(attributes.get("phase") or "").replace("EXECUTION_PHASE_", "")
