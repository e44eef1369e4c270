"""
Carry out the plan of one node: guards, jobs, calls, in their order, then the verdict.

It knows nothing of Airflow: who calls it may be a task's trigger or anything else with a key of its own. Everything
it submits has a computed id, so it may be stopped anywhere and started again from the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cosmos_async.dbt_rules.freshness import timed
from cosmos_async.dbt_rules.verdict import Verdict, database_error
from cosmos_async.exceptions import CosmosAsyncError, DbtMustJudge, GuardDiffered, JobFailed
from cosmos_async.plan.model import Hook, JobOperation, Level, NodePlan, Step
from cosmos_async.plan.outcome import Outcome, Status
from cosmos_async.triggers.execution import report
from cosmos_async.triggers.execution.batches import Batches
from cosmos_async.triggers.execution.continuation import Begun, go_on, lasting
from cosmos_async.triggers.execution.node import Node
from cosmos_async.triggers.execution.prelude import Prelude
from cosmos_async.triggers.execution.seeds import UNCHANGED
from cosmos_async.triggers.jobs import steps
from cosmos_async.triggers.jobs.cancel import cancel_earlier_tries, cancel_jobs_of_earlier_plans
from cosmos_async.triggers.jobs.context import End, Finished, NeedsDbt, Run


async def execute(
    plan: NodePlan, run: Run, *, number: int = 1, total: int = 1, begun: Begun | None = None
) -> End:
    """
    Carry out *plan* and return how it ended.

    Args:
        plan: The node's plan.
        run: What it shares with its task's other nodes.
        number: Its place among them, for the log.
        total: How many they are.
        begun: The plan that this one follows, where that has written something.
    """
    reason = steps.why_dbt(plan)
    if reason is not None:
        return NeedsDbt(plan, reason, late=plan.level is Level.LATE)
    if run.page is not None:
        run.page.begin(replace(plan, level=Level.LATE) if run.key.late else plan)
    if not run.quiet:
        run.log.info(report.start_line(plan, number=number, total=total))
    # A test's SQL is shown when there is something to look into: a task may have hundreds of them.
    sql = None if plan.test is not None else report.sql_block(plan)
    if sql is not None:
        run.log.info(sql)
    node: Batches | Node = Batches(plan, run) if plan.batches else Node(plan, run)
    started = run.clock.utc()
    error: CosmosAsyncError | None = None
    try:
        if begun is not None:
            node = _going_on(begun, plan, run)
        await cancel_earlier_tries(plan, run)
        await cancel_jobs_of_earlier_plans(plan, run)
        if begun is None and run.seeds is not None and await run.seeds.is_unchanged(plan, run):
            verdict = Verdict(Status.NO_OP, UNCHANGED)
        else:
            await node.carry_out()
            verdict, error = await node.judge(), node.error
            if run.seeds is not None and verdict.status is Status.SUCCESS:
                await run.seeds.keep(plan, run)
    except GuardDiffered as differed:
        again = bool(run.key.late)
        if not (again and node.written):
            tell = run.log.info if differed.assumed else run.log.warning
            tell(report.differed(differed, again=again, written=node.written))
            # What was planned a moment ago and differs already will differ again.
            done = node.position if node.written else 0
            return NeedsDbt(plan, str(differed), late=not again, done=done, assumed=differed.assumed)
        error = CosmosAsyncError(report.written_in_part(f"{differed}.", node.written))
        verdict = Verdict(Status.ERROR, str(error))
    except DbtMustJudge as judged:
        run.log.warning(run.told(plan, str(judged)))
        return NeedsDbt(plan, str(judged))
    except JobFailed as failed:
        if plan.resource_type == "unit_test":
            return NeedsDbt(plan, f"its query failed, and dbt has its own words for that: {failed}")
        error, verdict = failed, Verdict(Status.ERROR, database_error(plan, str(failed), failed.job))
    except CosmosAsyncError as failed:
        error, verdict = failed, Verdict(Status.ERROR, str(failed))
        await node.abandon()
    ended = run.clock.utc()
    outcome = Outcome(
        unique_id=plan.unique_id,
        status=verdict.status,
        message=verdict.message,
        level=Level.LATE if run.key.late else plan.level,
        started_at=started.isoformat(),
        completed_at=ended.isoformat(),
        try_number=run.key.try_number,
        reason=plan.reason,
        failures=verdict.failures,
        adapter_response=verdict.adapter_response,
        jobs=tuple(node.records),
        batch_results=node.batch_results,
        compiled_code=plan.compiled_code if run.key.late else None,
        freshness=verdict.freshness and timed(verdict.freshness, started, ended, "triggerer"),
    )
    return _told(plan, outcome, error, run, number=number, total=total)


def _going_on(begun: Begun, plan: NodePlan, run: Run) -> Node:
    """Return the node as it goes on by *plan* behind what *begun* has done; from its beginning if that is as good."""
    try:
        continued = go_on(begun, plan)
    except CosmosAsyncError as error:
        written = lasting(begun.plan.steps[: begun.position])
        raise CosmosAsyncError(report.written_in_part(f"{plan.reason} {error}", written)) from error
    if continued is None:
        return Node(plan, run)
    key = replace(run.key, late="", ahead=begun.ahead)
    done = f"goes on behind the {len(continued.done)} operations that are done already"
    run.log.info(run.told(plan, done))
    ids = {
        at: steps.id_of(key, begun.plan, before)
        for at, before in continued.done.items()
        if isinstance(continued.plan.steps[at], JobOperation)
    }
    return Node(continued.plan, run, begins=continued.position, ids=ids)


def _told(
    plan: NodePlan, outcome: Outcome, error: CosmosAsyncError | None, run: Run, *, number: int, total: int
) -> Finished:
    cost = None if run.quiet else report.cost(outcome.jobs)
    if cost is not None:
        run.log.info(run.told(plan, cost))
    line = report.end_line(plan, outcome, number=number, total=total, job=run.quiet)
    story = None
    if error is not None:
        story = report.failure(plan, error)
    elif outcome.status.failed or outcome.status is Status.WARN:
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
        ("prelude", run.index), lambda: Prelude(prelude, hooks, everybodys).carry_out()
    )
