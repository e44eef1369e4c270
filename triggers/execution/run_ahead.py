"""
Run ahead of Airflow's scheduler: a task that has succeeded begins the tasks below it, in its own triggerer.

Airflow needs seconds from the end of one task to the start of the next. Here the next one's first try is executed at once,
under the key that it will have in Airflow; when Airflow starts it, its trigger finds the work under way, or done. Nothing
depends on that: whoever does not find it executes the task as ever, and meets the same jobs by their ids.

One process executes a task at a time: who begins it leaves an object (``begun``), and renews it while it is alive.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import Index, Level
from cosmos_async.plan.outcome import Outcome, load_outcome
from cosmos_async.plan.store import (
    PlanAddress,
    begun_object,
    graph_object,
    outcome_object,
    succeeded_object,
    succeeded_objects,
)
from cosmos_async.plan.task_graph import TaskGraph
from cosmos_async.triggers.event_loop.clock import Clock
from cosmos_async.triggers.event_loop.gather import gather_bounded
from cosmos_async.triggers.execution.groups import Groups
from cosmos_async.triggers.execution.late import Resume
from cosmos_async.triggers.execution.task_nodes import Result, nodes_of
from cosmos_async.triggers.google.credentials import Identity
from cosmos_async.triggers.google.session import Session, shared_session
from cosmos_async.triggers.jobs.cancel import cancel_jobs
from cosmos_async.triggers.jobs.context import Log, Run
from cosmos_async.triggers.jobs.warehouse import warehouse_of
from cosmos_async.triggers.storage.documents import folder_at, newest_index, read_checked
from cosmos_async.triggers.storage.folders import Folder, ObjectMissing, ObjectThere
from cosmos_async.triggers.task import Airflow

Json = dict[str, Any]

#: Tasks along one path that are executed while Airflow has not started them: what a person who pauses the DAG must expect.
MOST_AHEAD = 3
#: Seconds after which who executes a task says so again, and after which nobody believes it any more.
RENEWED, STALE = 5.0, 20.0
#: Seconds between two looks at what Airflow has to say of a task that it has not started.
LOOK = 10.0
PATIENCE = 5.0  # seconds for one look
KEPT = 64  # runs
#: States in which Airflow will not start a task any more.
GIVEN_UP = frozenset({"failed", "upstream_failed", "skipped", "removed"})


class BufferedLog:
    """The log of a task that Airflow has not started: its lines are kept until there is one to write them to."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, str]] = []
        self._write: Callable[[str, str], None] | None = None

    def follow(self, log: Log) -> None:
        """Write to *log* from now on, all that was kept first; as the task that calls this, whichever line comes later."""
        context = contextvars.copy_context()  # Airflow finds a line's task in it

        def write(level: str, message: str) -> None:
            context.run(getattr(log, level), message)

        self._write = write
        for level, message in self._lines:
            getattr(log, level)(message)
        self._lines.clear()

    def _add(self, level: str, message: str) -> None:
        if self._write is None:
            self._lines.append((level, message))
        else:
            self._write(level, message)

    def info(self, message: str) -> None:
        """Keep or write a line."""
        self._add("info", message)

    def warning(self, message: str) -> None:
        """Keep or write a line."""
        self._add("warning", message)

    def error(self, message: str) -> None:
        """Keep or write a line."""
        self._add("error", message)


@dataclass
class Execution:
    """A task that is executed ahead in this process."""

    key: TaskKey
    depth: int  #: how many tasks on the way to it Airflow has not started, itself included
    result: Result = field(default_factory=Result)
    log: BufferedLog = field(default_factory=BufferedLog)
    run: Run | None = None  #: once it has begun; knows the jobs that are under way
    started: bool = False  #: Airflow has started the task
    failed: str | None = None  #: why its own trigger has to do it
    task: asyncio.Task[None] | None = None

    async def end(self, log: Log) -> Result | None:
        """Wait for its end and return what came of it; None where that is for the task's own trigger to find out."""
        assert self.task is not None
        self.started, self.depth = True, 0
        self.log.follow(log)
        # Who waits may be cancelled, as where another triggerer takes over; the jobs go on.
        await asyncio.wait({self.task})
        if self.failed is None and not self.task.cancelled() and self.task.exception() is None:
            return self.result
        why = self.failed or ("it was stopped" if self.task.cancelled() else repr(self.task.exception()))
        log.warning(f"What was begun ahead of Airflow did not come to its end: {why}. Going on here.")
        return None

    def stop(self) -> None:
        """End it; its jobs are for the caller to cancel."""
        if self.task is not None:
            self.task.cancel()


