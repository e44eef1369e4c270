"""What a worker does for a task that the trigger sent there, and whether the task then goes back."""

from __future__ import annotations

import asyncio
import hashlib
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
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import Level, NodePlan, RunInfo, dump_node
from cosmos_async.plan.outcome import JobRecord, Outcome, Status
from cosmos_async.plan.store import PlanAddress
from cosmos_async.plan.waves import Claim, Pin, Request, pin_object
from cosmos_async.triggers.storage.documents import leave_pin
from cosmos_async.triggers.storage.folders import LocalFolder

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:
    from airflow.exceptions import TaskDeferred

ORDERS = "model.shop.orders"
INDEX = "0123456789abcdef0123456789abcdef"
CLAIM = Claim(3, "")
LINES = Request("shop.lines.run", -1, 1, 0, ("model.shop.lines",))
TESTS = Request("shop.lines.test", -1, 2, 1, ("test.shop.a", "test.shop.b"))
RUN = RunInfo(
    "d", "r", "2026-01-01T00:00:00+00:00", "h", "shop", "dev", "i", "1.11", "1.11", "0.1", parsed="p"
)


class Nodes(defaultdict[str, Any]):
    """Every node is in the index."""

    def get(self, unique_id: str, default: Any = None) -> Any:
        return self[unique_id]


@dataclass
class Worker:
    """What the worker did, and what dbt makes of the nodes there."""

    did: list[tuple[str, ...]] = field(default_factory=list)
    fails: set[str] = field(default_factory=set)  #: in real dbt
    never: set[str] = field(default_factory=set)  #: planned
    refusal: PlanError | None = None
    refuses_others: bool = False  #: to plan nodes of several tasks at once, but not those of one
    fail_fast: bool = False
    failed_task: str | None = None  #: what Airflow says of the run's other tasks
    folder: LocalFolder = field(default_factory=lambda: LocalFolder("/nowhere"))  #: the run's
    meanwhile: list[Request] = field(default_factory=list)  #: what is asked for while dbt plans

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
        if self.refusal is not None and (not self.refuses_others or kwargs.get("apart")):
            raise self.refusal
        self.did.append(("plan", *reasons))
        while self.meanwhile:
            self.ask(self.meanwhile.pop())
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

    def ask(self, request: Request) -> None:
        """Let another task ask for a plan."""
        asyncio.run(self.folder.write(request.name(INDEX), request.dump()))

    def names(self, prefix: str = "waves/") -> list[str]:
        """Return what is in the run's folder."""
        return asyncio.run(self.folder.names(prefix))

    def pin(self, request: Request) -> Pin | None:
        """Return what is pinned for a request."""
        key = TaskKey("d", "r", request.task_id, request.map_index, request.try_number)
        name = pin_object(key, INDEX, request.position)
        return Pin.load(asyncio.run(self.folder.read(name))) if name in self.names("late/") else None


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Worker:
    """A worker without dbt or Airflow's database; its store is a folder."""
    made = Worker(folder=LocalFolder(str(tmp_path / "run")))

    @contextmanager
    def open_dbt(*args: Any, **kwargs: Any) -> Iterator[None]:
        yield None

    class Plan:
        def __init__(self, operator: Any, context: Any, *, address: Any = None) -> None:
            self.address = PlanAddress(made.folder.path, INDEX, "")

        def index(self) -> Any:
            run = replace(RUN, fail_fast=made.fail_fast)
            entry = SimpleNamespace(resource_type="model", level=Level.LATE, reason="It reads rows.")
            return SimpleNamespace(run=run, nodes=Nodes(lambda: entry))

        def failed_task(self, key: Any) -> str | None:
            return made.failed_task

        def leave_failure(self, key: Any) -> None:
            made.did.append(("failure", key.task_id))

        def parsed(self, run: RunInfo) -> bytes:
            return b"parsed"

        def in_folder(self, work: Any) -> Any:
            return asyncio.run(work(made.folder))

        def write_outcomes(self, outcomes: list[Outcome]) -> None:
            made.did.extend(("outcome", each.unique_id) for each in outcomes)

        def write_late(self, plans: Any, uploads: Any, pins: dict[str, Pin]) -> dict[str, Pin]:
            made.did.append(("store", *(plan.unique_id for plan in plans)))
            return {name: asyncio.run(leave_pin(made.folder, name, pin)) for name, pin in pins.items()}

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


def digest_of(unique_id: str) -> str:
    """The digest of the plan that dbt makes of a node here."""
    plan = NodePlan(unique_id, unique_id.split(".")[2], "model", Level.GUARDED, "It reads rows.")
    return hashlib.sha256(dump_node(plan)).hexdigest()


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

    assert again == {"position": 0, "plans": {ORDERS: digest_of(ORDERS)}}
    assert worker.did == [("plan", ORDERS), ("store", ORDERS)]


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
        ("store", "test.shop.a", "test.shop.c"),
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

    assert again == {"position": 0, "plans": {ORDERS: digest_of(ORDERS)}, "done": {ORDERS: 3}}


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


