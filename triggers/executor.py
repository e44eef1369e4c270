"""
Carry out the plan of one node: guards, jobs, calls, in their order, then the verdict.

It knows nothing of Airflow: who calls it may be a task's trigger or anything else with a key of its own. Everything
it submits has a computed id, so it may be stopped anywhere and started again from the beginning.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Union

from cosmos_async.exceptions import (
    ApiError,
    CosmosAsyncError,
    DbtMustJudge,
    GuardDiffered,
    JobFailed,
    Unavailable,
)
from cosmos_async.names import TaskKey, attempt_id
from cosmos_async.outcome import (
    JobRecord,
    Outcome,
    Status,
    Verdict,
    adapter_response,
    counted_table,
    database_error,
    job_record,
    judge_build,
    judge_test,
    passes_unit_test,
    read_test_row,
)
from cosmos_async.plan import CallOperation, Guard, GuardKind, Hook, JobOperation, Level, NodePlan, Step
from cosmos_async.triggers import jobs, natives, report, steps
from cosmos_async.triggers.batches import Batches
from cosmos_async.triggers.bigquery import JobRef
from cosmos_async.triggers.cancel import Look, cancel_earlier_tries, cancel_jobs, has_later_try
from cosmos_async.triggers.folders import Folder
from cosmos_async.triggers.gather import gather_bounded
from cosmos_async.triggers.prelude import Prelude
from cosmos_async.triggers.retry import GiveUp, after_failed_job
from cosmos_async.triggers.storage import read_upload
from cosmos_async.triggers.warehouse import Warehouse

Json = dict[str, Any]
Submit = Callable[[JobOperation, str], Awaitable[Json]]


class Log(Protocol):
    """Where a node's story is told."""

    def info(self, message: str, /) -> Any: ...
    def warning(self, message: str, /) -> Any: ...
    def error(self, message: str, /) -> Any: ...


@dataclass
class Run:
    """What all nodes have in common that are executed for one task."""

    key: TaskKey
    index: str  #: the digest of the run's index; part of the ids of shared jobs
    warehouse: Warehouse
    folder: Folder
    log: Log
    deadline: float | None = None  #: when to give up, on the session's clock
    under_way: dict[str, JobRef] = field(
        default_factory=dict
    )  #: our own jobs that may be running; for a kill

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
    """The node needs a worker; nothing (more) was written for it."""

    plan: NodePlan
    reason: str
    late: bool = False  #: it can be planned anew now, and go on here; otherwise real dbt has to run it


End = Union[Finished, NeedsDbt]


async def execute(plan: NodePlan, run: Run, *, number: int = 1, total: int = 1) -> End:
    """
    Carry out *plan* and return how it ended.

    Args:
        plan: The node's plan.
        run: What it shares with its task's other nodes.
        number: Its place among them, for the log.
        total: How many they are.
    """
    reason = steps.why_dbt(plan)
    if reason is not None:
        return NeedsDbt(plan, reason, late=plan.level is Level.LATE)
    run.log.info(report.start_line(plan, number=number, total=total))
    # A test's SQL is shown when there is something to look into: a task may have hundreds of them.
    sql = None if plan.test is not None else report.sql_block(plan)
    if sql is not None:
        run.log.info(sql)
    node = Batches(plan, run, _Node) if plan.batches else _Node(plan, run)
    started = run.clock.utc()
    error: CosmosAsyncError | None = None
    try:
        await cancel_earlier_tries(plan, run)
        await node.carry_out()
        verdict, error = await node.judge(), node.error
    except GuardDiffered as differed:
        run.log.warning(report.differed(differed, again=bool(run.key.late)))
        # What was planned a moment ago and differs already will differ again.
        return NeedsDbt(plan, str(differed), late=not run.key.late)
    except DbtMustJudge as judged:
        run.log.warning(f"{plan.unique_id}: {judged}")
        return NeedsDbt(plan, str(judged))
    except JobFailed as failed:
        if plan.resource_type == "unit_test":
            return NeedsDbt(plan, f"its query failed, and dbt has its own words for that: {failed}")
        error, verdict = failed, Verdict(Status.ERROR, database_error(plan, str(failed), failed.job))
    except CosmosAsyncError as failed:
        error, verdict = failed, Verdict(Status.ERROR, str(failed))
        await node.abandon()
    outcome = Outcome(
        unique_id=plan.unique_id,
        status=verdict.status,
        message=verdict.message,
        level=Level.LATE if run.key.late else plan.level,
        started_at=started.isoformat(),
        completed_at=run.clock.utc().isoformat(),
        try_number=run.key.try_number,
        reason=plan.reason,
        failures=verdict.failures,
        adapter_response=verdict.adapter_response,
        jobs=tuple(node.records),
        batch_results=node.batch_results,
        compiled_code=plan.compiled_code if run.key.late else None,
    )
    return _told(plan, outcome, error, run, number=number, total=total)


