"""What a worker does for a task that the trigger sent there, and whether the task then goes back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.airflow.compat import DAG, AirflowException, AirflowSkipException
from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.planner.late import LatePlans
from cosmos_async.exceptions import ConfigError, PlanError
from cosmos_async.operators.node import DbtNodeAsyncOperator
from cosmos_async.plan.model import Level, NodePlan, RunInfo
from cosmos_async.plan.outcome import JobRecord, Outcome, Status

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:
    from airflow.exceptions import TaskDeferred

ORDERS = "model.shop.orders"
RUN = RunInfo(
    "d", "r", "2026-01-01T00:00:00+00:00", "h", "shop", "dev", "i", "1.11", "1.11", "0.1", parsed="p"
)


@dataclass
class Worker:
    """What the worker did, and what dbt makes of the nodes there."""

    did: list[tuple[str, ...]] = field(default_factory=list)
    fails: set[str] = field(default_factory=set)  #: in real dbt
    never: set[str] = field(default_factory=set)  #: planned
    refusal: PlanError | None = None
    fail_fast: bool = False
    failed_task: str | None = None  #: what Airflow says of the run's other tasks

    def run_node(self, dbt: Any, unique_id: str, **kwargs: Any) -> Outcome:
        """Stand for real dbt."""
        assert kwargs["parsed"] == b"parsed"
        self.did.append(("dbt", unique_id, kwargs["reason"]))
        status = Status.ERROR if unique_id in self.fails else Status.SUCCESS
        at = "2026-01-01T00:00:00+00:00"
        return Outcome(
            unique_id,
            status,
            "Syntax error" if unique_id in self.fails else None,
            Level.DBT,
            at,
            at,
            1,
            reason=kwargs["reason"],
            jobs=(JobRecord("main", f"job of {unique_id}", "p", "EU", main=True),),
            compiled_code=f"select '{unique_id}'",
        )

    def run_freshness(self, dbt: Any, unique_id: str, **kwargs: Any) -> Outcome:
        """Stand for real dbt, too, by its other command."""
        outcome = self.run_node(dbt, unique_id, **kwargs)
        self.did[-1] = ("freshness", *self.did[-1][1:])
        return outcome

    def plan_late(self, dbt: Any, reasons: dict[str, str], **kwargs: Any) -> LatePlans:
        """Stand for a recorded dbt."""
        assert kwargs["parsed"] == b"parsed"
        if self.refusal is not None:
            raise self.refusal
        self.did.append(("plan", *reasons))
        plans = {
            unique_id: NodePlan(
                unique_id,
                unique_id.split(".")[2],
                "model",
                Level.DBT if unique_id in self.never else Level.GUARDED,
                "It reads what it writes." if unique_id in self.never else reason,
            )
            for unique_id, reason in reasons.items()
        }
        return LatePlans(plans, {"upload": Path("/nowhere")})


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker without dbt, Airflow's database or a store."""
    made = Worker()

    @contextmanager
    def open_dbt(*args: Any, **kwargs: Any) -> Iterator[None]:
        yield None

    class Plan:
        def __init__(self, operator: Any, context: Any, *, address: Any = None) -> None:
            pass

        def index(self) -> Any:
            run = replace(RUN, fail_fast=made.fail_fast)
            return SimpleNamespace(run=run, nodes=defaultdict(lambda: SimpleNamespace(resource_type="model")))

        def failed_task(self, key: Any) -> str | None:
            return made.failed_task

        def leave_failure(self, key: Any) -> None:
            made.did.append(("failure", key.task_id))

        def parsed(self, run: RunInfo) -> bytes:
            return b"parsed"

        def write_outcomes(self, outcomes: list[Outcome]) -> None:
            made.did.extend(("outcome", each.unique_id) for each in outcomes)

        def write_late(self, key: Any, position: int, plans: Any, uploads: Any) -> dict[str, str]:
            written = [plan.unique_id for plan in plans]
            made.did.append(("store", str(position), *written))
            return {unique_id: f"digest of {unique_id}" for unique_id in written}

    monkeypatch.setattr("cosmos_async.dbt.session.open_dbt", open_dbt)
    monkeypatch.setattr("cosmos_async.dbt.run_node.run_node", made.run_node)
    monkeypatch.setattr("cosmos_async.dbt.planner.freshness.run_freshness", made.run_freshness)
    monkeypatch.setattr("cosmos_async.dbt.planner.late.plan_late", made.plan_late)
    monkeypatch.setattr("cosmos_async.operators.worker.RunPlan", Plan)
    return made


