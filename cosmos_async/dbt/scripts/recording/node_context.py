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
        assumes: Tells of a node whether what it reads of this run's own work may be answered by what is there now.
    """

    journal: Journal
    overlay: Overlay
    node: Callable[[], str]
    leave_to_dbt: Callable[[str], Any]
    leave_for_later: Callable[[str], Any]
    assumes: Callable[[str], bool] = lambda unique_id: False

    def assume(self, reason: str) -> str:
        """
        Let BigQuery answer a read as things are now, although this run changes what is read before the node's turn.

        The read's guard repeats it then, and where it differs the node is planned late. So the node must have written nothing
        yet. Not for hooks, nor for a microbatch model, whose later batches would fail, nor for an ephemeral model, whose own
        text nobody would make anew, nor where the node has looked into dbt's memory, which other nodes see: the answer may be
        kept there, and they have no guard.

        Args:
            reason: Why it cannot be known yet, a sentence. The node ends with it where nothing is assumed.

        Returns:
            The reason, which the read's event has as ``assumed``.
        """
        unique_id = self.node()
        journal = self.journal
        apart = not unique_id or unique_id.startswith("operation.") or journal.doing("batch") is not None
        compiled = journal.doing("compiling")
        ephemeral = unique_id in journal.ephemerals or compiled not in (None, unique_id)
        shared = unique_id in journal.remembering
        if apart or ephemeral or shared or not self.assumes(unique_id) or journal.has_written(unique_id):
            self.leave_for_later(reason)
        return reason
