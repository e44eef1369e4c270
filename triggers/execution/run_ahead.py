"""
Run ahead of Airflow's scheduler: a task that has succeeded begins the tasks below it, in its own triggerer.

Airflow needs seconds from the end of one task to the start of the next. Here the next one's first try is executed at once;
when Airflow starts it, its trigger finds the work under way, or done. Nothing depends on that: where nobody has begun the
task, its trigger executes it as ever.

One process executes a task at a time, which has its lease. What is executed ahead counts if everything is as it was:
whoever clears a task makes it begin once more, and what comes below it; so its jobs have ids of their own, which the
task's own try goes on with or leaves.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from cosmos_async.exceptions import CosmosAsyncError, PlanDamaged, PlanGone
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import Index, Level
from cosmos_async.plan.outcome import Outcome, load_outcome
from cosmos_async.plan.store import (
    AGAIN,
    SUCCEEDED,
    PlanAddress,
    again_object,
    graph_object,
    outcome_object,
    succeeded_object,
)
from cosmos_async.plan.task_graph import TaskGraph
from cosmos_async.triggers.event_loop.clock import Clock
from cosmos_async.triggers.event_loop.gather import both, gather_bounded
from cosmos_async.triggers.execution.buffered_log import BufferedLog
from cosmos_async.triggers.execution.continuation import is_same_work
from cosmos_async.triggers.execution.groups import Groups
from cosmos_async.triggers.execution.late import Resume
from cosmos_async.triggers.execution.lease import (
    ARRIVED,
    PROCESS,
    RENEWED,
    STALE,
    Lease,
    name_of,
    read_lease,
    write_lease,
)
from cosmos_async.triggers.execution.seeds import Seeds
from cosmos_async.triggers.execution.task_nodes import Result, nodes_of
from cosmos_async.triggers.execution.xcoms import TaskXComs
from cosmos_async.triggers.google.bigquery import JobRef
from cosmos_async.triggers.google.credentials import Identity, identity_key
from cosmos_async.triggers.google.session import Session, shared_session
from cosmos_async.triggers.jobs.cancel import cancel_jobs
from cosmos_async.triggers.jobs.context import Log, Run
from cosmos_async.triggers.jobs.warehouse import warehouse_of
from cosmos_async.triggers.storage.documents import (
    folder_at,
    newest_index,
    read_checked,
    read_index,
)
from cosmos_async.triggers.storage.folders import Folder, ObjectMissing, ObjectThere
from cosmos_async.triggers.storage.node_plans import read_node
from cosmos_async.triggers.task import Airflow

#: Tasks along one path that are executed while Airflow has not started them: what a person who pauses the DAG must expect.
MOST_AHEAD = 3
#: Seconds between two looks at what Airflow has to say of a task that it has not started.
LOOK = 10.0
PATIENCE = 10.0  # seconds for one look
KEPT = 64  # runs
#: States of a task that Airflow is going to start, or has started.
WANTED = frozenset({None, "scheduled", "queued", "deferred", "running"})
#: Those in which it has: what was begun ahead is for the task's own trigger to judge.
STARTED = frozenset({"deferred", "running"})
#: States of a setup task that plans the run anew, or is going to.
PLANNING = frozenset({"scheduled", "queued", "running", "restarting", "up_for_retry"})
#: Looks at a setup task without a state: just cleared, or deleted with its run.
MOST_UNKNOWN = 3

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class Execution:
    """A task that is executed ahead in this process."""

    key: TaskKey
    depth: int  #: how many tasks on the way to it Airflow has not started, itself included
    result: Result = field(default_factory=Result)
    log: BufferedLog = field(default_factory=BufferedLog)
    xcoms: TaskXComs | None = None  #: once it has begun
    run: Run | None = None  #: once it has begun; knows the jobs that are under way
    started: bool = False  #: Airflow has started the task
    stopped: bool = False  #: nobody wants it any more
    over: bool = False  #: it has come to its end, whichever
    unknown: int = 0  #: looks in a row at which the setup task had no state
    failed: str | None = None  #: why its own trigger has to go on with it
    task: asyncio.Task[None] | None = None
    admitted: asyncio.Event = field(default_factory=asyncio.Event)  #: it has its lease, or is over

    @property
    def jobs(self) -> list[JobRef]:
        """Its jobs that may be running."""
        return [] if self.run is None else list(self.run.under_way.values())

    async def end(self, log: Log) -> Result | None:
        """Wait for its end and return what came of it; None where that is for the task's own trigger to find out."""
        assert self.task is not None
        self.started, self.depth = True, 0
        self.log.follow(log)
        if self.xcoms is not None:
            self.xcoms.follow()
        try:
            await asyncio.wait({self.task})
        except asyncio.CancelledError:
            # Killed, or in another triggerer from now on: whoever looks next finds out.
            self.started = False
            self.log.keep()
            raise
        if self.failed is None and not self.task.cancelled() and self.task.exception() is None:
            return self.result
        why = self.failed or ("it was stopped" if self.task.cancelled() else repr(self.task.exception()))
        log.warning(f"What was begun ahead of Airflow did not come to its end: {why}. Going on here.")
        return None

    async def stop(self) -> None:
        """End it; its jobs are for the caller to cancel."""
        self.stopped = True
        await self.leave()

    async def leave(self) -> None:
        """End it, and leave its jobs to whoever goes on with them."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task})


@dataclass(frozen=True)
class Taken:
    """What a task's own trigger finds of it."""

    result: Result | None = None  #: of an execution in this process that has come to its end
    outcomes: list[Outcome] | None = None  #: likewise in another one
    ahead: bool = False  #: go on with what was begun ahead, whose process is gone
    void: bool = False  #: what was begun ahead counts no more; its jobs are to be cancelled first


