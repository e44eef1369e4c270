"""
XComs: what Airflow's UI shows of a node's task beside its log. The link to a job, the jobs, and the compiled SQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cosmos_async.airflow.links import LINK_XCOM_KEY, SQL_XCOM_KEY
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import JobOperation, NodePlan
from cosmos_async.plan.outcome import JobRecord, Outcome, Status
from cosmos_async.plan.ownership import is_test
from cosmos_async.triggers.event_loop.clock import Clock
from cosmos_async.triggers.google.bigquery import JobRef
from cosmos_async.triggers.jobs.context import Log
from cosmos_async.triggers.task import Airflow

JOBS_XCOM = "dbt_jobs"

#: Seconds between attempts to leave XComs.
PAUSES = (1.0, 3.0, 10.0)

#: Characters of compiled SQL; the rest is in the task's log and in dbt's manifest.
MOST_SQL = 16_384


def told_outcome(outcomes: Sequence[Outcome]) -> Outcome | None:
    """
    Return the outcome whose job stands for a task of several nodes.

    The first that failed; else the node that is built there; else the first test that warned; else the one that took longest.
    """
    ended = [outcome for outcome in outcomes if outcome.status is not Status.SKIPPED]
    failed = [outcome for outcome in ended if outcome.status.failed]
    built = [outcome for outcome in ended if not is_test(outcome.unique_id)]
    warned = [outcome for outcome in ended if outcome.status is Status.WARN]
    first = [*failed, *built, *warned]
    return first[0] if first else max(ended, key=lambda outcome: outcome.seconds, default=None)


def link(outcomes: Sequence[Outcome]) -> str:
    """Return the address of the job that a task's link opens, empty where there is none."""
    outcome = told_outcome(outcomes)
    job = None if outcome is None else outcome.main_job
    return "" if job is None else _console(job)


def jobs(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Return the jobs of a task for other tasks: JSON-able and small."""
    return [
        {
            "unique_id": outcome.unique_id,
            "status": outcome.status.value,
            "level": outcome.level.value,
            "purpose": job.purpose,
            "job_id": job.job_id,
            "project": job.project,
            "location": job.location,
            "bytes_processed": job.bytes_processed,
            "slot_ms": job.slot_ms,
            "rows": job.rows,
        }
        for outcome in outcomes
        for job in outcome.jobs
    ]


def compiled_sql(plans: Sequence[NodePlan], outcomes: Sequence[Outcome] = ()) -> str:
    """
    Return the compiled SQL of a task's nodes under a comment each, which says how they are executed and why.

    The node that is built there, and what has failed or warned; where none is built, all tests. Empty where dbt has compiled
    nothing, as of a seed.
    """
    ended = {outcome.unique_id: outcome for outcome in outcomes}
    bad = [plan for plan in plans if _is_bad(ended.get(plan.unique_id))]
    built = [plan for plan in plans if not is_test(plan.unique_id)]
    others = built or plans
    chosen = [*bad, *(plan for plan in others if plan not in bad)]
    parts, left = [], MOST_SQL
    for plan in chosen:
        text = _with_header(plan, ended.get(plan.unique_id))
        if text is None:
            continue
        if left <= 0:
            parts.append("-- More is in the task's log and in dbt's manifest.json.")
            break
        if len(text) > left:
            text = f"{text[:left]}\n-- {len(text) - left} more characters are in dbt's manifest.json."
        parts.append(text)
        left -= len(text)
    return "\n\n".join(parts)


def all_of(outcomes: Sequence[Outcome], plans: Sequence[NodePlan]) -> dict[str, Any]:
    """Return the XComs of a task, by their keys, as far as there is anything to tell."""
    values = {
        JOBS_XCOM: jobs(outcomes),
        LINK_XCOM_KEY: link(outcomes),
        SQL_XCOM_KEY: compiled_sql(plans, outcomes),
    }
    return {key: value for key, value in values.items() if value}


async def try_to_leave(
    airflow: Airflow, key: TaskKey, values: dict[str, Any], *, clock: Clock, log: Log
) -> None:
    """
    Leave XComs, in several attempts; what is shown of a task does not fail it.

    Args:
        airflow: Who keeps them.
        key: The task.
        values: What to leave.
        clock: For the pauses.
        log: Told where Airflow has not taken them.
    """
    for pause in (*PAUSES, None):
        try:
            await airflow.leave_xcoms(key, values)
            return
        except Exception as error:  # whatever Airflow raises while its API or database is away
            if pause is None:
                log.warning(f"Airflow has not taken this task's XComs ({', '.join(values)}): {error!r}")
                return
        await clock.sleep(pause)


class TaskXComs:
    """
    A task's XComs while it is executed: what can be shown early is written beside the work.

    Args:
        airflow: Who keeps them.
        key: The task.
        alone: Whether the task has one node, so that this node's job stands for it whichever it is.
        held: Whether Airflow has not started the task yet; see :meth:`follow`.
    """

    def __init__(self, airflow: Airflow, key: TaskKey, *, alone: bool, held: bool = False) -> None:
        self._airflow, self._key, self._alone, self._held = airflow, key, alone, held
        self._left: dict[str, Any] = {}
        self._writing: asyncio.Task[None] | None = None
        self._early: dict[str, Any] = {}

    def begin(self, plan: NodePlan) -> None:
        """Show what is executed now."""
        if not is_test(plan.unique_id):
            self._soon(SQL_XCOM_KEY, compiled_sql([plan]))

    def submitted(self, plan: NodePlan, operation: JobOperation, ref: JobRef) -> None:
        """Let the link open a job that is running."""
        if operation.is_central and (self._alone or not is_test(plan.unique_id)):
            self._soon(LINK_XCOM_KEY, ref.console)

    def follow(self) -> None:
        """Write what was kept, and whatever comes later: Airflow has started the task."""
        self._held = False
        self._begin_to_write()

    async def leave(self, values: Mapping[str, Any], *, clock: Clock, log: Log) -> None:
        """Leave *values* as they are at the end; see :func:`try_to_leave`."""
        if self._writing is not None:
            await asyncio.wait({self._writing})
        changed = {key: value for key, value in values.items() if self._left.get(key) != value}
        if changed:
            await try_to_leave(self._airflow, self._key, changed, clock=clock, log=log)

    def _soon(self, key: str, value: str) -> None:
        if value:
            self._early[key] = value
            self._begin_to_write()

    def _begin_to_write(self) -> None:
        if not self._held and (self._writing is None or self._writing.done()):
            self._writing = asyncio.ensure_future(self._write())

    async def _write(self) -> None:
        while self._early:
            values, self._early = self._early, {}
            try:
                await self._airflow.leave_xcoms(self._key, values)
            except Exception:  # whatever Airflow raises while its API is away; they are left again at the end
                return
            self._left.update(values)


def _is_bad(outcome: Outcome | None) -> bool:
    return outcome is not None and (outcome.status.failed or outcome.status is Status.WARN)


def _with_header(plan: NodePlan, outcome: Outcome | None) -> str | None:
    code = (outcome.compiled_code if outcome is not None else None) or plan.compiled_code
    if not code:
        return None
    level = plan.level if outcome is None else outcome.level
    where = f" ({plan.file})" if plan.file else ""
    reason = outcome.reason if outcome is not None and outcome.reason else plan.reason
    why = f": {' '.join(reason.split())}" if reason else ""
    return f"-- {plan.unique_id}{where}, level {level.value} ({level.word}){why}\n{code.strip()}"


def _console(job: JobRecord) -> str:
    return JobRef(job.project, job.job_id, job.location or None).console
