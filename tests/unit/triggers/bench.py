"""
What the tests of the trigger are made of: plans with sane defaults, a run's plan in a bucket, fakes of Airflow and time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.lineage import LINEAGE_FILE, Lineage, TaskEvent, dump_lineage
from cosmos_async.plan.model import (
    Guard,
    GuardKind,
    Hook,
    Index,
    IndexEntry,
    JobOperation,
    Level,
    NodePlan,
    RunInfo,
    Step,
    TestRule,
    dump_index,
    dump_node,
)
from cosmos_async.plan.node_plans import pack
from cosmos_async.plan.outcome import Outcome, load_outcome
from cosmos_async.plan.store import PlanAddress, artifact_object, graph_object
from cosmos_async.plan.task_graph import TaskGraph
from cosmos_async.testing import FakeGoogle
from cosmos_async.triggers.dbt import BigQueryDbtTrigger
from cosmos_async.triggers.event_loop.clock import Clock
from cosmos_async.triggers.execution.executor import execute
from cosmos_async.triggers.google.session import shared_session
from cosmos_async.triggers.jobs.context import End, Run
from cosmos_async.triggers.jobs.warehouse import warehouse_of
from cosmos_async.triggers.storage.documents import upload_plan
from cosmos_async.triggers.storage.folders import folder_of
from cosmos_async.triggers.task import TaskFacts

RUN = "shop/dag/run1"  #: all lives of the run
PLACE = f"{RUN}/life"  #: the run's folder within the bucket
FOLDER = f"gs://plans/{PLACE}"
NONCE = "0123456789abcdef"
SETUP = "shop.dbt_setup_async"
#: An execution_timeout that ends soon; a busy machine has begun the job by then.
SOON = 3.0  # seconds


class FakeClock(Clock):
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def jitter(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


@dataclass
class FakeAirflow:
    """What a trigger asks of Airflow."""

    xcoms: dict[tuple[str, str], Any] = field(default_factory=dict)
    left: dict[str, Any] = field(default_factory=dict)  #: the XComs the trigger left
    written: list[str] = field(default_factory=list)  #: their keys, as often as they were
    task_state: str | None = "deferred"
    states: dict[str, str] = field(default_factory=dict)  #: of tasks whose state is another one, by id
    setup_states: list[str | None] = field(
        default_factory=list
    )  #: the setup task's, one after the other; then success
    silent: bool = False  #: as while a triggerer shuts down
    counted: list[Any] = field(default_factory=list)  #: what was counted in Airflow's metrics

    async def count_start(self, facts: TaskFacts) -> None:
        self.counted.append(("start", facts.key.task_id))

    async def count_end(self, facts: TaskFacts, state: str, seconds: float) -> None:
        self.counted.append(("end", facts.key.task_id, state))

    async def xcom(self, key: TaskKey, name: str) -> Any:
        return self.xcoms.get((key.task_id, name))

    async def leave_xcoms(self, key: TaskKey, values: dict[str, Any]) -> None:
        self.left.update(values)
        self.written += values

    async def state(self, key: TaskKey) -> str | None:
        if self.silent:
            await asyncio.Event().wait()
        if key.task_id == SETUP:
            return self.setup_states.pop(0) if self.setup_states else "success"
        return self.states.get(key.task_id, self.task_state)

    async def task_states(self, key: TaskKey, task_ids: Sequence[str]) -> dict[str, str | None]:
        if self.silent:
            await asyncio.Event().wait()
        setup = self.setup_states[0] if self.setup_states else "success"
        return {one: setup if one == SETUP else self.states.get(one) for one in task_ids}


@dataclass
class FakeOpenLineage:
    """Airflow's OpenLineage provider; switched off, unless a test switches it on."""

    active: bool = False
    events: list[TaskEvent] = field(default_factory=list)  #: what was sent
    hangs: bool = False  #: as a transport whose server does not answer
    error: Exception | None = None  #: raised by the next event
    sources: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  #: of any query

    async def is_active(self) -> bool:
        return self.active

    async def send(self, event: TaskEvent) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        self.events.append(event)

    async def column_sources(self, sql: str) -> dict[str, list[tuple[str, str]]]:
        return self.sources

    @property
    def told(self) -> list[tuple[str, str]]:
        """The tasks and states of all events."""
        return [(event.task_id, event.state) for event in self.events]


