"""
What a worker does for nodes that their trigger would not or could not execute: plan them anew, or run real dbt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from cosmos_async.airflow.compat import AirflowException, AirflowSkipException
from cosmos_async.exceptions import ConfigError, CosmosAsyncError, PlanError
from cosmos_async.operators.run_plan import RunPlan, airflow_context, key_of
from cosmos_async.operators.wave import Wave
from cosmos_async.plan.model import Index, Level, NodePlan, RunInfo
from cosmos_async.plan.outcome import Outcome, Status
from cosmos_async.plan.ownership import is_source
from cosmos_async.plan.store import PlanAddress
from cosmos_async.plan.waves import Request

if TYPE_CHECKING:
    from cosmos_async.dbt.invocation import DbtInvocation
    from cosmos_async.dbt.planner.late import LatePlans
    from cosmos_async.dbt.session import Dbt


GONE = (
    "The plan of this run was deleted when the run had ended, and its setup was not cleared with this task."
)


class NodeTask(Protocol):
    """The task whose nodes are worked on: :class:`~cosmos_async.operators.node.DbtNodeAsyncOperator`."""

    task_id: str
    work: str
    unique_id: str | None
    dbt: DbtInvocation | None
    processes: Any  #: dbt's, for ``on_kill``
    setup_task_id: str
    identity: dict[str, Any]

    @property
    def log(self) -> Any:
        """Airflow's log of the task."""
        ...


def work(operator: NodeTask, context: Any, event: dict[str, Any]) -> dict[str, Any] | None:
    """
    Do what *event* asks for and return where the trigger goes on, None where the task has ended well.

    Args:
        operator: The task.
        context: Its context.
        event: The trigger's event, see :class:`cosmos_async.triggers.execution.task_nodes.Payload`.

    Raises:
        AirflowException: A node failed, here or in the triggerer, and none is left for the triggerer.
        AirflowSkipException: Another task has failed, and dbt runs with ``--fail-fast``.
        ConfigError: The task does not know how to run dbt.
    """
    _need_dbt(operator)
    address = event.get("address")
    plan = RunPlan(operator, context, address=None if address is None else PlanAddress.from_json(address))
    index, key = plan.index(), key_of(context["ti"])
    # An event of an earlier release claims nothing.
    wave = Wave(plan, index, key, event.get("claim"), operator.log)
    try:
        if not index.run.fail_fast:
            return _work(operator, context, event, plan, index, wave)
        failed = plan.failed_task(key)
        if failed is not None:
            left = ", ".join(node["unique_id"] for node in event["dbt"])
            raise AirflowSkipException(f"Stopped by --fail-fast, as {failed} has failed. Skipped: {left}")
        try:
            return _work(operator, context, event, plan, index, wave)
        except Exception:
            plan.leave_failure(key)
            raise
    finally:
        wave.end()


def plan_anew(operator: NodeTask, context: Any, event: dict[str, Any]) -> dict[str, Any] | None:
    """
    Plan a task alone whose plan is gone, and return where the trigger begins; None where the task has ended well.

    Which nodes it has, the results task has kept. They are planned as late nodes are, as a part of the run's invocation,
    without the run's hooks; those of later groups at their turn. Other tasks that were cleared with this one have plans
    of their own.

    Args:
        operator: The task.
        context: Its context.
        event: The trigger's, whose ``gone`` says what is missing.

    Raises:
        AirflowException: As for :func:`work`.
        ConfigError: The task does not know how to run dbt.
        PlanNotFound: Nobody has kept what the run's plan was, so that it has to be planned as a whole.
    """
    from cosmos_async.triggers.execution.task_nodes import nodes_of

    _need_dbt(operator)
    operator.log.warning(
        "Only this task was cleared, not its setup. If tasks after it were not cleared either, they keep their states, and "
        "with them the run: clear with Downstream where it should count how this one ends."
    )
    plan = RunPlan(operator, context)
    index = plan.kept_index()
    groups = [group for group in nodes_of(index, operator.work, operator.unique_id) if group]
    if not groups:
        return None
    address = plan.write_part(index, [unique_id for group in groups for unique_id in group], GONE)
    first = [
        {"unique_id": unique_id, "reason": GONE, "way": "late" if _is_planned(index, unique_id) else "dbt"}
        for unique_id in groups[0]
    ]
    return work(
        operator,
        context,
        {"dbt": first, "position": 0, "rest": len(groups) - 1, "address": address.to_json()},
    )