def _told(
    plan: NodePlan, outcome: Outcome, error: CosmosAsyncError | None, run: Run, *, number: int, total: int
) -> Finished:
    cost = report.cost_line(outcome)
    if cost is not None:
        run.log.info(cost)
    line = report.end_line(plan, outcome, number=number, total=total)
    story = None
    if error is not None:
        story = report.failure(plan, error)
    elif outcome.status in (Status.FAIL, Status.WARN):
        story = report.test_failure(plan, outcome)
    if outcome.status.failed:
        run.log.error(line)
        run.log.error(story or "")
    elif outcome.status is Status.WARN:
        run.log.warning(line)
        run.log.warning(story or "")
    else:
        run.log.info(line)
    return Finished(plan, outcome, story)


async def execute_prelude(prelude: Sequence[Step], run: Run, hooks: Sequence[Hook] = ()) -> None:
    """
    Carry out what the run needs once before any node (on-run-start hooks); whoever comes first does it.

    Args:
        prelude: The steps.
        run: Of whoever comes first.
        hooks: Which of the steps are whose; the others are for all of them.

    Raises:
        CosmosAsyncError: A hook failed that nodes need, the warehouse is not what the hooks were planned for, or Google
            refused.
    """
    if not prelude and not hooks:
        return
    everybodys = replace(run, deadline=None)  # whoever comes first does it for all, beyond its own end
    await run.warehouse.bigquery.session.once(
        ("prelude", run.index), lambda: Prelude(prelude, hooks, everybodys, _Node).carry_out()
    )


