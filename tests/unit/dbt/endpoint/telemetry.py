"""dbt 2's telemetry, as it writes it while it works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_EVENTS = "v1.public.events.fusion."


class Telemetry:
    """Writes the file that a dbt writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._spans: dict[str, dict[str, Any]] = {}

    def begin(self, kind: str, *, below: str | None = None, **attributes: Any) -> str:
        """Begin a span, such as ``node.NodeEvaluated``, and return its id."""
        span = f"{len(self._spans):016x}"
        self._spans[span] = {
            "span_id": span,
            "parent_span_id": below,
            "event_type": _EVENTS + kind,
            "attributes": attributes,
        }
        self._write("SpanStart", span)
        return span

    def node(self, unique_id: str, phase: str = "RUN") -> str:
        """Begin a node."""
        return self.begin("node.NodeEvaluated", unique_id=unique_id, phase=f"EXECUTION_PHASE_{phase}")

    def query(
        self, sql: str, *, below: str | None = None, purpose: str = "execute adapter call", **more: Any
    ) -> str:
        """Begin a query."""
        return self.begin("query.QueryExecuted", below=below, sql=sql, query_description=purpose, **more)

    def end(self, *spans: str) -> None:
        """End spans."""
        for span in spans:
            self._write("SpanEnd", span)

    def _write(self, kind: str, span: str) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"record_type": kind, **self._spans[span]}) + "\n")