def _is_planned(index: Index, unique_id: str) -> bool:
    # How dbt measures a source is recorded by another command; one source costs real dbt no more.
    return index.nodes[unique_id].level is not Level.DBT and not is_source(unique_id)


def _need_dbt(operator: NodeTask) -> None:
    if operator.dbt is None:
        raise ConfigError(
            f"task {operator.task_id} needs real dbt and does not know how to run it: give it "
            "setup=<the SetupAsyncOperator>, or dbt=<a DbtInvocation>."
        )


def _work(
    operator: NodeTask, context: Any, event: dict[str, Any], plan: RunPlan, index: Index, wave: Wave
) -> dict[str, Any] | None:
    position = event.get("position", 0)
    late = {node["unique_id"]: node["reason"] for node in event["dbt"] if node.get("way") == "late"}
    done = {node["unique_id"]: node["done"] for node in event["dbt"] if node.get("done")}
    pinned = wave.pinned(position) if late else {}
    plans = {unique_id: digest for unique_id, digest in pinned.items() if unique_id in late}
    failures = [event["message"]] if event.get("message") else []
    if any(node["unique_id"] not in plans for node in event["dbt"]):
        with _worker(operator, context, event, plan, index, wave) as worker:
            for node in event["dbt"]:
                if node["unique_id"] not in late:
                    worker.run(node["unique_id"], node["reason"])
            left = {unique_id: reason for unique_id, reason in late.items() if unique_id not in plans}
            if left:
                plans.update(worker.plan(left, position, done))
            worker.leave_xcoms()
            failures += worker.failures
            event.setdefault("results", {}).update(worker.results)
    if plans or (event.get("rest") and not failures):
        begun = {unique_id: at for unique_id, at in done.items() if unique_id in plans}
        resume = {"position": position, "plans": plans}
        if begun:
            resume["done"] = begun
        if event.get("address"):
            resume["address"] = event["address"]
        return resume
    if failures:
        raise AirflowException("\n".join(failures))
    return None


@contextmanager
def _worker(
    operator: NodeTask, context: Any, event: dict[str, Any], plan: RunPlan, index: Index, wave: Wave
) -> Iterator[_Worker]:
    """Open dbt for a task."""
    from cosmos_async.dbt.process import Processes, to_log
    from cosmos_async.dbt.session import open_dbt

    assert operator.dbt is not None
    processes = operator.processes = Processes(to_log(operator.log))
    parsed = plan.parsed(index.run)
    with open_dbt(
        operator.dbt.rendered(operator, context),
        processes,
        context=airflow_context(context),
        # A package's seed is a file of it, which is not part of the parsed project.
        packages=parsed is None or any(_is_seed(index, node["unique_id"]) for node in event["dbt"]),
    ) as dbt:
        yield _Worker(operator, context, dbt, plan, index.run, parsed, wave)


def _is_seed(index: Index, unique_id: str) -> bool:
    return index.nodes[unique_id].resource_type == "seed"


