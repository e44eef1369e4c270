"""
One node's steps: guards, jobs, calls and native operations in their order, then the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cosmos_async.dbt_rules.freshness import last_modified, measured, read_row
from cosmos_async.dbt_rules.statistics import adapter_response, counted_table
from cosmos_async.dbt_rules.verdict import (
    Verdict,
    judge_build,
    judge_freshness,
    judge_test,
    passes_unit_test,
    read_test_row,
)
from cosmos_async.exceptions import ApiError, CosmosAsyncError, DbtMustJudge, GuardDiffered, JobFailed
from cosmos_async.plan.model import (
    CallOperation,
    FreshnessRule,
    Guard,
    GuardKind,
    JobOperation,
    NodePlan,
    Step,
)
from cosmos_async.plan.outcome import JobRecord, Status
from cosmos_async.triggers import natives
from cosmos_async.triggers.event_loop.gather import gather_bounded
from cosmos_async.triggers.execution import report
from cosmos_async.triggers.execution.continuation import lasting
from cosmos_async.triggers.execution.node_jobs import NodeJobs, Submit
from cosmos_async.triggers.google.bigquery import JobRef
from cosmos_async.triggers.jobs import steps
from cosmos_async.triggers.jobs.cancel import SubmittedJobs
from cosmos_async.triggers.jobs.context import Run
from cosmos_async.triggers.jobs.same_job import require_same
from cosmos_async.triggers.jobs.submit import find_job

Json = dict[str, Any]


class Node:
    """
    One node under way.

    Args:
        plan: Its plan.
        run: What it shares with its task's other nodes.
        begins: The position of its first step that is not done yet.
        ids: The ids of the jobs before it, by position; they were another plan's.
    """

    error: CosmosAsyncError | None = None  #: what went wrong although it came to an end; of batches only
    batch_results: Json | None = None  #: as dbt writes them; of batches only

    def __init__(
        self, plan: NodePlan, run: Run, *, begins: int = 0, ids: Mapping[int, str] | None = None
    ) -> None:
        self._plan = plan
        self._run = run
        self._bigquery = run.warehouse.bigquery
        self._jobs = NodeJobs(plan, run)
        self._ids = ids or {}
        self.position = begins  #: of the next step; all before it are done
        self._ended: dict[int, Json] = {}  # jobs, by position
        self._main_rows: int | None = None  # of the table that the main job made

    @property
    def records(self) -> list[JobRecord]:
        """What is told of the node's own jobs."""
        return self._jobs.records

    @property
    def jobs(self) -> list[Json]:
        """The jobs that have ended, in the order of their steps, shared ones included."""
        return [job for _, job in sorted(self._ended.items())]

    @property
    def written(self) -> list[Step]:
        """What has been done so far and stays, so that the node cannot simply begin once more."""
        return lasting(self._plan.steps[: self.position])

    async def carry_out(self) -> None:
        """Perform every step that is not done yet."""
        for position in self._ids:
            await self._finished(position)  # it ended before; what it says belongs to the outcome
        while True:
            action = steps.next_action(self._plan.steps, self.position)
            if isinstance(action, steps.Finish):
                return
            if isinstance(action, steps.Check):
                self.position = await self._check(action)
            elif isinstance(action, steps.Submit):
                await self._submit(action)
                self.position += 1
            elif isinstance(action, steps.Send):
                self.position = await self._send(action)
            elif isinstance(action, steps.Native):
                self.position = await self._native(action)

    async def abandon(self) -> None:
        """Ask for the end of a job that we have stopped watching, such as after too many errors."""
        await self._jobs.abandon()

    async def judge(self) -> Verdict:
        """Return the verdict on a node whose every step succeeded."""
        plan = self._plan
        result = self._last(lambda operation: operation.rows)
        if plan.freshness is not None:
            return await self._judge_freshness(plan.freshness, result)
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
        self._jobs.note_rows(job, verdict.adapter_response.get("rows_affected"))
        return verdict

    async def _judge_test(self, plan: NodePlan, position: int) -> Verdict:
        assert plan.test is not None
        job = await self._finished(position)
        answer = await self._bigquery.rows(JobRef.of(job), deadline=self._run.deadline)
        try:
            verdict = judge_test(plan.test, read_test_row(answer))
        except ValueError as error:
            hint = "dbt takes one row with a whole number of failures, which the test's fail_calc gives"
            self._run.log.error(self._run.told(plan, hint))
            raise CosmosAsyncError(str(error)) from error
        rows = int(answer.get("totalRows") or len(answer["rows"]))
        response = judge_build(plan, job, table_rows=rows).adapter_response if plan.message is None else {}
        return Verdict(verdict.status, verdict.message, verdict.failures, response)

    async def _judge_unit_test(self, position: int) -> Verdict:
        job = await self._finished(position)
        answer = await self._bigquery.rows(JobRef.of(job), deadline=self._run.deadline)
        if not passes_unit_test(answer):
            raise DbtMustJudge("The rows are not those that were expected; dbt shows how they differ.")
        return Verdict(Status.PASS, None, 0, adapter_response(job, table_rows=len(answer["rows"])))

    async def _judge_freshness(self, rule: FreshnessRule, position: int | None) -> Verdict:
        response: Json = {}
        try:
            if rule.table is not None:
                loaded, asked = await self._last_modified(rule.table)
            elif position is None:
                raise ValueError("its plan has neither a query nor a table that would tell")
            else:
                job = await self._finished(position)
                answer = await self._bigquery.rows(JobRef.of(job), deadline=self._run.deadline)
                loaded, asked = read_row(answer)
                response = adapter_response(job, table_rows=len(answer["rows"]))
        except ValueError as error:
            raise DbtMustJudge(f"How old it is, dbt has to tell: {error}.") from error
        return judge_freshness(measured(self._plan.unique_id, rule.criteria, loaded, asked, response))

    async def _last_modified(self, request: Json) -> tuple[datetime, datetime]:
        table = await self._bigquery.get_table(
            request["project"], request["dataset"], request["table"], deadline=self._run.deadline
        )
        if table is None:
            name = f"{request['project']}.{request['dataset']}.{request['table']}"
            raise CosmosAsyncError(
                f"BigQuery has no table {name}, so nobody knows how old it is. Create it, or mend the source in "
                f"{self._plan.file or 'the project'} and clear the setup task together with this one."
            )
        return last_modified(table), self._run.clock.utc()

    def _last(self, wanted: Any) -> int | None:
        found = [
            position
            for position, step in enumerate(self._plan.steps)
            if isinstance(step, JobOperation) and wanted(step)
        ]
        return found[-1] if found else None

    async def _finished(self, position: int) -> Json:
        """Return the finished job at *position*; it may be of an earlier life of this task."""
        if position not in self._ended:
            await self._submit(steps.Submit(self._plan.steps[position], position))  # type: ignore[arg-type]
        return self._ended[position]

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
        guards = dict(enumerate(action.guards, action.position))
        # dbt often asks the same twice.
        questions = {_question(guard, position): position for position, guard in guards.items()}
        read = await gather_bounded(self._read(guards[one], one) for one in questions.values())
        answers = dict(zip(questions, read))
        for position, guard in guards.items():
            answer = answers[_question(guard, position)]
            found = f"refused: {answer}" if isinstance(answer, ApiError) else steps.project(guard, answer)
            if steps.fits(guard, found, late=bool(self._run.key.late)):
                continue
            # Beyond all of them: what those beside it ask was asked just now.
            earlier = await self._earlier_life(action.position + len(action.guards) - 1)
            if earlier is not None:
                return earlier
            planned, now = steps.difference(guard, found)
            raise GuardDiffered(self._plan.unique_id, guard.subject, planned, now, assumed=guard.assumed)
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
        if guard.kind is GuardKind.LISTING:
            return await self._bigquery.listed(
                request["what"], request["project"], request.get("dataset"), deadline=deadline
            )
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
            job = await self._jobs.own(operation, steps.id_of(self._run.key, self._plan, position))
        except JobFailed as error:
            return error
        return await self._bigquery.rows(JobRef.of(job), deadline=deadline)

    async def _earlier_life(self, position: int) -> int | None:
        """
        Return the position to go on at, where an earlier life of this task has already been past *position*.

        What differs from the plan then is what we wrote ourselves; and a call sent again could undo it.

        Raises:
            JobTaken: It was there with another plan, whose writes say nothing of this one's.
        """
        later = steps.own_job_after(self._plan.steps, position)
        if later is None:
            return None
        operation = steps.as_job(self._plan.steps[later])
        job_id = steps.id_of(self._run.key, self._plan, later)
        found = await find_job(self._bigquery, operation, job_id, deadline=self._run.deadline)
        if found is None:
            return None
        require_same(self._plan.unique_id, operation, found.resource)
        return later

    def _id_of(self, position: int) -> str:
        return self._ids.get(position) or steps.id_of(self._run.key, self._plan, position)

    # -- operations ---------------------------------------------------------------------------------------------------

    async def _submit(self, action: steps.Submit) -> None:
        operation = action.operation
        if operation.shared is not None:
            job = await self._jobs.shared(operation)
        else:
            job = await self._jobs.own(operation, self._id_of(action.position))
        self._ended[action.position] = job
        if operation.main and not operation.rows:
            # At once, as dbt does: what follows, such as a post-hook, may change the table.
            self._main_rows = await self._table_rows(job)

    async def _send(self, action: steps.Send) -> int:
        operation = action.operation

        async def unless_done() -> None:
            # Before every attempt: another instance of this task may have gone on while this one waited to repeat it.
            await self._jobs.unless_given_up()
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
        self._run.log.info(self._run.told(self._plan, report.sent_line(operation)))
        return action.position + 1

    async def _native(self, action: steps.Native) -> int:
        earlier = await self._earlier_life(action.position)
        if earlier is not None:
            return earlier
        done = await natives.perform(
            action.operation, _Context(self._plan, self._run, action.position, self._jobs.own)
        )
        for warning in done.warnings:
            self._run.log.warning(self._run.told(self._plan, warning))
        self._run.log.info(self._run.told(self._plan, done.what))
        return action.position + 1


def _question(guard: Guard, position: int) -> tuple[Any, ...]:
    """Return what tells apart the requests of guards at one place; a query's and a dry run's are each its own."""
    request = guard.request
    if guard.kind in (GuardKind.TABLE, GuardKind.SETTINGS, GuardKind.TARGET_STATE):
        return "table", request["project"], request["dataset"], request["table"]
    if guard.kind is GuardKind.DATASET:
        return "dataset", request["project"], request["dataset"]
    if guard.kind is GuardKind.LISTING:
        return "listing", request["what"], request["project"], request.get("dataset")
    return "position", position


class _Done(Exception):
    """An earlier or another life of this task has been here; *position* is where to go on."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position = position


class _Context(SubmittedJobs):
    """What the native operation at one position works with."""

    def __init__(self, plan: NodePlan, run: Run, position: int, submit: Submit) -> None:
        super().__init__(plan, run, position, run.key)
        self._submit = submit

    async def job(self, operation: JobOperation, part: str) -> Json:
        """Submit or adopt the job of one part, and return it when it has succeeded."""
        return await self._submit(operation, self.id_of(part))

    def log(self, message: str) -> None:
        """Tell how far it is."""
        self._run.log.info(self._run.told(self._plan, message))


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
