"""
The trigger of a node's task: fetch the plan, carry it out, leave the outcome, end the task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from airflow.triggers.base import TriggerEvent

from cosmos_async.airflow.compat import AIRFLOW_VERSION, HAS_ON_KILL
from cosmos_async.airflow.links import LINK_XCOM_KEY, SQL_XCOM_KEY
from cosmos_async.exceptions import CosmosAsyncError, PlanGone
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.lineage import NO_TABLES
from cosmos_async.plan.model import Index
from cosmos_async.plan.store import PlanAddress
from cosmos_async.triggers.base import EndingTrigger
from cosmos_async.triggers.event_loop.gather import see_through
from cosmos_async.triggers.execution import report, xcoms
from cosmos_async.triggers.execution.fail_fast import FailFast, leave_failure
from cosmos_async.triggers.execution.groups import Groups
from cosmos_async.triggers.execution.late import Resume, cancel_late_jobs
from cosmos_async.triggers.execution.lineage import OpenLineage, TaskEvents, events_of
from cosmos_async.triggers.execution.run_ahead import Execution, RunAhead
from cosmos_async.triggers.execution.seeds import Seeds
from cosmos_async.triggers.execution.task_nodes import Result, nodes_of
from cosmos_async.triggers.execution.waves import Waves
from cosmos_async.triggers.execution.xcoms import TaskXComs
from cosmos_async.triggers.google.bigquery import JobRef
from cosmos_async.triggers.google.session import Session, shared_session
from cosmos_async.triggers.jobs.cancel import cancel_jobs, leave_word_of_later_try
from cosmos_async.triggers.jobs.context import Run
from cosmos_async.triggers.jobs.warehouse import Warehouse, warehouse_of
from cosmos_async.triggers.storage.documents import folder_at, read_index, store_identity
from cosmos_async.triggers.storage.folders import Folder, folder_of
from cosmos_async.triggers.storage.node_plans import read_node
from cosmos_async.triggers.task import TaskFacts

#: Before Airflow ends the trigger: time to cancel the jobs and to say so.
DEADLINE_MARGIN = 10.0  # seconds
KILL_TIMEOUT = 20.0  # seconds; Airflow's own bound is 30

#: OpenLineage's words for the ends of a task; the provider completes what is skipped, too.
_LINEAGE_STATES = {"success": "COMPLETE", "skipped": "COMPLETE", "failed": "FAIL"}


class BigQueryDbtTrigger(EndingTrigger):
    """
    Execute what setup planned for one task.

    Args:
        work: What to execute; see :func:`cosmos_async.triggers.execution.task_nodes.nodes_of`.
        unique_id: dbt's id of the node; None for ``others`` and ``all_tests``.
        skips_in_triggerer: Whether the trigger ends the task when another one's failure has stopped it (``--fail-fast``).
        warns_on_worker: Whether the task ends on a worker where something warned, for its ``on_warning_callback``.
        resume: Where to go on after a worker's work, in the same try: ``position`` of a group of nodes, and ``plans``,
            the digests of those that the worker planned anew, by unique id, and ``done``, how far setup's plans of them had
            come; where the run's plan is gone, ``address`` of the one that the worker made for this task. None begins with
            the first group.
        args, kwargs: Those of :class:`EndingTrigger`.
    """

    #: Who sends events of lineage.
    openlineage: OpenLineage = OpenLineage()

    fields = ("work", "unique_id", *EndingTrigger.fields, "skips_in_triggerer", "warns_on_worker", "resume")

    def __init__(
        self,
        work: str = "node",
        unique_id: str | None = None,
        *args: Any,
        skips_in_triggerer: bool = True,
        warns_on_worker: bool = False,
        resume: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.skips_in_triggerer = skips_in_triggerer
        self.warns_on_worker = warns_on_worker
        self.work = work
        self.unique_id = unique_id
        self.resume = resume
        self._runs: list[Run] = []
        self._endpoint: str | None = None  # of the run's dbt profile, once it is known
        self._fails_fast: PlanAddress | None = None  # of the run's plan, if that has --fail-fast
        self._ahead: RunAhead | None = None  # if tasks of the run begin ahead of Airflow
        self._execution: Execution | None = None  # of this task, if it was begun ahead of Airflow
        self._xcoms: TaskXComs | None = None  # once it is known what the task has to do
        self._lineage: TaskEvents | None = None  # where OpenLineage is active
        self._tables = NO_TABLES  # what its event of the end tells of tables

    async def event(self) -> TriggerEvent:
        """Carry out the work; return the event that tells how it went."""
        facts = TaskFacts.of(self)
        if facts.key.try_number > 1 and self.resume is None:
            # Where no worker starts a task, Airflow keeps the XComs of the try before.
            earlier = {LINK_XCOM_KEY: "", SQL_XCOM_KEY: ""}
            await xcoms.try_to_leave(self.airflow, facts.key, earlier, clock=self.clock, log=self.log)
        result = await self._result(facts)
        if self._ahead is not None:
            self._ahead.forget(facts.key)
            if result.status == "success":
                self._ahead.begin_below(facts.key)
        if self._xcoms is not None:
            values = xcoms.all_of(result.outcomes, result.plans)
            await self._xcoms.leave(values, clock=self.clock, log=self.log)
        payload = result.payload()
        if self.warns_on_worker and payload["status"] == "success" and result.has_warned:
            return TriggerEvent(payload)
        event = self.end(payload)
        if type(event) is TriggerEvent or await self._told_lineage(result):
            return event
        self.log.info(
            "Setup has left nothing to make OpenLineage's events of, so this task ends on a worker, where the provider sends "
            "its own."
        )
        return TriggerEvent(payload)

    async def on_kill(self) -> None:
        """
        Cancel the jobs, if the task was really killed.

        Airflow calls this also where another triggerer has taken over; so it asks first.
        """
        await self._cancel_if_killed(TaskFacts.of(self))

    # -- the work -----------------------------------------------------------------------------------------------------

    async def _result(self, facts: TaskFacts) -> Result:
        try:
            async with shared_session(self.identity) as session:
                result = await self._within_deadline(facts, session)
                if self._lineage is not None and result.status in _LINEAGE_STATES:
                    bigquery = warehouse_of(session, self._endpoint).bigquery
                    self._tables = await self._lineage.tables(
                        result.outcomes, result.plans, session, bigquery
                    )
        except CosmosAsyncError as error:
            # Understood, and told in full; everything else is a bug and fails the task with its traceback.
            self.log.error(str(error))
            result = Result(error=str(error))
        if result.status == "failed":
            await self._tell_failure(facts)
        return result

    async def _tell_failure(self, facts: TaskFacts) -> None:
        """With ``--fail-fast``, let the run's other tasks know."""
        address = self._fails_fast
        if address is None:
            return
        try:
            async with folder_at(address, identity=self.identity) as folder:
                await leave_failure(address, folder, facts.key)
        except CosmosAsyncError as error:
            self.log.warning(f"The run's other tasks go on, as they cannot be told (--fail-fast): {error}")

    async def _within_deadline(self, facts: TaskFacts, session: Session) -> Result:
        left = _seconds_left(facts, session)
        deadline = None if left is None else session.clock.now() + left
        result = Result(address=(self.resume or {}).get("address"))
        try:
            await asyncio.wait_for(self._work(facts, session, deadline, result), left)
        except asyncio.TimeoutError:
            refs = self._jobs_under_way()
            message = f"the task's execution_timeout is reached; cancelling {_listed(refs) or 'nothing: no job was running'}"
            self.log.error(message)
            refs += await self._stop_ahead()
            await self._cancel_now(refs, warehouse_of(session, self._endpoint))
            result.error = message
        except PlanGone as gone:
            if result.outcomes or self.resume is not None:
                raise
            self.log.warning(f"{gone} A worker plans this task alone now, and it goes on here.")
            result.gone = str(gone)
        except asyncio.CancelledError:
            if not HAS_ON_KILL:  # removable when Airflow 3.2 is dropped
                await self._cancel_if_killed(facts)
            raise
        return result

    async def _work(self, facts: TaskFacts, session: Session, deadline: float | None, result: Result) -> None:
        resume, stops = Resume.of(self.resume), session.suspension.stops
        address = resume.address if resume is not None else None
        if address is None:
            address = await self.plan_address(facts.key)
        async with shared_session(store_identity(address, self.identity), clock=session.clock) as store:
            folder = folder_of(store, address.folder, written_by=address.host)
            index = await store.once(("index", address), lambda: read_index(folder, address))
            self._endpoint = index.run.endpoint
            await self._begin_lineage(address, index, folder, store, facts)
            groups = nodes_of(index, self.work, self.unique_id)
            total = sum(len(group) for group in groups)
            if not total:
                self.log.info(f"{self.unique_id or 'This run'} has no tests to execute here.")
                return
            run = Run(
                key=replace(facts.key, nonce=index.run.nonce),
                index=address.index,
                warehouse=warehouse_of(session, index.run.endpoint),
                folder=folder,
                log=self.log,
                stops=stops,
                deadline=deadline,
                threads=index.run.threads,
                max_jobs=index.run.max_jobs,
                seeds=Seeds.of(index.run, address, self.identity),
            )
            run.page = self._xcoms = TaskXComs(self.airflow, facts.key, alone=total == 1)
            self._runs.append(run)
            if run.key.try_number > 1 and resume is None:
                await leave_word_of_later_try(run)
            await cancel_late_jobs(run)
            if resume is not None:
                result.earlier += await resume.ended(folder, groups)
                for outcome in result.earlier:
                    # Airflow 3.3 writes this log over that of the trigger before the worker.
                    self.log.info(f"{outcome.unique_id} ended before: {outcome.status.value}")
            self._ahead = await RunAhead.of(
                address,
                index,
                key=facts.key,
                setup_task_id=self.setup_task_id,
                folder=folder,
                session=store,
                identity=self.identity,
                airflow=self.airflow,
            )
            if self._ahead is not None:
                run.priority = self._ahead.seconds_left(facts.key.task_id)
            if self._ahead is None or not await self._begun_ahead(self._ahead, run, result, resume):
                others = None
                if index.run.fail_fast:
                    self._fails_fast = address
                    others = FailFast.shared(address, folder, store, self.airflow)
                waves = None
                if resume is None or resume.address is None:
                    waves = Waves.shared(address, folder, store, self.airflow)
                await Groups(
                    run, index, groups, resume or Resume(-1), result, waves, self._succeeds(facts.key)
                ).carry_out(others)
            elif not result.ends:  # another triggerer has executed it
                told = xcoms.told_outcome(result.earlier)
                if told is not None:
                    result.earlier_plans = [await read_node(folder, index, told.unique_id, session=session)]
        if total > 1:
            cost = report.cost([job for outcome in result.outcomes for job in outcome.jobs])
            self.log.info(result.summary() + (f"; {cost}" if cost else ""))

    def _succeeds(self, key: TaskKey) -> Callable[[asyncio.Task[None]], None] | None:
        ahead = self._ahead
        return None if ahead is None else lambda outcome: ahead.begin_below(key, outcome=outcome)

    async def _begun_ahead(self, ahead: RunAhead, run: Run, result: Result, resume: Resume | None) -> bool:
        """
        Return whether the task was executed ahead of Airflow to its end, here or in another triggerer; *result* tells then.

        Otherwise *run* is told how to go on.
        """
        if resume is not None:
            run.began_ahead = await ahead.began_ahead(run.key, run.folder)
            return False
        self._execution = ahead.under_way(run.key.task_id)
        taken = await ahead.take(run.key, run.folder, self.log)
        if taken.result is not None:
            result.take(taken.result)
            return True
        self._execution = None
        if taken.outcomes is not None:
            result.earlier += taken.outcomes
            for outcome in taken.outcomes:
                self.log.info(f"{outcome.unique_id}: {outcome.status.value} {outcome.message or ''}")
            return True
        first = run.key.with_try(1)
        if taken.ahead:
            run.key = replace(run.key, ahead=True)
        elif taken.void:
            self.log.info("What was begun ahead of Airflow counts no more; beginning anew.")
        if taken.void or run.key.try_number > 1:
            run.void = (replace(first, ahead=True),)
        return False

    # -- lineage ------------------------------------------------------------------------------------------------------

    async def _begin_lineage(
        self, address: PlanAddress, index: Index, folder: Folder, store: Session, facts: TaskFacts
    ) -> None:
        if not await self.openlineage.is_active():
            return
        self._lineage = await events_of(self.openlineage, address, index, folder, store, facts.key, self.log)
        # A worker's listener has sent the start of what a worker has started.
        if self._lineage is not None and not self.deferred_by_worker:
            self._lineage.begin(store.clock.utc())

    async def _told_lineage(self, result: Result) -> bool:
        """Send the event of the task's end; return False where it has to be sent by a worker."""
        if self._lineage is None:
            return not await self.openlineage.is_active()
        await self._lineage.end(
            _LINEAGE_STATES[result.status], self.clock.utc(), self._tables, result.message or None
        )
        return True

    async def _end_lineage_of_killed(self, facts: TaskFacts) -> None:
        """Let no run of OpenLineage stay open: Airflow tells its listeners of no end but those that people have set."""
        if self._lineage is None:
            return
        state = await self.airflow.state(facts.key)
        if state in ("success", "failed") and AIRFLOW_VERSION >= (3, 0):
            return  # the API server has told them
        ended = "COMPLETE" if state == "success" else "FAIL"
        await self._lineage.end(ended, self.clock.utc(), error=f"The task was stopped from outside: {state}.")

    # -- killed or out of time ----------------------------------------------------------------------------------------

    def _jobs_under_way(self) -> list[JobRef]:
        """Return the jobs that may be running; they are known beyond the end of the coroutine that submitted them."""
        ahead = [] if self._execution is None else self._execution.jobs
        return [*(ref for run in self._runs for ref in run.under_way.values()), *ahead]

    async def _stop_ahead(self) -> list[JobRef]:
        """End what was begun ahead of Airflow, and return the jobs that it leaves."""
        if self._execution is None:
            return []
        await self._execution.stop()
        return self._execution.jobs

    async def _cancel_now(self, refs: Sequence[JobRef], warehouse: Warehouse) -> None:
        try:
            await asyncio.wait_for(cancel_jobs(refs, warehouse, self.log), KILL_TIMEOUT)
        except asyncio.TimeoutError:
            self.log.warning(
                "BigQuery did not answer in time; these jobs may still be running: " + _listed(refs)
            )

    async def _cancel_if_killed(self, facts: TaskFacts) -> None:
        refs = self._jobs_under_way()
        if not refs and self._execution is None and self._lineage is None:
            return  # nothing is there that would have to end

        async def cancel() -> None:
            if not await self.was_killed(facts):
                return
            self.log.error(f"{self.unique_id or 'This task'} was stopped from outside before its end.")
            left = [*refs, *await self._stop_ahead()]
            # A lease of its own: the task that had the session may be gone before this has ended.
            async with shared_session(self.identity) as session:
                await cancel_jobs(left, warehouse_of(session, self._endpoint), self.log)
            await self._end_lineage_of_killed(facts)

        if not await see_through(cancel(), timeout=KILL_TIMEOUT):
            self.log.warning(
                "BigQuery did not answer in time; these jobs may still be running: " + _listed(refs)
            )


def _seconds_left(facts: TaskFacts, session: Session) -> float | None:
    if facts.timeout_after is None:
        return None
    left = (facts.timeout_after - session.clock.utc()).total_seconds()
    return max(0.1, left - min(DEADLINE_MARGIN, left / 5))


def _listed(refs: Sequence[JobRef]) -> str:
    return ", ".join(f"BigQuery job {ref}" for ref in refs)
