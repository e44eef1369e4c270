"""
Execution context: what all nodes of a task are executed with, and how a node can end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, Union

from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import JobOperation, NodePlan
from cosmos_async.plan.outcome import Outcome
from cosmos_async.triggers.google.bigquery import JobRef
from cosmos_async.triggers.jobs.warehouse import Warehouse
from cosmos_async.triggers.storage.folders import Folder


class Log(Protocol):
    """Where a node's story is told."""

    def info(self, message: str, /) -> Any: ...
    def warning(self, message: str, /) -> Any: ...
    def error(self, message: str, /) -> Any: ...


class Page(Protocol):
    """Where people see of a task, while it is executed, what is executed."""

    def begin(self, plan: NodePlan, /) -> None: ...
    def submitted(self, plan: NodePlan, operation: JobOperation, ref: JobRef, /) -> None: ...


class LoadedSeeds(Protocol):
    """What is known of seeds that were loaded by earlier runs."""

    async def is_unchanged(self, plan: NodePlan, run: Run, /) -> bool: ...
    async def keep(self, plan: NodePlan, run: Run, /) -> None: ...


@dataclass
class Run:
    """What all nodes have in common that are executed for one task."""

    key: TaskKey
    index: str  #: the digest of the run's index; part of the ids of shared jobs
    warehouse: Warehouse
    folder: Folder
    log: Log
    stops: int = 0  #: how often this process had stood still when it began the task
    deadline: float | None = None  #: when to give up, on the session's clock
    page: Page | None = None  #: where its jobs are shown, beside the log
    own: str | None = None  #: the node whose log this is, if it is of one node alone
    quiet: bool = False  #: the node is one of several tests: its log is one line if it passes
    threads: int = 0  #: how many batches of the run's models may be under way here at once; 0 means no bound
    max_jobs: int = 0  #: how many of the run's jobs may be under way here at once; 0 means no bound
    priority: float = (
        0.0  #: of its jobs, where more wait than may run: the seconds from the task's start to the run's end
    )
    seeds: LoadedSeeds | None = None  #: which seeds need not be loaded; None means that all are
    void: tuple[TaskKey, ...] = ()  #: executions of this task that count no more, and may have left jobs
    began_ahead: bool = (
        False  #: what was done before a worker has planned nodes anew was done ahead of Airflow
    )
    under_way: dict[str, JobRef] = field(
        default_factory=dict
    )  #: our own jobs that may be running; for a kill

    def told(self, plan: NodePlan, message: str) -> str:
        """Return a line of the log about a node, with its name where the log has lines of several."""
        return message if plan.unique_id == self.own else f"{plan.unique_id}: {message}"

    @property
    def clock(self) -> Any:
        """Time and chance."""
        return self.warehouse.bigquery.session.clock


@dataclass(frozen=True)
class Finished:
    """The node has an outcome, good or bad."""

    plan: NodePlan
    outcome: Outcome
    report: str | None = None  #: what went wrong, in full


@dataclass(frozen=True)
class NeedsDbt:
    """The node needs a worker; nothing more was written for it."""

    plan: NodePlan
    reason: str
    late: bool = False  #: it can be planned anew now, and go on here; otherwise real dbt has to run it
    #: The position in its plan up to which it has been carried out, where that has left something behind; else 0.
    done: int = 0
    assumed: bool = False  #: what differed was only assumed by its plan, see :attr:`Guard.assumed`


End = Union[Finished, NeedsDbt]