def event(*nodes: tuple[str, str], rest: int = 0, position: int = 0, message: str = "") -> dict[str, Any]:
    """What the trigger tells."""
    return {
        "status": "late" if rest or any(way == "late" for _, way in nodes) else "dbt",
        "message": message,
        "dbt": [
            {"unique_id": unique_id, "name": "n", "level": "L", "reason": "It reads rows.", "way": way}
            for unique_id, way in nodes
        ],
        "position": position,
        "rest": rest,
        "results": {},
    }


def resume(told: dict[str, Any], *, dbt: bool = True, xcoms: dict[str, Any] | None = None) -> Any:
    """Resume a task with *told*; return what its next trigger is to resume, None where it has ended."""
    invocation = DbtInvocation(
        project_config=ProjectConfig(Path(__file__).parent),
        profile_config=ProfileConfig("shop", "dev", profiles_yml_filepath=Path(__file__)),
        execution_config=ExecutionConfig(),
    )
    with DAG("d", schedule=None):
        task = DbtNodeAsyncOperator(
            task_id="t",
            unique_id=ORDERS,
            setup_task_id="dbt_setup_async",
            identity={"conn_id": "gcp"},
            dbt=invocation if dbt else None,
        )
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)
    ti.xcom_push = lambda *, key, value: (xcoms if xcoms is not None else {}).update({key: value})
    again = None
    try:
        task.execute_complete({"ti": ti}, told)
    except TaskDeferred as deferred:
        again = deferred
    if again is None:
        return None
    arguments = again.trigger.serialize()[1]
    assert again.method_name == "execute_complete"
    assert arguments["unique_id"] == ORDERS
    return arguments["resume"]


def test_a_late_node_is_planned_and_goes_back(worker: Worker) -> None:
    """Nobody waits for BigQuery here; the trigger gets the new plan's digest and nothing else."""
    again = resume(event((ORDERS, "late")))

    assert again == {"position": 0, "plans": {ORDERS: f"digest of {ORDERS}"}}
    assert worker.did == [("plan", ORDERS), ("store", "0", ORDERS)]


def test_several_late_nodes_cost_one_dbt(worker: Worker) -> None:
    """Such as the tests of a model; those that need real dbt are run beside."""
    told = event(("test.shop.a", "late"), ("test.shop.b", "dbt"), ("test.shop.c", "late"), position=2)

    again = resume(told)

    assert again["position"] == 2
    assert set(again["plans"]) == {"test.shop.a", "test.shop.c"}
    assert worker.did == [
        ("dbt", "test.shop.b", "It reads rows."),
        ("outcome", "test.shop.b"),
        ("plan", "test.shop.a", "test.shop.c"),
        ("store", "2", "test.shop.a", "test.shop.c"),
    ]


def test_a_stale_source_fails_its_task(worker: Worker) -> None:
    """It is measured, not built."""
    source = "source.shop.till.orders"
    worker.fails = {source}

    with pytest.raises(AirflowException, match=rf"{source}: "):
        resume(event((source, "dbt")))

    assert worker.did == [("freshness", source, "It reads rows."), ("outcome", source)]


def test_what_cannot_be_planned_now_either_is_run_by_real_dbt(worker: Worker) -> None:
    """Here and now: the task ends on this worker."""
    worker.never = {ORDERS}

    assert resume(event((ORDERS, "late"))) is None
    reason = "It reads rows. It cannot be planned now either: It reads what it writes."
    assert worker.did == [("plan", ORDERS), ("dbt", ORDERS, reason), ("outcome", ORDERS)]


def test_a_run_that_cannot_be_planned_now_is_real_dbts(worker: Worker) -> None:
    """Whatever it is that is beyond us: dbt knows what to do."""
    worker.refusal = PlanError(
        "Before its first node this run does something that cannot be planned: it is new."
    )

    assert resume(event((ORDERS, "late"))) is None
    assert worker.did[-1] == ("outcome", ORDERS)
    assert "it is new" in worker.did[-2][2]


def begun(*, at: int = 3) -> dict[str, Any]:
    """What the trigger tells of a node whose guard differed behind a write."""
    told = event((ORDERS, "late"))
    told["dbt"][0]["done"] = at
    return told