class _Worker:
    """One task's work with one opened dbt."""

    def __init__(
        self,
        operator: NodeTask,
        context: Any,
        dbt: Dbt,
        plan: RunPlan,
        run: RunInfo,
        parsed: bytes | None,
        wave: Wave,
    ) -> None:
        self._dbt = dbt
        self._wave = wave
        self._log = operator.log
        self._plan = plan
        self._info = run
        self._parsed = parsed
        self._instance = context["ti"]
        self._key = key_of(self._instance)
        self._outcomes: list[Outcome] = []  # of the nodes that real dbt ran
        self.failures: list[str] = []  #: of these, those that failed

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """How they ended, as the trigger's event has it of its own nodes."""
        return {
            outcome.unique_id: {"status": outcome.status.value, "message": outcome.message}
            for outcome in self._outcomes
        }

    def run(self, unique_id: str, reason: str) -> None:
        """Run a node in real dbt and leave its outcome in the store."""
        from cosmos_async.dbt.planner.freshness import run_freshness
        from cosmos_async.dbt.run_node import run_node

        self._log.info("Running %s in real dbt on this worker: %s", unique_id, reason)
        outcome = (run_freshness if is_source(unique_id) else run_node)(
            self._dbt,
            unique_id,
            try_number=self._key.try_number,
            reason=reason,
            run=self._info,
            parsed=self._parsed,
        )
        self._plan.write_outcomes([outcome])
        self._outcomes.append(outcome)
        if outcome.status.failed:
            self.failures.append(f"{unique_id}: {outcome.message}")

    def leave_xcoms(self) -> None:
        """Let the task's link and its compiled SQL be those of the nodes that real dbt ran, as far as dbt tells them."""
        from cosmos_async.triggers.execution import xcoms

        plans = [
            NodePlan(each.unique_id, each.unique_id, each.unique_id.split(".")[0], each.level, each.reason)
            for each in self._outcomes
        ]
        # What the triggerer has left of the jobs before stays.
        for key, value in xcoms.all_of(self._outcomes, plans).items():
            if key != xcoms.JOBS_XCOM:
                self._instance.xcom_push(key=key, value=value)

    def leave(self, unique_id: str, reason: str, why: str) -> None:
        """
        Let a node fail that its trigger has written in part and that cannot go on: real dbt would write that once more.

        Args:
            unique_id: The node.
            reason: Why it needed a worker.
            why: Why it has no new plan.
        """
        from cosmos_async.triggers.execution.report import written_in_part

        now = datetime.now(timezone.utc).isoformat()
        message = written_in_part(f"{reason}.", why=why)
        outcome = Outcome(
            unique_id, Status.ERROR, message, Level.LATE, now, now, self._key.try_number, reason=reason
        )
        self._plan.write_outcomes([outcome])
        self.failures.append(f"{unique_id}: {message}")

    def plan(
        self, late: dict[str, str], position: int, done: Mapping[str, int] | None = None
    ) -> dict[str, str]:
        """
        Plan nodes anew, store their plans, and return their digests; run those that cannot be planned in real dbt.

        Args:
            late: Why, by unique id.
            position: Of their group in the task.
            done: Those of them that have been written in part.
        """
        for unique_id, reason in late.items():
            self._log.info("Planning %s as things are now: %s", unique_id, reason)
        try:
            made = self._planned(late)
        except PlanError as error:
            self._log.warning("No plan can be made now: %s", error)
            self._wave.end()
            for unique_id, reason in late.items():
                if done and unique_id in done:
                    self.leave(unique_id, reason, str(error))
                else:
                    self.run(unique_id, str(error))
            return {}
        planned = [
            made.nodes[unique_id] for unique_id in late if made.nodes[unique_id].level is not Level.DBT
        ]
        pinned = self._wave.pin(position, planned, made) if planned else {}
        self._plan_rest()
        self._wave.end(well=True)  # before real dbt, which waits for BigQuery
        for unique_id, before in late.items():
            plan = made.nodes[unique_id]
            if plan.level is not Level.DBT:
                self._log.info(
                    "Planned %s: %d steps. The triggerer carries them out.",
                    unique_id,
                    len(plan.steps) + sum(len(batch.steps) for batch in plan.batches),
                )
            elif done and unique_id in done:
                self.leave(unique_id, before, plan.reason)
            else:
                self.run(
                    unique_id,
                    before
                    if before == plan.reason
                    else f"{before} It cannot be planned now either: {plan.reason}",
                )
        return pinned

    def _planned(self, late: Mapping[str, str]) -> LatePlans:
        """Return the plans of this task's nodes; those that other tasks ask for are planned along, if that can be."""
        from cosmos_async.dbt.planner.late import plan_late

        others = self._wave.take()
        if others:
            made = self._planned_for(others, late)
            if made is not None:
                return made
        return plan_late(self._dbt, late, run=self._info, parsed=self._parsed)

    def _plan_rest(self) -> None:
        """Plan what was asked for meanwhile, once: this task's own nodes wait to be executed."""
        others = self._wave.take()
        if others:
            self._planned_for(others, {})

    def _planned_for(self, others: Sequence[Request], late: Mapping[str, str]) -> LatePlans | None:
        from cosmos_async.dbt.planner.late import plan_late

        reasons = {**self._wave.reasons(others), **late}
        try:
            made = plan_late(self._dbt, reasons, run=self._info, parsed=self._parsed, apart=True)
        except CosmosAsyncError as error:
            self._log.warning(
                "These cannot be planned together, so their tasks ask for own workers: %s", error
            )
            self._wave.close(others)
            return None
        self._wave.answer(others, made)
        return made
