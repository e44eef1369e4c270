"""
Rows of the suite's table that are no comparison: what could not be tried, and why.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Union

from tests.fidelity.comparison import Comparison


@dataclass(frozen=True)
class NotCompared:
    """A step of which nothing was compared. It counts as nothing."""

    case: str
    step: str
    reason: str
    verdict: str = "not compared"
    levels: Counter[str] = field(default_factory=Counter)

    def told(self) -> str:
        """Return the reason, in a line."""
        return f"{self.case} / {self.step}: {self.verdict}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Return it for a machine."""
        return {"case": self.case, "step": self.step, "verdict": self.verdict, "reason": self.reason}


Row = Union[Comparison, NotCompared]


def line(row: Row) -> str:
    """Return a row of the table: case, step, levels, verdict, reason."""
    counts = " ".join(f"{level}:{count}" for level, count in sorted(row.levels.items()))
    return f"{row.case:<44} {row.step:<10} {counts:<24} {row.verdict:<13} {reason(row)}".rstrip()


def reason(row: Row) -> str:
    """Return why a row is not simply the same, in a few words; empty where it is."""
    if isinstance(row, NotCompared):
        return row.reason
    if row.verdict == "different":
        wrong = [node.unique_id for node in row.nodes if node.verdict == "different"]
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return (f"{wrong[0]}{more}: " if wrong else "") + (
            next(
                iter(next((node.differences for node in row.nodes if node.differences), row.differences)), ""
            )
        )
    if row.refusal is not None:
        return f"both refuse it: {row.refusal[:200]}"
    only = [node for node in row.nodes if node.writes_only]
    return f"writes only, {len(only)} of {len(row.nodes)} nodes: {only[0].writes_only}" if only else ""