@dataclass
class Log:
    """A task's log."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def info(self, message: str) -> None:
        self.lines.append(("info", message))

    def warning(self, message: str) -> None:
        self.lines.append(("warning", message))

    def error(self, message: str) -> None:
        self.lines.append(("error", message))

    @property
    def text(self) -> str:
        return "\n".join(message for _, message in self.lines)


def job(sql: str, **changes: Any) -> JobOperation:
    """Return a query operation; the main one unless told otherwise."""
    defaults: dict[str, Any] = {
        "purpose": "main",
        "project": "p",
        "location": "US",
        "configuration": {"query": {"query": sql, "useLegacySql": False}},
        "main": True,
    }
    return JobOperation(**{**defaults, **changes})


def target_state(table: str, expected: str = "absent") -> Guard:
    """Return the guard every node has."""
    request = {"project": "p", "dataset": "shop", "table": table}
    return Guard(GuardKind.TARGET_STATE, f"p.shop.{table}", request, expected)


def model(name: str, *steps: Step, **changes: Any) -> NodePlan:
    """Return a model's plan; a table model unless told otherwise."""
    sql = f"create or replace table `p`.`shop`.`{name}` as select 1 as id"
    defaults: dict[str, Any] = {
        "unique_id": f"model.shop.{name}",
        "name": name,
        "resource_type": "model",
        "level": Level.STATIC,
        "materialized": "table",
        "relation": f"p.shop.{name}",
        "file": f"models/{name}.sql",
        "compiled_code": "select 1 as id",
        "steps": steps or (target_state(name), job(sql)),
    }
    return NodePlan(**{**defaults, **changes})


def data_test(name: str, rule: TestRule | None = None, **changes: Any) -> NodePlan:
    """Return a test's plan."""
    sql = f"select count(*) as failures, count(*) != 0 as should_warn, count(*) != 0 as should_error /* {name} */"
    defaults: dict[str, Any] = {
        "unique_id": f"test.shop.{name}",
        "name": name,
        "resource_type": "test",
        "level": Level.STATIC,
        "file": f"tests/{name}.sql",
        "compiled_code": "select 1",
        "steps": (job(sql, purpose="test", rows=True),),
        "test": rule or TestRule(),
    }
    return NodePlan(**{**defaults, **changes})


TEST_SCHEMA = [
    {"name": "failures", "type": "INTEGER"},
    {"name": "should_warn", "type": "BOOLEAN"},
    {"name": "should_error", "type": "BOOLEAN"},
]


def test_row(failures: int) -> dict[str, Any]:
    """Return what the engine answers to a test's query with dbt's default thresholds."""
    bad = failures != 0
    return {"schema": TEST_SCHEMA, "rows": [[failures, bad, bad]], "statement_type": "SELECT"}


test_row.__test__ = False  # type: ignore[attr-defined]