class RunAhead:
    """
    The tasks of one planned run, as far as this process executes them.

    Args:
        address: Of the run's plan.
        index: Its index.
        graph: Which task follows which; an empty one begins nothing.
        map_index: Of the run's tasks, -1 where they are not mapped.
        setup_task_id: The setup task's.
        identity: Who submits the jobs.
        airflow: Who knows whether a task is still to begin.
        clock: Time.
    """

    def __init__(
        self,
        address: PlanAddress,
        index: Index,
        graph: TaskGraph,
        *,
        map_index: int,
        setup_task_id: str,
        identity: Identity,
        airflow: Airflow,
        clock: Clock,
    ) -> None:
        self._address, self._index, self._graph = address, index, graph
        self._map_index = map_index
        self._setup = setup_task_id
        self._identity, self._airflow, self._clock = identity, airflow, clock
        self._succeeded: dict[str, int] = {}  # tasks, and how many on the way to them Airflow has not started
        self._told: dict[str, int] = {}  # those of which this process has told, likewise
        # Tasks by the names of what they leave.
        self._that_succeeded = {succeeded_object(one, map_index): one for one in graph.tasks}
        self._that_begin_again = {again_object(one, map_index): one for one in graph.tasks}
        self._begun: set[str] = set()
        self._executions: dict[str, Execution] = {}  # until their own triggers have ended
        self._background: set[asyncio.Task[Any]] = set()

    @classmethod
    async def of(
        cls,
        address: PlanAddress,
        index: Index,
        *,
        key: TaskKey,
        setup_task_id: str,
        folder: Folder,
        session: Session,
        identity: Identity,
        airflow: Airflow,
    ) -> RunAhead | None:
        """
        Return the one that all tasks of a run share in this process, None where none of the run's begins ahead.

        Those that submit their jobs as somebody else share another one.

        Args:
            address: Of the run's plan.
            index: Its index.
            key: Of the task that asks.
            setup_task_id: The setup task's.
            folder: The run's folder.
            session: Through which it is read.
            identity: Who submits the jobs.
            airflow: As above.
        """
        if not index.run.ahead:
            return None
        runs = _runs.setdefault(asyncio.get_running_loop(), OrderedDict())
        where = (address, key.map_index, identity_key(identity))
        if where not in runs:
            digest = None if index.run.fail_fast else index.run.tasks
            graph = TaskGraph({})
            if digest is not None:
                graph = await session.once(("tasks", digest), lambda: _read_graph(folder, digest))
            if where not in runs:
                runs[where] = cls(
                    address,
                    index,
                    graph,
                    map_index=key.map_index,
                    setup_task_id=setup_task_id,
                    identity=identity,
                    airflow=airflow,
                    clock=session.clock,
                )
        runs.move_to_end(where)
        for old in [each for each, run in runs.items() if each != where and not run._background][:-KEPT]:
            del runs[old]
        return runs[where]

    def seconds_left(self, task_id: str) -> float:
        """Return the seconds from a task's start to the run's end, as far as an earlier run tells; else 0."""
        task = self._graph.tasks.get(task_id)
        return 0.0 if task is None else task.seconds_left

    # -- a task that Airflow has started ------------------------------------------------------------------------------

    def under_way(self, task_id: str) -> Execution | None:
        """Return what this process executes of a task ahead, by whichever plan of the run; None where it does not."""
        for run in (self, *self._others()):
            if task_id in run._executions:
                return run._executions[task_id]
        return None

    def _others(self) -> list[RunAhead]:
        """Return those of the run's plans before and after this one, and of other identities."""
        return [
            run
            for (address, map_index, _), run in _runs.get(asyncio.get_running_loop(), {}).items()
            if run is not self and address.folder == self._address.folder and map_index == self._map_index
        ]

    async def take(self, key: TaskKey, folder: Folder, log: Log) -> Taken:
        """
        Return what there is of a task that Airflow has started, once that has come to its end; for the task's own trigger.

        From now on nobody else begins it.

        Args:
            key: The task.
            folder: The run's folder.
            log: The task's.
        """
        self._begun.add(key.task_id)
        execution = self.under_way(key.task_id)
        if execution is not None:  # perhaps since this moment: then its lease is on its way
            await execution.admitted.wait()
        if key.try_number > 1:
            # It has left word of that: whoever looks from now on knows that what was begun below it does not count.
            self._succeeded.pop(key.task_id, None)
            return await self._voided(key, folder)
        execution = self.under_way(key.task_id)
        if execution is None and not await self._was_begun(key, folder):
            return Taken()
        if await self._is_void(key, folder):
            return await self._voided(key, folder)
        if execution is not None:
            ended = await execution.end(log)
            if ended is not None:
                return Taken(result=ended)
            # It may have been stopped meanwhile, and its jobs with it.
            return await self._voided(key, folder) if await self._is_void(key, folder) else Taken(ahead=True)
        return await self._wait(key, folder, log)

    async def began_ahead(self, key: TaskKey, folder: Folder) -> bool:
        """Return whether the first try of a task, which a worker has planned anew since, was begun ahead."""
        lease = await read_lease(folder, key)
        return key.try_number == 1 and lease is not None and lease.ahead

    def forget(self, key: TaskKey) -> None:
        """Keep no more what came of a task, whose own trigger has told it."""
        for run in (self, *self._others()):
            run._executions.pop(key.task_id, None)

    async def _was_begun(self, key: TaskKey, folder: Folder) -> bool:
        """Return whether a task was begun ahead, void or not; if not, the task's own trigger does now, if none has before."""
        while not await self._begins(key, folder):
            lease = await read_lease(folder, key)
            if lease is not None:
                return lease.ahead or lease.void
        return False

    async def _begins(self, key: TaskKey, folder: Folder) -> bool:
        try:
            await write_lease(folder, key, Lease(key.task_id), only_new=True)
        except ObjectThere:
            return False
        return True

    async def _is_void(self, key: TaskKey, folder: Folder) -> bool:
        """Return whether what was begun ahead of a task counts no more: it was planned anew, or one above began once more."""
        execution = self.under_way(key.task_id)
        if not self._graph.tasks or (execution is not None and execution.stopped):
            return True
        lease = await read_lease(folder, key)
        if lease is None or lease.index is None or lease.stopped:
            return True
        if lease.index != self._address.index:
            # Whoever clears a task may have setup plan the run anew. Had Airflow been as fast, it had started this task before.
            if not await self._is_same(key, folder, lease.index):
                return True
            if lease.ended and not await self._has_succeeded(key, folder):
                return True
        return self._is_below(key.task_id, await self._again(folder))

    async def _has_succeeded(self, key: TaskKey, folder: Folder) -> bool:
        outcomes = await self._outcomes(key, folder)
        return outcomes is not None and not any(outcome.status.failed for outcome in outcomes)

    async def _is_same(self, key: TaskKey, folder: Folder, index: str) -> bool:
        """Return whether another plan of the run says the same of a task."""
        try:
            other = await read_index(folder, replace(self._address, index=index))
            task = self._graph.tasks[key.task_id]
            groups = self._groups(key.task_id)
            if nodes_of(other, task.work, task.unique_id) != groups:
                return False
            async with shared_session(self._identity, clock=self._clock) as session:
                for unique_id in chain.from_iterable(groups):
                    plans = [
                        await read_node(folder, each, unique_id, session=session)
                        for each in (self._index, other)
                    ]
                    ids = (self._index.run.invocation_id, other.run.invocation_id)
                    if not is_same_work(*plans, invocation_ids=ids):
                        return False
        except (PlanGone, PlanDamaged):
            return False
        return True

    async def _voided(self, key: TaskKey, folder: Folder) -> Taken:
        """Make sure that nobody goes on with what was begun ahead of a task."""
        lease, void = await read_lease(folder, key), Lease(key.task_id, void=True)
        if lease is None or not (lease.ahead or lease.void):
            return Taken()
        execution = self.under_way(key.task_id)
        if execution is not None:
            await execution.stop()
            self.forget(key)
        else:
            while not lease.ended:
                await write_lease(folder, key, void)
                # Who executes the task looks at its lease before it renews that, and stops; a renewal that was on its way
                # has arrived by then.
                await self._clock.sleep(RENEWED + ARRIVED)
                found = await read_lease(folder, key)
                if found is None or found.void:
                    break
                lease = found
        await write_lease(folder, key, replace(void, ended=True))
        return Taken(void=True)

    async def _wait(self, key: TaskKey, folder: Folder, log: Log) -> Taken:
        """Wait for the end of what another process has begun ahead."""
        log.info("Another triggerer has begun this task ahead of Airflow; waiting for its end.")
        seen: Lease | None = None
        since = self._clock.now()
        while True:
            lease = await read_lease(folder, key)
            if lease is None or not lease.ahead or lease.stopped:
                return await self._voided(key, folder)
            if lease.ended:
                outcomes = await self._outcomes(key, folder)
                return Taken(ahead=True) if outcomes is None else Taken(outcomes=outcomes)
            if lease != seen:
                seen, since = lease, self._clock.now()
            elif self._clock.now() - since > STALE:
                log.warning("The triggerer that had begun this task ahead of Airflow is gone; going on here.")
                # Still one that was begun ahead, for whoever takes over from this one.
                await write_lease(folder, key, Lease(key.task_id, self._address.index))
                return Taken(ahead=True)
            await self._clock.sleep(1.0)

    async def _outcomes(self, key: TaskKey, folder: Folder) -> list[Outcome] | None:
        try:
            found = await gather_bounded(
                folder.read(outcome_object(unique_id))
                for group in self._groups(key.task_id)
                for unique_id in group
            )
        except ObjectMissing:  # it needs a worker, or nobody knows
            return None
        return [load_outcome(data) for data in found]

    # -- the tasks below one that has succeeded -----------------------------------------------------------------------

    def begin_below(self, key: TaskKey, *, depth: int = 0, outcome: asyncio.Task[None] | None = None) -> None:
        """
        Begin the tasks for which *key* was the last to wait for; returns at once.

        Told once more of the same task, it does something only where Airflow has started more on the way to it.

        Args:
            key: A task whose nodes have succeeded at its first try.
            depth: How many tasks on the way to it Airflow has not started, itself included.
            outcome: Writes the outcome of its node; nothing is executed below unless that goes well.
        """
        own = self._graph.tasks.get(key.task_id)
        if self._index.run.planned_anew or key.try_number > 1 or own is None or not own.ends_in_triggerer:
            return
        self._succeeded[key.task_id] = depth
        if depth < MOST_AHEAD and self._told.get(key.task_id) != depth:
            self._told[key.task_id] = depth
            self._spawn(self._begin_below(key, outcome))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        # In no task's context: what is logged there belongs to none.
        task = contextvars.Context().run(asyncio.get_running_loop().create_task, work)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.warning(
                "DAG %s, run %s: going ahead of Airflow failed, and its tasks begin as Airflow starts them. "
                "The setting run_ahead switches it off.",
                self._index.run.dag_id,
                self._index.run.run_id,
                exc_info=task.exception(),
            )

    async def _begin_below(self, key: TaskKey, outcome: asyncio.Task[None] | None) -> None:
        below = [one for one in self._graph.below(key.task_id) if self._may_begin(one)]
        ready = self._ready(below)
        self._begin(key, ready, outcome)
        left = [one for one in below if one not in ready]
        if left and await _went_well(outcome):
            try:
                await self._begin_told(key, left)
            except (CosmosAsyncError, ObjectMissing):
                # The run's folder is gone, or Google does not answer: Airflow starts them all the same.
                self._told.pop(key.task_id, None)

    async def _begin_told(self, key: TaskKey, below: Sequence[str]) -> None:
        """
        Begin those tasks of which others above have succeeded in other triggerers, who learn of *key* as well.

        They are told of it before they are asked, so that one of two that end at once knows all.
        """
        async with self._folder() as folder:
            await folder.write(succeeded_object(key.task_id, key.map_index), b"")
            names = await folder.names(SUCCEEDED)
        for name in names:
            if name in self._that_succeeded:
                self._succeeded.setdefault(self._that_succeeded[name], 0)
        self._begin(key, self._ready(below), None)

    def _begin(self, key: TaskKey, ready: Sequence[str], outcome: asyncio.Task[None] | None) -> None:
        """Begin tasks above which all have succeeded, unless it turns out that they may not begin."""
        chosen: list[Execution] = []
        for one in ready:
            depth = 1 + max(self._succeeded[above] for above in self._graph.tasks[one].above or ())
            if one not in self._begun and depth <= MOST_AHEAD:  # by the end of another task above it
                self._begun.add(one)
                chosen.append(Execution(replace(key, task_id=one), depth))
        if not chosen:
            return
        # Asked for all of them, while each takes its lease: the next job waits for every question.
        wanted = self._spawn(self._wanted(key, [execution.key.task_id for execution in chosen]))
        for execution in chosen:
            self._executions[execution.key.task_id] = execution
            execution.task = self._spawn(self._execute(execution, wanted, outcome))

    def _is_below(self, task_id: str, others: set[str]) -> bool:
        return bool(others) and not others.isdisjoint(self._graph.all_above(task_id))

    def _ready(self, task_ids: Sequence[str]) -> list[str]:
        """Return the tasks of which all above have succeeded, as far as this process knows."""
        return [one for one in task_ids if not self._graph.missing(one, self._succeeded)]

    def _may_begin(self, task_id: str) -> bool:
        nodes = [unique_id for group in self._groups(task_id) for unique_id in group]
        # What needs a worker needs Airflow; and of nothing there is nothing to begin.
        levels = [self._index.nodes[one].level for one in nodes]
        return task_id not in self._begun and bool(nodes) and not {Level.LATE, Level.DBT}.intersection(levels)

    def _groups(self, task_id: str) -> list[list[str]]:
        task = self._graph.tasks[task_id]
        return nodes_of(self._index, task.work, task.unique_id)

    def _folder(self) -> AbstractAsyncContextManager[Folder]:
        return folder_at(self._address, identity=self._identity)

    async def _beginning_again(self) -> set[str]:
        async with self._folder() as folder:
            return await self._again(folder)

    async def _again(self, folder: Folder) -> set[str]:
        """Return the tasks that begin once more, and do not count as succeeded."""
        names = await folder.names(AGAIN)
        again = {self._that_begin_again[name] for name in names if name in self._that_begin_again}
        for one in again:
            self._succeeded.pop(one, None)
        return again

    async def _wanted(self, key: TaskKey, task_ids: Sequence[str]) -> set[str]:
        """
        Return which of some tasks may begin now.

        Those that Airflow is still going to start, by the run's newest plan, and above which none begins once more. Where
        Airflow or Google does not answer, or the run's folder is gone, none: Airflow starts them all the same.
        """
        try:
            again, (newest, states) = await both(
                self._beginning_again(), self._newest_and_states(key, task_ids)
            )
        except (CosmosAsyncError, ObjectMissing):
            self._told.pop(key.task_id, None)
            return set()
        # A run that was deleted has no setup task any more, and one that is planned anew none that has succeeded.
        if newest != self._address.index or states is None or states[self._setup] != "success":
            return set()
        return {
            one
            for one in task_ids
            if states[one] in WANTED
            and not self._is_below(one, again)
            and not self._graph.missing(one, self._succeeded)  # learnt meanwhile, by the end of another task
        }

    async def _newest_and_states(
        self, key: TaskKey, task_ids: Sequence[str]
    ) -> tuple[str, dict[str, str | None] | None]:
        return await both(newest_index(self._address, identity=self._identity), self._states(key, task_ids))

    async def _is_still_wanted(self, execution: Execution, folder: Folder) -> bool | None:
        """
        Return whether Airflow is still going to start what has begun ahead of it, or has started it, be it elsewhere.

        None where nobody knows now: Airflow does not answer, or setup is planning the run anew.
        """
        key = execution.key
        states = await self._states(key, [key.task_id])
        if states is None:
            return None
        setup = states[self._setup]
        execution.unknown = execution.unknown + 1 if setup is None else 0
        if states[key.task_id] not in WANTED:
            return False
        if states[key.task_id] in STARTED:
            return True
        if setup in PLANNING or 0 < execution.unknown <= MOST_UNKNOWN:
            return None
        if setup != "success":
            return False
        newest = await newest_index(self._address, identity=self._identity)
        return newest == self._address.index or await self._is_same(key, folder, newest)

    async def _states(self, key: TaskKey, task_ids: Sequence[str]) -> dict[str, str | None] | None:
        """Return the states of the setup task and of others, None where Airflow does not answer."""
        try:
            asked = self._airflow.task_states(key, [self._setup, *task_ids])
            return await asyncio.wait_for(asked, PATIENCE)
        except Exception:  # whatever Airflow raises while its API is away
            return None

    # -- one of them --------------------------------------------------------------------------------------------------

    async def _execute(
        self, execution: Execution, wanted: asyncio.Task[set[str]], outcome: asyncio.Task[None] | None
    ) -> None:
        key, lease = execution.key, Lease(execution.key.task_id, self._address.index)
        try:
            taken, _ = await both(self._take_lease(execution, lease), asyncio.wait({wanted}))
            if taken and not (key.task_id in wanted.result() and await _went_well(outcome)):
                execution.failed = "Airflow does not start it now"
                self._begun.discard(key.task_id)
                await self._leave_lease(key)
        finally:
            if execution.failed is not None:
                execution.over = True
                self.forget(key)
            execution.admitted.set()
        if execution.failed is not None:
            return
        renewing = self._spawn(self._renew(execution, lease))
        try:
            await self._carry_out(execution)
        except CosmosAsyncError as error:
            execution.failed = str(error)
        finally:
            execution.over = True
            renewing.cancel()
        await asyncio.wait({renewing})
        if execution.stopped:
            return
        if execution.result.status == "success" and execution.failed is None:
            # At once: its own trigger, where Airflow has started that, has more to do at its end.
            self.begin_below(key, depth=execution.depth)
        with suppress(CosmosAsyncError):  # else who waits for it takes it for gone, and meets its jobs
            async with self._folder() as folder:
                await write_lease(folder, key, replace(lease, ended=True))

    async def _take_lease(self, execution: Execution, lease: Lease) -> bool:
        """Return whether nobody else executes a task; why not is told to the execution."""
        try:
            async with self._folder() as folder:
                await write_lease(folder, execution.key, lease, only_new=True)
        except ObjectThere:  # Airflow was faster, or another triggerer
            execution.failed = "it was begun elsewhere"
        except CosmosAsyncError as error:
            execution.failed = str(error)
        return execution.failed is None

    async def _leave_lease(self, key: TaskKey) -> None:
        with suppress(CosmosAsyncError):  # else it is stale in a moment
            async with self._folder() as folder:
                await folder.remove(name_of(key))

    async def _carry_out(self, execution: Execution) -> None:
        async with shared_session(self._identity, clock=self._clock) as session, self._folder() as folder:
            groups = self._groups(execution.key.task_id)
            execution.xcoms = TaskXComs(
                self._airflow,
                execution.key,
                alone=sum(map(len, groups)) == 1,
                held=not execution.started,
            )
            execution.run = Run(
                key=replace(execution.key, nonce=self._index.run.nonce, ahead=True),
                index=self._address.index,
                warehouse=warehouse_of(session, self._index.run.endpoint),
                folder=folder,
                log=execution.log,
                stops=session.suspension.stops,
                page=execution.xcoms,
                threads=self._index.run.threads,
                max_jobs=self._index.run.max_jobs,
                priority=self.seconds_left(execution.key.task_id),
                seeds=Seeds.of(self._index.run, self._address, self._identity),
            )
            # Lines that are kept get the time at which Airflow starts the task.
            execution.log.info(
                f"Begun as soon as the tasks above it had succeeded, ahead of Airflow: {self._clock.utc():%H:%M:%S} UTC."
            )
            await Groups(
                execution.run,
                self._index,
                groups,
                Resume(-1),
                execution.result,
                succeeds=lambda outcome: self.begin_below(
                    execution.key, depth=execution.depth, outcome=outcome
                ),
            ).carry_out()

    async def _renew(self, execution: Execution, lease: Lease) -> None:
        """Say that the execution goes on, and stop it where nobody wants it any more."""
        looked = self._clock.now()
        async with self._folder() as folder:
            while not execution.over:
                await self._clock.sleep(RENEWED)
                lease = replace(lease, beat=lease.beat + 1)
                try:
                    # Later, it would replace what others have written there since.
                    found = await asyncio.wait_for(self._renewed(execution, lease, folder), ARRIVED)
                    if not _is_own(found):
                        execution.failed = "another triggerer has gone on with it, or it counts no more"
                        # Who has taken this process for gone has met its jobs, and waits for them.
                        adopted = found is not None and found.ahead
                        self._spawn(execution.leave() if adopted else self._cancel(execution, None))
                        return
                    if execution.started or self._clock.now() - looked < LOOK:
                        continue
                    looked = self._clock.now()
                    wanted = await self._is_still_wanted(execution, folder)
                except (CosmosAsyncError, ObjectMissing, asyncio.TimeoutError):
                    continue
                if wanted is False and not execution.started:
                    execution.failed = "Airflow does not start it any more"
                    self._spawn(self._cancel(execution, lease))
                    return

    async def _renewed(self, execution: Execution, lease: Lease, folder: Folder) -> Lease | None:
        """Return who has the lease, which is renewed if that is this process still."""
        found = await read_lease(folder, execution.key)
        if _is_own(found) and not execution.over:
            await write_lease(folder, execution.key, lease)
        return found

    async def _cancel(self, execution: Execution, lease: Lease | None) -> None:
        """Stop an execution and cancel its jobs; its lease, if it has it still, says so."""
        refs = execution.jobs
        await execution.stop()
        refs += [ref for ref in execution.jobs if ref not in refs]
        async with shared_session(self._identity, clock=self._clock) as session:
            await cancel_jobs(refs, warehouse_of(session, self._index.run.endpoint), execution.log)
        if lease is not None:
            with suppress(CosmosAsyncError):
                async with self._folder() as folder:
                    await write_lease(folder, execution.key, replace(lease, ended=True, stopped=True))


_runs: WeakKeyDictionary[asyncio.AbstractEventLoop, OrderedDict[tuple[PlanAddress, int, str], RunAhead]]
_runs = WeakKeyDictionary()


def _is_own(lease: Lease | None) -> bool:
    return lease is not None and lease.by == PROCESS and lease.ahead


async def _went_well(outcome: asyncio.Task[None] | None) -> bool:
    """Return whether an outcome is written, once that is known; with None it was before."""
    if outcome is None:
        return True
    await asyncio.wait({outcome})
    return not outcome.cancelled() and outcome.exception() is None


async def _read_graph(folder: Folder, digest: str) -> TaskGraph:
    name = graph_object(digest)
    try:
        return TaskGraph.load(await read_checked(folder, name, digest, f"the graph {folder.path}/{name}"))
    except PlanGone:  # Airflow begins all tasks then
        return TaskGraph({})