class RunAhead:
    """
    The tasks of one planned run, as far as this process executes them.

    Args:
        address: Of the run's plan.
        index: Its index.
        graph: Which task follows which.
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
        identity: Identity,
        airflow: Airflow,
        clock: Clock,
    ) -> None:
        self._address, self._index, self._graph = address, index, graph
        self._identity, self._airflow, self._clock = identity, airflow, clock
        self._succeeded: set[str] = set()
        self._begun: set[str] = set()
        self._executions: dict[str, Execution] = {}  # those that their own triggers have not asked for
        self._background: set[asyncio.Task[Any]] = set()

    @classmethod
    async def of(
        cls,
        address: PlanAddress,
        index: Index,
        *,
        key: TaskKey,
        folder: Folder,
        session: Session,
        identity: Identity,
        airflow: Airflow,
    ) -> RunAhead | None:
        """
        Return the one that all tasks of a run share in this process, None where setup has left no graph of the run's tasks.

        Args:
            address: Of the run's plan.
            index: Its index.
            key: Of the task that asks.
            folder: The run's folder.
            session: Through which it is read.
            identity: Who submits the jobs.
            airflow: As above.
        """
        if index.run.tasks is None or index.run.fail_fast:
            return None
        digest = index.run.tasks

        async def read() -> TaskGraph:
            name = graph_object(digest)
            return TaskGraph.load(await read_checked(folder, name, digest, f"the graph {folder.path}/{name}"))

        graph = await session.once(("tasks", digest), read)
        runs = _runs.setdefault(asyncio.get_running_loop(), OrderedDict())
        where = (address, key.map_index)
        if where not in runs:
            runs[where] = cls(address, index, graph, identity=identity, airflow=airflow, clock=session.clock)
        runs.move_to_end(where)
        if len(runs) > KEPT:
            runs.popitem(last=False)
        return runs[where]

    # -- a task that Airflow has started ------------------------------------------------------------------------------

    def take(self, key: TaskKey) -> Execution | None:
        """Return what this process has begun of a task's first try, None where it has not; for the task's own trigger."""
        return self._executions.pop(key.task_id, None) if key.try_number == 1 else None

    async def begin_own(self, key: TaskKey, folder: Folder, log: Log) -> list[Outcome] | None:
        """
        Note that the task's own trigger executes it; where another process has begun it, wait for that.

        Args:
            key: The task.
            folder: The run's folder.
            log: The task's.

        Returns:
            The outcomes of its nodes, where the other process has come to the end; else None, and it is for the caller to
            execute the task.
        """
        if key.try_number > 1:
            return None
        name = begun_object(self._address.index, key.task_id, key.map_index)
        seen, since, told = b"", self._clock.now(), False
        while True:
            try:
                await folder.write(name, _begun(key, ahead=False), only_new=True)
                return None
            except ObjectThere:
                pass
            try:
                data = await folder.read(name)
            except ObjectMissing:
                continue
            other = json.loads(data)
            if other["ended"]:
                return await self._outcomes(key, folder)
            if not other["ahead"] or other["by"] == _PROCESS:
                return None  # an earlier life of this trigger: its jobs are met by their ids
            if data != seen:
                seen, since = data, self._clock.now()
            elif self._clock.now() - since > STALE:
                log.warning("The triggerer that had begun this task ahead of Airflow is gone; going on here.")
                await folder.write(name, _begun(key, ahead=False))
                return None
            if not told:
                log.info("Another triggerer has begun this task ahead of Airflow; waiting for its end.")
                told = True
            await self._clock.sleep(1.0)

    async def _outcomes(self, key: TaskKey, folder: Folder) -> list[Outcome] | None:
        groups = self._groups(key.task_id)
        try:
            found = await gather_bounded(
                folder.read(outcome_object(unique_id)) for group in groups for unique_id in group
            )
        except ObjectMissing:  # it needs a worker, or nobody knows
            return None
        outcomes = [load_outcome(data) for data in found]
        return outcomes if all(outcome.try_number == 1 for outcome in outcomes) else None

    # -- the tasks below one that has succeeded -----------------------------------------------------------------------

    def begin_below(self, key: TaskKey, *, depth: int = 0) -> None:
        """
        Begin the tasks for which *key* was the last to wait for; returns at once.

        Args:
            key: A task whose nodes have succeeded at its first try.
            depth: How many tasks on the way to it Airflow has not started, itself included.
        """
        own = self._graph.tasks.get(key.task_id)
        if key.try_number > 1 or own is None or not own.ends_in_triggerer or depth >= MOST_AHEAD:
            return
        self._succeeded.add(key.task_id)
        self._spawn(self._begin_below(key, depth))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # In no task's context: what is logged there belongs to none.
        task = contextvars.Context().run(asyncio.get_running_loop().create_task, work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _begin_below(self, key: TaskKey, depth: int) -> None:
        try:
            below = [one for one in self._graph.below(key.task_id) if self._may_begin(one)]
            if not below:
                return
            if any(self._graph.missing(one, self._succeeded) for one in below):
                await self._tell_and_ask(key)
            ready = [one for one in below if not self._graph.missing(one, self._succeeded | {key.task_id})]
            if not ready or await newest_index(self._address, identity=self._identity) != self._address.index:
                return
        except (CosmosAsyncError, ObjectMissing):
            return  # the run's folder is gone, or Google does not answer: Airflow starts them all the same
        for one in ready:
            if one not in self._begun:  # by the end of another task above it
                self._begun.add(one)
                execution = Execution(replace(key, task_id=one), depth + 1)
                self._executions[one] = execution
                execution.task = self._spawn(self._execute(execution))

    def _may_begin(self, task_id: str) -> bool:
        nodes = [unique_id for group in self._groups(task_id) for unique_id in group]
        # What needs a worker needs Airflow; and of nothing there is nothing to begin.
        levels = [self._index.nodes[one].level for one in nodes]
        return task_id not in self._begun and bool(nodes) and not {Level.LATE, Level.DBT}.intersection(levels)

    def _groups(self, task_id: str) -> list[list[str]]:
        task = self._graph.tasks[task_id]
        return nodes_of(self._index, task.work, task.unique_id)

    @asynccontextmanager
    async def _folder(self) -> AsyncIterator[Folder]:
        async with folder_at(self._address, identity=self._identity) as folder:
            yield folder

    async def _tell_and_ask(self, key: TaskKey) -> None:
        """Tell other triggerers of *key*, and learn what has succeeded there; in this order, so that one of them knows all."""
        index = self._address.index
        async with self._folder() as folder:
            await folder.write(succeeded_object(index, key.task_id, key.map_index), b"")
            names = set(await folder.names(succeeded_objects(index)))
        self._succeeded.update(
            one for one in self._graph.tasks if succeeded_object(index, one, key.map_index) in names
        )

    # -- one of them --------------------------------------------------------------------------------------------------

    async def _execute(self, execution: Execution) -> None:
        key = execution.key
        name = begun_object(self._address.index, key.task_id, key.map_index)
        try:
            async with self._folder() as folder:
                await folder.write(name, _begun(key, ahead=True), only_new=True)
        except ObjectThere:  # Airflow was faster, or another triggerer
            execution.failed = "it was begun elsewhere"
        except CosmosAsyncError as error:
            execution.failed = str(error)
        if execution.failed is not None:
            self._executions.pop(key.task_id, None)
            return
        renewing = self._spawn(self._renew(execution, name))
        try:
            await self._carry_out(execution)
        except CosmosAsyncError as error:
            execution.failed = str(error)
        finally:
            renewing.cancel()
        if execution.result.status == "success" and execution.failed is None:
            self.begin_below(key, depth=execution.depth)
        with suppress(CosmosAsyncError):  # else who waits for it takes it for gone, and meets its jobs
            async with self._folder() as folder:
                await folder.write(name, _begun(key, ahead=True, ended=True))

    async def _carry_out(self, execution: Execution) -> None:
        async with shared_session(self._identity, clock=self._clock) as session, self._folder() as folder:
            execution.run = Run(
                key=replace(execution.key, nonce=self._index.run.nonce),
                index=self._address.index,
                warehouse=warehouse_of(session, self._index.run.endpoint),
                folder=folder,
                log=execution.log,
                threads=self._index.run.threads,
            )
            execution.log.info("Begun as soon as the tasks above it had succeeded, ahead of Airflow.")
            groups = self._groups(execution.key.task_id)
            await Groups(execution.run, self._index, groups, Resume(-1), execution.result).carry_out()

    async def _renew(self, execution: Execution, name: str) -> None:
        """Say that the execution goes on, and stop it where nobody wants it any more."""
        beat, looked = 0, self._clock.now()
        async with self._folder() as folder:
            while True:
                await self._clock.sleep(RENEWED)
                beat += 1
                with suppress(CosmosAsyncError, ObjectMissing):
                    if json.loads(await folder.read(name))["by"] != _PROCESS:
                        execution.failed = "another triggerer has gone on with it"
                        execution.stop()
                        return
                    await folder.write(name, _begun(execution.key, ahead=True, beat=beat))
                if not execution.started and self._clock.now() - looked >= LOOK:
                    looked = self._clock.now()
                    if await self._is_given_up(execution.key):
                        execution.failed = "Airflow does not start it any more"
                        self._spawn(self._cancel(execution))  # which ends this as well
                        return

    async def _is_given_up(self, key: TaskKey) -> bool:
        try:
            return await asyncio.wait_for(self._airflow.state(key), PATIENCE) in GIVEN_UP
        except Exception:  # whatever Airflow raises while its API is away; the next look may tell
            return False

    async def _cancel(self, execution: Execution) -> None:
        refs = list(execution.run.under_way.values()) if execution.run is not None else []
        execution.stop()
        async with shared_session(self._identity, clock=self._clock) as session:
            await cancel_jobs(refs, warehouse_of(session, self._index.run.endpoint), execution.log)


_PROCESS = uuid.uuid4().hex  #: this process, among all that execute tasks of a run
_runs: WeakKeyDictionary[asyncio.AbstractEventLoop, OrderedDict[tuple[PlanAddress, int], RunAhead]]
_runs = WeakKeyDictionary()


def _begun(key: TaskKey, *, ahead: bool, beat: int = 0, ended: bool = False) -> bytes:
    document = {"task_id": key.task_id, "by": _PROCESS, "ahead": ahead, "beat": beat, "ended": ended}
    return json.dumps(document).encode()