@dataclass
class Bench:
    """A stand-in, a profile that leads to it, and a plan in its bucket."""

    google: FakeGoogle
    identity: dict[str, Any]
    airflow: FakeAirflow = field(default_factory=FakeAirflow)
    openlineage: FakeOpenLineage = field(default_factory=FakeOpenLineage)
    log: Log = field(default_factory=Log)
    address: PlanAddress | None = None

    async def plan(
        self,
        *nodes: NodePlan,
        owners: dict[str, str] | None = None,
        prelude: tuple[Step, ...] = (),
        hooks: tuple[Hook, ...] = (),
        folder: str = FOLDER,
        tasks: TaskGraph | None = None,
        lineage: Lineage | None = None,
        **run: Any,
    ) -> PlanAddress:
        """Write a plan of *nodes* as setup does; *run* is what else the index says of the run."""
        objects: dict[str, bytes] = {}
        if tasks is not None:
            run["ahead"] = True
            run["tasks"] = hashlib.sha256(tasks.dump()).hexdigest()
            objects[graph_object(run["tasks"])] = tasks.dump()
        if lineage is not None:
            objects[artifact_object(LINEAGE_FILE)] = dump_lineage(lineage)
        entries: dict[str, IndexEntry] = {}
        for node in nodes:
            owner = (owners or {}).get(node.unique_id)
            entries[node.unique_id] = IndexEntry(
                node.name, node.resource_type, node.level, node.reason, owner=owner, relation=node.relation
            )
        info = {
            "dag_id": "shop_dag",
            "run_id": "run1",
            "created_at": "2026-03-04T00:00:00+00:00",
            "host": "worker-1",
            "project_name": "shop",
            "target_name": "prod",
            "invocation_id": "i",
            "dbt_version": "1.11.16",
            "adapter_version": "1.12.1",
            "package_version": "0.1.0",
            "nonce": NONCE,
        }
        index, packed = pack(
            Index(RunInfo(**{**info, **run}), entries, prelude, hooks),
            {node.unique_id: dump_node(node) for node in nodes},
        )
        self.address = await upload_plan(
            folder, objects={**objects, **packed}, index=dump_index(index), identity=self.identity
        )
        self.airflow.xcoms[SETUP, "dbt_plan"] = self.address.to_json()
        self.google.requests.clear()
        return self.address

    def trigger(
        self,
        unique_id: str | None = "model.shop.orders",
        work: str = "node",
        *,
        try_number: int = 1,
        seconds: float | None = None,
        task_id: str = "shop.orders.run",
        **kwargs: Any,
    ) -> BigQueryDbtTrigger:
        """Return a trigger as Airflow would set it up; *seconds* is what is left of its execution_timeout."""
        trigger = BigQueryDbtTrigger(
            work=work, unique_id=unique_id, setup_task_id=SETUP, identity=self.identity, **kwargs
        )
        trigger.task_instance = SimpleNamespace(  # type: ignore[assignment]
            dag_id="shop_dag", run_id="run1", task_id=task_id, map_index=-1, try_number=try_number
        )
        if seconds is not None:
            trigger.timeout_after = datetime.now(timezone.utc) + timedelta(seconds=seconds)  # type: ignore[attr-defined]
        trigger.airflow = self.airflow  # type: ignore[assignment]
        trigger.openlineage = self.openlineage  # type: ignore[assignment]
        trigger._log = self.log
        return trigger

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run a trigger to its event."""
        return await event_of(self.trigger(*args, **kwargs))

    @property
    def private_key(self) -> str:
        """The key in the profile."""
        document = json.loads(Path(self.identity["profiles_yml"]).read_text(encoding="utf-8"))
        key: str = document["shop"]["outputs"]["prod"]["keyfile_json"]["private_key"]
        return key

    def outcome(self, unique_id: str = "model.shop.orders") -> Outcome:
        """Return the outcome that was left for a node."""
        return load_outcome(self.google.stored("plans")[f"{PLACE}/outcomes/{unique_id}.json"])


def profile(google: FakeGoogle, folder: Path) -> dict[str, Any]:
    """Return the identity of a target in a profiles.yml, whose key the stand-in knows."""
    output = {"type": "bigquery", "method": "service-account-json", "keyfile_json": google.key_file}
    path = folder / "profiles.yml"
    path.write_text(json.dumps({"shop": {"outputs": {"prod": output}}}), encoding="utf-8")
    return {"profiles_yml": str(path), "profile": "shop", "target": "prod"}


async def carry_out(plan: NodePlan, identity: dict[str, Any], folder: Path, **run: Any) -> End:
    """Carry a plan out as it is, without a store and without a trigger."""
    async with shared_session(identity, clock=FakeClock()) as session:
        shared: dict[str, Any] = {
            "key": TaskKey("shop_dag", "run1", "shop.orders.run", -1, 1),
            "index": "index",
            "warehouse": warehouse_of(session),
            "folder": folder_of(session, str(folder / "run"), written_by=socket.gethostname()),
            "log": Log(),
        }
        return await execute(plan, Run(**{**shared, **run}))


async def event_of(trigger: BigQueryDbtTrigger) -> Any:
    """Return the one event of a trigger."""
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    return events[0]


async def cancelled(task: asyncio.Task[Any], *messages: str) -> None:
    """Cancel *task* as Airflow does and wait for its end."""
    task.cancel(*messages)
    with contextlib.suppress(asyncio.CancelledError):
        await task