class _Node:
    """One node under way."""

    error: CosmosAsyncError | None = None  #: what went wrong although it came to an end; of batches only
    batch_results: Json | None = None  #: as dbt writes them; of batches only

    def __init__(self, plan: NodePlan, run: Run) -> None:
        self._plan = plan
        self._run = run
        self._warehouse = run.warehouse
        self._bigquery = run.warehouse.bigquery
        self._jobs: dict[int, Json] = {}  # finished ones, by position
        self._main_rows: int | None = None  # of the table that the main job made
        self._ids: list[str] = []  # of all that were submitted
        self._stops = self._bigquery.session.pulse.stops
        self.records: list[JobRecord] = []

    @property
    def jobs(self) -> list[Json]:
        """The jobs that have ended, in the order of their steps, shared ones included."""
        return [job for _, job in sorted(self._jobs.items())]

    async def carry_out(self) -> None:
        """Perform every step, from the first."""
        position = 0
        while True:
            action = steps.next_action(self._plan.steps, position)
            if isinstance(action, steps.Finish):
                return
            if isinstance(action, steps.Check):
                position = await self._check(action)
            elif isinstance(action, steps.Submit):
                await self._submit(action)
                position += 1
            elif isinstance(action, steps.Send):
                position = await self._send(action)
            elif isinstance(action, steps.Native):
                position = await self._native(action)

    async def abandon(self) -> None:
        """Ask for the end of a job that we have stopped watching, such as after too many errors."""
        run = self._run
        left = [run.under_way.pop(job_id) for job_id in self._ids if job_id in run.under_way]
        if left:
            await cancel_jobs(left, self._warehouse, run.log)

    async def judge(self) -> Verdict:
        """Return the verdict on a node whose every step succeeded."""
        plan = self._plan
        result = self._last(lambda operation: operation.rows)
        if plan.resource_type == "unit_test" and result is not None:
            return await self._judge_unit_test(result)
        if plan.test is not None:
            if result is None:
                raise CosmosAsyncError(f"{plan.unique_id}: its plan has no query whose rows would judge it.")
            return await self._judge_test(plan, result)
        main = self._last(lambda operation: operation.main)
        if main is None:
            return judge_build(plan, None)
        job = await self._finished(main)
        verdict = judge_build(plan, job, table_rows=self._main_rows)
        self._note_rows(job, verdict.adapter_response.get("rows_affected"))
        return verdict

    async def _judge_test(self, plan: NodePlan, position: int) -> Verdict:
        assert plan.test is not None
        job = await self._finished(position)
        answer = await self._bigquery.rows(JobRef.of(job), deadline=self._run.deadline)
        try:
            verdict = judge_test(plan.test, read_test_row(answer))
        except ValueError as error:
            raise CosmosAsyncError(f"{plan.unique_id}: {error}.") from error
        rows = int(answer.get("totalRows") or len(answer["rows"]))
        response = judge_build(plan, job, table_rows=rows).adapter_response if plan.message is None else {}
        return Verdict(verdict.status, verdict.message, verdict.failures, response)

    async def _judge_unit_test(self, position: int) -> Verdict:
        job = await self._finished(position)
        answer = await self._bigquery.rows(JobRef.of(job), deadline=self._run.deadline)
        if not passes_unit_test(answer):
            raise DbtMustJudge("The rows are not those that were expected; dbt shows how they differ.")
        return Verdict(Status.PASS, None, 0, adapter_response(job, table_rows=len(answer["rows"])))

    def _note_rows(self, job: Json, rows: int | None) -> None:
        """Keep what the table knows of a job's rows; its statistics are silent about CREATE TABLE AS SELECT."""
        job_id = job["jobReference"]["jobId"]
        self.records = [
            replace(record, rows=rows) if record.job_id == job_id and record.rows is None else record
            for record in self.records
        ]

    def _last(self, wanted: Any) -> int | None:
        found = [
            position
            for position, step in enumerate(self._plan.steps)
            if isinstance(step, JobOperation) and wanted(step)
        ]
        return found[-1] if found else None

    async def _finished(self, position: int) -> Json:
        """Return the finished job at *position*; it may be of an earlier life of this task."""
        if position not in self._jobs:
            await self._submit(steps.Submit(self._plan.steps[position], position))  # type: ignore[arg-type]
        return self._jobs[position]

    async def _table_rows(self, job: Json) -> int | None:
        reference = counted_table(job)
        if reference is None:
            return None
        table = await self._bigquery.get_table(
            reference["projectId"], reference["datasetId"], reference["tableId"], deadline=self._run.deadline
        )
        return int(table["numRows"]) if table and table.get("numRows") is not None else None

    # -- guards -------------------------------------------------------------------------------------------------------

    async def _check(self, action: steps.Check) -> int:
        """Return where to go on; raise GuardDiffered where the plan no longer fits."""
        answers = await gather_bounded(
            self._read(guard, action.position + offset) for offset, guard in enumerate(action.guards)
        )
        for offset, (guard, answer) in enumerate(zip(action.guards, answers)):
            found = f"refused: {answer}" if isinstance(answer, ApiError) else steps.project(guard, answer)
            if found == guard.expected:
                continue
            earlier = await self._earlier_life(action.position + offset)
            if earlier is not None:
                return earlier
            raise GuardDiffered(self._plan.unique_id, guard.subject, guard.expected, found)
        return action.position + len(action.guards)

    async def _read(self, guard: Guard, position: int) -> Any:
        """Return what BigQuery answers; an ApiError where it says that the query no longer works."""
        request, deadline = guard.request, self._run.deadline
        if guard.kind in (GuardKind.TABLE, GuardKind.SETTINGS, GuardKind.TARGET_STATE):
            return await self._bigquery.get_table(
                request["project"], request["dataset"], request["table"], deadline=deadline
            )
        if guard.kind is GuardKind.DATASET:
            return await self._bigquery.get_dataset(request["project"], request["dataset"], deadline=deadline)
        if guard.kind is GuardKind.SCHEMA:
            body: Json = {
                "configuration": {**request["configuration"], "dryRun": True},
                "jobReference": {"projectId": request["project"]},
            }
            if request.get("location"):
                body["jobReference"]["location"] = request["location"]
            try:
                dry = await self._bigquery.insert_job(request["project"], body, deadline=deadline)
            except ApiError as error:
                return _as_answer(error)
            return ((dry["statistics"].get("query") or {}).get("schema") or {}).get("fields")
        operation = steps.as_job(guard)
        try:
            job = await self._job(operation, steps.id_of(self._run.key, self._plan, position))
        except JobFailed as error:
            return error
        return await self._bigquery.rows(JobRef.of(job), deadline=deadline)

    async def _earlier_life(self, position: int) -> int | None:
        """
        Return the position to go on at, where an earlier life of this task has already been past *position*.

        What differs from the plan then is what we wrote ourselves; and a call sent again could undo it.
        """
        later = steps.own_job_after(self._plan.steps, position)
        if later is None:
            return None
        operation = steps.as_job(self._plan.steps[later])
        job_id = steps.id_of(self._run.key, self._plan, later)
        found = await jobs.find(self._bigquery, operation, job_id, deadline=self._run.deadline)
        return None if found is None else later

    # -- operations ---------------------------------------------------------------------------------------------------

    async def _submit(self, action: steps.Submit) -> None:
        operation = action.operation
        if operation.shared is not None:
            job = await self._shared_job(operation)
        else:
            job = await self._job(operation, steps.id_of(self._run.key, self._plan, action.position))
        self._jobs[action.position] = job
        if operation.main and not operation.rows:
            # At once, as dbt does: what follows, such as a post-hook, may change the table.
            self._main_rows = await self._table_rows(job)

    async def _job(self, operation: JobOperation, first_id: str) -> Json:
        """
        Submit the job, wait for it and return it; a job that BigQuery itself spoils is followed by another one.

        After a crash the same jobs are met again, in the same order.
        """
        run, attempt = self._run, 1
        while True:
            job = await self._job_once(operation, attempt_id(first_id, attempt))
            left = None if run.deadline is None else run.deadline - run.clock.now()
            decision = after_failed_job(job, attempt=attempt, jitter=run.clock.jitter(), left=left)
            if isinstance(decision, GiveUp):
                raise_for_error(job)
                return job
            run.log.warning(
                f"{self._plan.unique_id}: BigQuery job {JobRef.of(job)} failed through no fault of its own "
                f"({(jobs.error_of(job) or {}).get('message')}); submitting it again in {decision.wait:.0f} s"
            )
            await run.clock.sleep(decision.wait)
            attempt += 1

    async def _job_once(self, operation: JobOperation, job_id: str) -> Json:
        run = self._run
        data = None
        if operation.upload is not None:
            data = await read_upload(run.folder, operation.upload, operation.upload_digest)
        async with self._place():
            # Known before it is sent: a kill in between must find it.
            run.under_way[job_id] = JobRef(operation.project, job_id, operation.location)
            self._ids.append(job_id)
            try:
                submitted = await jobs.submit(
                    self._bigquery,
                    operation,
                    job_id,
                    data=data,
                    before=self._unless_given_up,
                    deadline=run.deadline,
                )
            except Unavailable:
                raise  # nobody knows whether it is there
            except ApiError:
                del run.under_way[job_id]
                raise
            run.under_way[job_id] = submitted.ref
            run.log.info(
                report.submitted_line(self._plan, operation.purpose, submitted.ref, adopted=submitted.adopted)
            )
            job = await self._warehouse.waiter.wait(submitted.resource, deadline=run.deadline)
            del run.under_way[job_id]
        self.records.append(job_record(job, purpose=operation.purpose))
        return job

    def _place(self) -> Any:
        limit = self._warehouse.limit
        if limit.full:
            self._run.log.info(
                f"{self._plan.unique_id}: waiting, {limit.most} jobs are running (setting max_concurrent_jobs)"
            )
        return limit

    async def _shared_job(self, operation: JobOperation) -> Json:
        assert operation.shared is not None
        key = ("shared", self._run.index, operation.shared)
        return await self._bigquery.session.once(key, lambda: self._shared_job_once(operation))

    async def _shared_job_once(self, operation: JobOperation) -> Json:
        # Not under_way, and without a deadline: other tasks need it as well, so this one's end leaves it alone.
        attempt = 1
        while True:
            job_id = steps.id_of_shared(self._run.index, operation.shared or "", attempt)
            submitted = await jobs.submit(self._bigquery, operation, job_id)
            self._run.log.info(
                report.submitted_line(self._plan, operation.purpose, submitted.ref, adopted=submitted.adopted)
            )
            job = await self._warehouse.waiter.wait(submitted.resource)
            failed = jobs.error_of(job) is not None
            # Somebody else's failure must not stand for ever: each try of a task may ask once more.
            if failed and submitted.adopted and attempt < self._run.key.try_number:
                attempt += 1
                continue
            raise_for_error(job)
            return job

    async def _unless_given_up(self) -> None:
        """Refuse to write after this process stood still, if the task was tried anew meanwhile."""
        stops = self._bigquery.session.pulse.stops
        if stops == self._stops:
            return
        if await has_later_try(self._plan, self._run):
            raise CosmosAsyncError(
                f"{self._plan.unique_id}: this triggerer stood still for a while, and a later try of the task has begun. "
                "This one writes nothing more."
            )
        self._stops = stops

    async def _send(self, action: steps.Send) -> int:
        operation = action.operation

        async def unless_done() -> None:
            # Before every attempt: another instance of this task may have gone on while this one waited to repeat it.
            await self._unless_given_up()
            earlier = await self._earlier_life(action.position)
            if earlier is not None:
                raise _Done(earlier)

        try:
            await self._bigquery.send(
                f"{operation.purpose} ({operation.method} {operation.path})",
                operation.method,
                operation.path,
                operation.body,
                before=unless_done,
                deadline=self._run.deadline,
            )
        except _Done as done:
            return done.position
        except ApiError as error:
            if not _is_fine(operation, error):
                raise
        self._run.log.info(f"{self._plan.unique_id}: {operation.purpose}")
        return action.position + 1

    async def _native(self, action: steps.Native) -> int:
        earlier = await self._earlier_life(action.position)
        if earlier is not None:
            return earlier
        done = await natives.perform(
            action.operation, _Hands(self._plan, self._run, action.position, self._job)
        )
        for warning in done.warnings:
            self._run.log.warning(f"{self._plan.unique_id}: {warning}")
        self._run.log.info(f"{self._plan.unique_id}: {done.what}")
        return action.position + 1