def test_a_node_that_is_written_in_part_goes_back_with_how_far_it_came(worker: Worker) -> None:
    """The trigger goes on from there."""
    again = resume(begun(at=3))

    assert again == {"position": 0, "plans": {ORDERS: f"digest of {ORDERS}"}, "done": {ORDERS: 3}}


@pytest.mark.parametrize("refused", [True, False])
def test_real_dbt_does_not_begin_a_node_that_is_written_in_part(worker: Worker, refused: bool) -> None:
    """It would write that part a second time; the node fails, with the reason and the way out."""
    worker.never = {ORDERS}
    worker.refusal = PlanError("It is new.") if refused else None

    with pytest.raises(
        AirflowException, match=r"written in part.*clear the setup task together with this one"
    ):
        resume(begun())

    assert [done[0] for done in worker.did if done[0] != "plan"] == ["outcome"]


def test_what_follows_real_dbt_goes_back_to_the_triggerer(worker: Worker) -> None:
    """The tests behind a Python model need no worker."""
    assert resume(event((ORDERS, "dbt"), rest=1)) == {"position": 0, "plans": {}}


def test_nothing_follows_a_failure(worker: Worker) -> None:
    """As in dbt build: the rest is skipped, and the task fails with dbt's message."""
    worker.fails = {ORDERS}

    with pytest.raises(AirflowException, match=f"{ORDERS}: Syntax error"):
        resume(event((ORDERS, "dbt"), rest=1))


def test_a_failure_before_is_not_forgotten(worker: Worker) -> None:
    """Other tests of the task had failed in the triggerer; real dbt's success does not turn it green."""
    with pytest.raises(AirflowException, match="Got 1 result"):
        resume(event(("test.shop.b", "dbt"), message="test.shop.a: Got 1 result"))


def test_a_failure_beside_late_nodes_waits_for_them(worker: Worker) -> None:
    """They are executed all the same; the trigger finds the failed outcome and fails the task."""
    worker.fails = {"test.shop.b"}

    again = resume(event(("test.shop.a", "late"), ("test.shop.b", "dbt")))

    assert set(again["plans"]) == {"test.shop.a"}


def test_a_task_that_knows_no_dbt_says_what_to_give_it(worker: Worker) -> None:
    """A task written by hand with the id of its setup task alone."""
    with pytest.raises(ConfigError, match="give it setup=<the SetupAsyncOperator>"):
        resume(event((ORDERS, "late")), dbt=False)


def test_real_dbt_is_not_started_after_another_task_has_failed(worker: Worker) -> None:
    """With --fail-fast; the trigger has looked before, but a worker comes later."""
    worker.fail_fast, worker.failed_task = True, "shop.bad.run"

    with pytest.raises(
        AirflowSkipException, match=r"shop\.bad\.run has failed\. Skipped: model\.shop\.orders"
    ):
        resume(event((ORDERS, "dbt")))

    assert worker.did == []


def test_a_failure_on_a_worker_stops_the_other_tasks(worker: Worker) -> None:
    """Told before Airflow knows that the task has failed."""
    worker.fail_fast, worker.fails = True, {ORDERS}

    with pytest.raises(AirflowException, match="Syntax error"):
        resume(event((ORDERS, "dbt")))

    assert worker.did[-1] == ("failure", "t")


def test_a_task_that_was_stopped_is_skipped(worker: Worker) -> None:
    """The trigger has done everything but that."""
    with pytest.raises(AirflowSkipException, match="Stopped by --fail-fast"):
        resume({"status": "skipped", "message": "Stopped by --fail-fast, as shop.bad.run has failed."})


def test_the_ui_shows_what_real_dbt_has_done(worker: Worker) -> None:
    """The job's link and the compiled SQL are those of the node that failed, as where the triggerer executes it."""
    worker.fails.add("test.shop.b")
    left: dict[str, Any] = {}

    with pytest.raises(AirflowException):
        resume(event(("test.shop.a", "dbt"), ("test.shop.b", "dbt")), xcoms=left)

    assert "job of test.shop.b" in left["_link_BigQueryJobLink"]
    assert left["compiled_sql"].startswith(
        "-- test.shop.b, level D (real dbt): It reads rows.\nselect 'test.shop.b'"
    )
    assert set(left) == {"_link_BigQueryJobLink", "compiled_sql"}
