"""The node on whose behalf dbt asks BigQuery something, and what is known of its run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .journal import Journal
from .overlay import Overlay


@dataclass(frozen=True)
class NodeContext:
    """
    The node on whose behalf a thread works, what is known of its run, and how its planning ends early.

    Args:
        journal: Where to write what was seen.
        overlay: What this run has changed so far.
        node: Returns the node this thread works for; `RUN` stands for the run itself.
        leave_to_dbt: Ends the recording of the node, with a reason.
        leave_for_later: Likewise, where the node can be planned once those before it are built.
    """

    journal: Journal
    overlay: Overlay
    node: Callable[[], str]
    leave_to_dbt: Callable[[str], Any]
    leave_for_later: Callable[[str], Any]
