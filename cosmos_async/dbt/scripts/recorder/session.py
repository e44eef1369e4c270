"""One recording: what all that is replaced in dbt shares."""

from __future__ import annotations

import threading
from typing import Any

from dbt_common.exceptions import DbtRuntimeError

from ..recording.node_context import NodeContext
from ..recording.wire import Wire

NEEDS_DBT = "left to real dbt"


class LeftToDbt(DbtRuntimeError):  # type: ignore[misc]  # dbt is not here when types are checked
    """Ends the recording of a node. dbt's handlers let errors of its own through unchanged."""


class Recording:
    """What is known of one invocation of dbt."""

    def __init__(self, context: NodeContext, wire: Wire) -> None:
        self.context = context
        self.journal = context.journal
        self.overlay = context.overlay
        self.wire = wire
        self.config: Any = None  #: dbt's RuntimeConfig, once the run has begun
        self.lock = threading.Lock()