def claimed(*nodes: tuple[str, str]) -> dict[str, Any]:
    """What the trigger tells that has the claim."""
    return {**event(*(nodes or ((ORDERS, "late"),))), "claim": CLAIM.name(INDEX)}


def test_what_other_tasks_wait_for_is_planned_along(worker: Worker) -> None:
    """In one dbt; each finds its plans pinned, and then its request gone and the claim ended."""
    worker.ask(LINES)
    worker.ask(TESTS)

    again = resume(claimed())

    assert again == {"position": 0, "plans": {ORDERS: digest_of(ORDERS)}}
    assert [did for did in worker.did if did[0] == "plan"] == [
        ("plan", *sorted(LINES.unique_ids + TESTS.unique_ids), ORDERS)
    ]
    assert worker.pin(LINES) == Pin({"model.shop.lines": digest_of("model.shop.lines")}, "t", 4)
    assert worker.pin(TESTS) == Pin({name: digest_of(name) for name in TESTS.unique_ids}, "t", 4)
    assert worker.names() == [CLAIM.ended("done").name(INDEX)]


def test_what_is_asked_for_meanwhile_is_planned_too(worker: Worker) -> None:
    """Once more, and no more: this task's own nodes wait for it."""
    worker.meanwhile = [LINES]

    resume(claimed())

    assert [did for did in worker.did if did[0] == "plan"] == [("plan", ORDERS), ("plan", "model.shop.lines")]
    assert worker.pin(LINES) is not None
    assert worker.names() == [CLAIM.ended("done").name(INDEX)]


def test_without_a_claim_a_task_plans_for_itself(worker: Worker) -> None:
    """Another one does for the others, or each for itself."""
    worker.ask(LINES)

    resume(event((ORDERS, "late")))

    assert [did for did in worker.did if did[0] == "plan"] == [("plan", ORDERS)]
    assert worker.names() == [LINES.name(INDEX)]


def test_another_tasks_node_that_cannot_be_planned_is_left_to_its_own_worker(worker: Worker) -> None:
    """The whole task's: it has no pin, and its request is gone."""
    worker.never = {"test.shop.b"}
    worker.ask(LINES)
    worker.ask(TESTS)

    resume(claimed())

    assert worker.pin(TESTS) is None
    assert worker.pin(LINES) is not None
    assert [did[0] for did in worker.did] == ["plan", "store", "store"], "nothing is run for another task"
    assert worker.names() == [CLAIM.ended("done").name(INDEX)]


def test_what_cannot_be_planned_together_is_planned_alone(worker: Worker) -> None:
    """A node that is gone from the project ends the whole dbt, for one."""
    worker.refusal, worker.refuses_others = PlanError("It is not in this project."), True
    worker.ask(LINES)

    again = resume(claimed())

    assert set(again["plans"]) == {ORDERS}
    assert worker.pin(LINES) is None
    assert worker.names() == [CLAIM.ended("done").name(INDEX)]


def test_own_real_dbt_comes_after_the_plans_of_the_others(worker: Worker) -> None:
    """Nobody waits for it."""
    worker.never = {ORDERS}
    worker.ask(LINES)

    assert resume(claimed()) is None
    assert [did[0] for did in worker.did] == ["plan", "store", "dbt", "outcome"]
    assert worker.pin(LINES) is not None


def test_a_planner_that_fails_says_so(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait go on by themselves, whatever it failed of."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("cosmos_async.dbt.session.open_dbt", fail)
    worker.ask(LINES)

    with pytest.raises(RuntimeError, match="out of memory"):
        resume(claimed())

    assert worker.names() == [LINES.name(INDEX), CLAIM.ended("failed").name(INDEX)]


def test_a_planner_that_is_stopped_says_so(worker: Worker) -> None:
    """By --fail-fast, before it has begun."""
    worker.fail_fast, worker.failed_task = True, "shop.bad.run"

    with pytest.raises(AirflowSkipException):
        resume(claimed())

    assert worker.names() == [CLAIM.ended("failed").name(INDEX)]


def test_a_plan_that_is_pinned_is_the_nodes_plan(worker: Worker) -> None:
    """Another worker has made it in this try, and it may be under way: no dbt is started."""
    mine = Request("t", -1, 1, 0, (ORDERS,))
    name = pin_object(TaskKey("d", "r", "t", -1, 1), INDEX, 0)
    asyncio.run(worker.folder.write(name, Pin({ORDERS: "theirs"}).dump()))

    assert resume(event((ORDERS, "late"))) == {"position": 0, "plans": {ORDERS: "theirs"}}
    assert worker.did == []
    assert worker.pin(mine) == Pin({ORDERS: "theirs"})


def test_of_two_workers_that_plan_at_once_the_first_ones_plan_counts(worker: Worker) -> None:
    """It was pinned while this one planned."""
    name = pin_object(TaskKey("d", "r", "t", -1, 1), INDEX, 0)
    worker.ask = lambda _: asyncio.run(worker.folder.write(name, Pin({ORDERS: "theirs"}).dump()))  # type: ignore[method-assign]
    worker.meanwhile = [LINES]

    assert resume(event((ORDERS, "late"))) == {"position": 0, "plans": {ORDERS: "theirs"}}


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