class _Done(Exception):
    """An earlier or another life of this task has been here; *position* is where to go on."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position = position


class _Hands(Look):
    """What the native operation at one position works with."""

    def __init__(self, plan: NodePlan, run: Run, position: int, submit: Submit) -> None:
        super().__init__(plan, run, position, run.key)
        self._submit = submit

    async def job(self, operation: JobOperation, part: str) -> Json:
        """Submit or adopt the job of one part, and return it when it has succeeded."""
        return await self._submit(operation, self.id_of(part))

    def log(self, message: str) -> None:
        """Tell how far it is."""
        self._run.log.info(f"{self._plan.unique_id}: {message}")


def _as_answer(error: ApiError) -> ApiError:
    """Return *error* where it speaks of the query (dbt had an answer, so the plan no longer fits), else raise it."""
    if error.status in (400, 404):
        return error
    raise error


def _is_fine(operation: CallOperation, error: ApiError) -> bool:
    if error.status == 404:
        return operation.missing_ok
    # dbt creates datasets with exists_ok; a lost answer looks the same.
    return error.status == 409 and operation.method == "POST"


def raise_for_error(job: Json) -> None:
    """
    Raise what a finished job failed with.

    Raises:
        JobFailed: The job ended with an error.
    """
    error = jobs.error_of(job)
    if error is not None:
        message = error.get("message") or "BigQuery gave no message."
        raise JobFailed(message, reason=error.get("reason"), job=job)
