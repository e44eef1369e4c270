"""
What happened during a seed, as the monkey and the sampler saw it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DAG_ID = "chaos"
#: The first question of a triggerer's triggers takes seconds: until then Airflow builds an API server in it. On a busy
#: machine that may be half a minute.
WARM = 40.0


@dataclass(frozen=True)
class Click:
    """Somebody has stopped a task."""

    at: float  #: wall clock
    task_id: str
    try_number: int
    kind: str  #: ``fail`` or ``clear``
    job_id: str | None  #: what ran for it, with a while to go
    triggerer: int | None  #: who had it then, if that one was well


@dataclass
class Story:
    """What the monkey did."""

    began: float
    clicks: list[Click] = field(default_factory=list)
    deaths: list[tuple[float, str, str]] = field(default_factory=list)  #: when, which triggerer, how
    losses: list[float] = field(
        default_factory=list
    )  #: when a triggerer died or froze, or all of them lost the database

    def lost_between(self, begin: float, end: float) -> bool:
        """Return whether that happened then, so that what takes until *end* tells nothing."""
        return any(begin <= at <= end for at in self.losses)

    events: list[tuple[float, str]] = field(default_factory=list)  #: for the log


@dataclass(frozen=True)
class Takeover:
    """Airflow has given a trigger to another triggerer."""

    at: float  #: wall clock; when the trigger began there
    task_id: str
    try_number: int
    age: float  #: since how many seconds the new one had had triggers
