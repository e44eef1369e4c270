"""
A build by us: setup, every node's trigger, the worker where a node asks for one, and the results task; no Airflow runs.

The operators, the trigger and the store are the product's. What is replaced is what Airflow would keep: XComs, the task
instance, and who comes next.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from cosmos_async.airflow.compat import DAG, AirflowException, AirflowSkipException
from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.session import Dbt
from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.operators.node import DbtNodeAsyncOperator
from cosmos_async.operators.results import ARTIFACTS_KEY, ResultsAsyncOperator
from cosmos_async.operators.run_plan import RunPlan
from cosmos_async.operators.setup import SetupAsyncOperator
from cosmos_async.plan.model import Index
from cosmos_async.plan.outcome import Outcome
from cosmos_async.plan.store import PlanAddress
from tests.fidelity.clock import shifted_datetime

if TYPE_CHECKING:
    from tests.fidelity.comparison import Build
    from tests.fidelity.driver import Options, Side

try:
    from airflow.sdk.exceptions import TaskDeferred  # type: ignore[attr-defined]
except ImportError:
    from airflow.exceptions import TaskDeferred

Json = dict[str, Any]

#: Kinds of nodes that have tasks in a DAG, or part in one; unit tests have part in their model's.
_WITH_TASKS = ("model", "seed", "snapshot", "function", "test")
SETUP = "dbt_setup_async"
RESULTS = "dbt_results_async"


@dataclass
class Instance:
    """A task instance, as much as our operators ask of it."""

    dag_id: str
    run_id: str
    task_id: str
    xcoms: dict[tuple[str, str], Any]
    try_number: int = 1
    map_index: int = -1
    earlier: dict[tuple[str, str], Any] = field(default_factory=dict)  #: XComs of the runs before

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep it for the other tasks."""
        self.xcoms[self.task_id, key] = json.loads(json.dumps(value))

    def xcom_pull(self, task_ids: str, key: str, *, include_prior_dates: bool = False, **_: Any) -> Any:
        """Return what another task has left, or what it has left in an earlier run."""
        own = self.xcoms.get((task_ids, key))
        return self.earlier.get((task_ids, key)) if own is None and include_prior_dates else own


@dataclass
class Memory:
    """What a trigger asks of Airflow, answered from memory."""

    xcoms: dict[tuple[str, str], Any]
    failed: set[str]  #: ids of tasks

    async def xcom(self, key: Any, name: str) -> Any:
        """Return what another task has left."""
        return self.xcoms.get((key.task_id, name))

    async def leave_xcoms(self, key: Any, values: Json) -> None:
        """Keep what the trigger leaves."""
        for name, value in values.items():
            self.xcoms[key.task_id, name] = value

    async def count_start(self, facts: Any) -> None:
        """Nobody counts here."""

    async def count_end(self, facts: Any, state: str, seconds: float) -> None:
        """Nobody counts here."""

    async def state(self, key: Any) -> str:
        """Nobody kills a task here."""
        return "failed" if key.task_id in self.failed else "deferred"


@dataclass
class Log:
    """A task's log."""

    lines: list[str] = field(default_factory=list)

    def add(self, message: object, *args: object) -> None:
        """Keep a line."""
        self.lines.append(str(message) % args if args else str(message))

    info = warning = error = debug = exception = add


@dataclass
class Known:
    """What setup's dbt tells beside the plan; a run that uses an earlier plan again has it of that run."""

    graph: dict[str, list[str]] = field(default_factory=dict)
    unit_tests: dict[str, str] = field(default_factory=dict)
    xcoms: dict[tuple[str, str], Any] = field(default_factory=dict)


class Setup(SetupAsyncOperator):
    """The setup task, which tells the order of the nodes and dbt's graph beside."""

    order: list[str]
    levels: dict[str, tuple[str, str]]
    lines: list[str]
    known: Known
    recorded: bool = False

    def _show(self, line: str) -> None:
        self.lines.append(line)

    def _record(self, context: Any, dbt: Dbt, *more: Any) -> Any:
        made = super()._record(context, dbt, *more)
        target = dbt.workspace.target_path
        linked = json.loads((target / "graph_summary.json").read_text())["with_test_edges"]
        names = {number: each["name"] for number, each in linked.items()}
        self.known.graph = {
            each["name"]: [names[str(child)] for child in each.get("succ", ())] for each in linked.values()
        }
        manifest = json.loads((target / "manifest.json").read_text())
        # dbt keeps a model's unit tests in a set: which of them comes first is chance, and the same for all forks of one dbt.
        recording = json.loads((target / "cosmos_async_recording" / "recording.json").read_text())
        position = {unique_id: at for at, unique_id in enumerate(recording["nodes"])}
        self.known.unit_tests = {
            unique_id: manifest["unit_tests"][unique_id]["depends_on"]["nodes"][0]
            for unique_id in sorted(manifest["unit_tests"], key=lambda test: position.get(test, -1))
        }
        self.recorded = True
        return made

    def _upload(self, folder: str, index: Index, objects: dict[str, bytes]) -> PlanAddress:
        self.order = list(index.nodes)
        self.levels = {unique_id: (node.level.value, node.reason) for unique_id, node in index.nodes.items()}
        return super()._upload(folder, index, objects)


def build(side: Side, options: Options) -> Build:
    """Build *side*'s project and return what was done."""
    from tests.fidelity.driver import finished_build

    run = Run(side, options)
    begun = datetime.now(timezone.utc)
    document, refusal = None, None
    manifest = None
    with run.environment():
        try:
            document = run.build()
            manifest = run.artifact("manifest.json")
        except CosmosAsyncError as error:
            refusal = str(error)
    return finished_build(
        side,
        options,
        begun=begun,
        requests=run.requests,
        document=document,
        manifest=manifest,
        output="\n".join(run.lines),
        refusal=refusal,
        levels=run.levels,
        complaints=tuple(run.complaints),
    )


class Run:
    """One DAG run, without a DAG."""

    def __init__(self, side: Side, options: Options) -> None:
        self.side = side
        self.options = options
        self.xcoms: dict[tuple[str, str], Any] = {}
        self.requests: dict[str | None, list[Json]] = {}
        self.levels: dict[str, tuple[str, str]] = {}
        self.lines: list[str] = []
        self.complaints: list[str] = []
        self.failed: set[str] = set()
        self.side.known = side.known or Known()
        self._seen = side.bench.warehouse.asked(since=1 << 60)[0]

    @contextlib.contextmanager
    def environment(self) -> Iterator[None]:
        """Set what an operator of Airflow would set."""
        folder, endpoint = self.side.bench.folder, self.side.bench.warehouse.endpoint
        settings = {
            "AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT": endpoint,
            "AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT": endpoint,
            "AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH": str(folder / "store"),
            "AIRFLOW__COSMOS_ASYNC__CACHE_DIR": str(folder / "cache"),
            "AIRFLOW__COSMOS_ASYNC__REUSE_PLANS": "True",
        }
        there = {**self.side.environment, **self.options.environment()}
        home = {key: value for key, value in os.environ.items() if key.startswith("AIRFLOW_")}
        triggerer = mock.patch("cosmos_async.operators.setup.require_triggerer")
        # One node per trigger, its unit tests by triggers of their own: so each write is known to be a node's.
        alone = mock.patch("cosmos_async.triggers.dbt.nodes_of", lambda index, work, unique_id: [[unique_id]])
        # Whatever is planned anew each time, the rest of the plan is used again.
        most = mock.patch("cosmos_async.dbt.planner.keep.MOST_EACH_RUN", 1.0)
        memory = Memory(self.xcoms, self.failed)
        airflow = mock.patch("cosmos_async.triggers.task.Airflow", return_value=memory)
        clock = mock.patch("cosmos_async.operators.plan_reuse.datetime", shifted_datetime(self.options.later))
        environment = mock.patch.dict(os.environ, {**there, **home, **settings}, clear=True)
        with environment, triggerer, alone, airflow, most, clock:
            yield

    def build(self) -> Json:
        """Plan, execute, write the results; return dbt's run_results.json."""
        with DAG("fidelity", schedule=None):
            setup = self._setup()
            results = ResultsAsyncOperator(task_id=RESULTS, setup=setup)
        setup.lines, setup.known = self.lines, self.side.known
        try:
            setup.execute(self._context(SETUP))
        finally:
            self._take(SETUP)
            wrote = [each for each in self.requests.pop(SETUP) if _changes(each)]
            if wrote:
                self.complaints.append(f"setup changed the warehouse: {wrote[0]['path']}")
        if self.options.again is not None and setup.recorded == self.options.again:
            self.complaints.append(f"the earlier plan was {'not ' if self.options.again else ''}used again")
        self.side.known.xcoms = self.xcoms
        self.levels = dict(setup.levels)
        asyncio.run(self._nodes(setup))
        try:
            results.execute(self._context(RESULTS))
        except (AirflowException, CosmosAsyncError) as error:
            self.lines.append(str(error))  # an on-run-end hook failed; the results tell
        finally:
            self._take(None)
        return self.artifact("run_results.json")

    def artifact(self, name: str) -> Json:
        """Return one of dbt's artifacts of the run."""
        folder = self.xcoms.get((RESULTS, ARTIFACTS_KEY))
        if folder is None:
            raise AssertionError("the results task left no artifacts:\n" + "\n".join(self.lines[-40:]))
        document: Json = json.loads((Path(folder) / name).read_text())
        return document

    def _setup(self) -> Setup:
        side, options = self.side, self.options
        return Setup(
            task_id=SETUP,
            project_config=ProjectConfig(side.project),
            profile_config=ProfileConfig(
                side.profile_name, "dev", profiles_yml_filepath=side.profiles / "profiles.yml"
            ),
            execution_config=ExecutionConfig(dbt_executable_path=side.bench.dbt),
            vars=dict(options.vars) or None,
            full_refresh=options.full_refresh,
            select=options.select,
            exclude=options.exclude,
            selector=options.selector,
            threads=options.threads,
            dbt_cmd_flags=list(options.flags) or None,
        )

    def _context(self, task_id: str) -> Json:
        earlier = self.side.known.xcoms
        return {"ti": Instance("fidelity", self._run_id, task_id, self.xcoms, earlier=earlier)}

    @property
    def _run_id(self) -> str:
        return f"{self.side.dataset}__{self.side.runs}"

    async def _nodes(self, setup: Setup) -> None:
        units: dict[str, list[str]] = {}
        for unique_id, model in setup.known.unit_tests.items():
            if unique_id in setup.levels:
                units.setdefault(model, []).append(unique_id)
        skipped: set[str] = set()
        tasks = [unique_id for unique_id in setup.order if unique_id.split(".")[0] in _WITH_TASKS]
        graph = setup.known.graph
        for node in in_order(graph, tasks):
            for unique_id in [*units.get(node, ()), *([node] if node in tasks else ())]:
                if unique_id in skipped or node in skipped:
                    continue
                outcome = await self._node(setup, unique_id)
                if outcome is None or outcome.status.failed:
                    skipped |= below(graph, node)
                    if unique_id != node:
                        skipped.add(node)

    async def _node(self, setup: Setup, unique_id: str) -> Outcome | None:
        """Execute one node as its task would, and return its outcome."""
        with DAG("fidelity", schedule=None):
            operator = DbtNodeAsyncOperator(
                task_id=unique_id.replace(" ", "_")[:240],
                unique_id=unique_id,
                setup=setup,
                work="node",
                completion="worker",
            )
        context = self._context(operator.task_id)
        trigger, method, log = operator._trigger(), "execute_complete", Log()
        try:
            while trigger is not None:
                event = await self._event(trigger, context["ti"], log)
                trigger, method = await asyncio.to_thread(_complete, operator, method, context, event, log)
        except AirflowSkipException as error:
            log.add(error)
        except (AirflowException, CosmosAsyncError) as error:
            self.failed.add(operator.task_id)
            log.add(error)
        self._take(unique_id)
        self.lines += log.lines
        plan = RunPlan(operator, context)
        outcome = (await asyncio.to_thread(lambda: plan.outcomes(plan.index().run))).get(unique_id)
        if outcome is None:
            self.complaints.append(f"{unique_id} ended without an outcome: " + " / ".join(log.lines[-5:]))
        else:
            self.levels[unique_id] = (outcome.level.value, outcome.reason or setup.levels[unique_id][1])
        return outcome

    async def _event(self, trigger: Any, instance: Instance, log: Log) -> Any:
        trigger.task_instance = SimpleNamespace(
            dag_id=instance.dag_id,
            run_id=instance.run_id,
            task_id=instance.task_id,
            map_index=instance.map_index,
            try_number=instance.try_number,
        )
        trigger.airflow = Memory(self.xcoms, self.failed)
        trigger._log = log
        events = [event async for event in trigger.run()]
        return events[-1].payload

    def _take(self, node: str | None) -> None:
        """Keep what the warehouse was asked since the last time, as *node*'s."""
        self._seen, asked = self.side.bench.warehouse.asked(self._seen)
        self.requests.setdefault(node, []).extend(asked)


def _complete(
    operator: DbtNodeAsyncOperator, method: str, context: Json, event: Any, log: Log
) -> tuple[Any, str]:
    """Resume the task on its worker; return the trigger it defers to once more, if it does."""
    try:
        getattr(operator, method)(context, event)
    except TaskDeferred as deferred:
        return deferred.trigger, deferred.method_name
    return None, method


def _changes(request: Json) -> bool:
    from tests.fidelity.writes import writes_of

    return any(not write.read for sent in writes_of([request]).values() for write in sent)


def in_order(graph: dict[str, list[str]], wish: Iterable[str]) -> list[str]:
    """Return all nodes of *graph*, parents first, and as far as that allows in the order of *wish*."""
    position = {node: at for at, node in enumerate(wish)}
    left = dict.fromkeys(graph, 0)
    for children in graph.values():
        for child in children:
            left[child] += 1

    def entry(node: str) -> tuple[int, str]:
        # What is not executed comes at once: it holds others up.
        return position.get(node, -1), node

    ready = [entry(node) for node, count in left.items() if not count]
    heapq.heapify(ready)
    ordered = []
    while ready:
        _, node = heapq.heappop(ready)
        ordered.append(node)
        for child in graph[node]:
            left[child] -= 1
            if not left[child]:
                heapq.heappush(ready, entry(child))
    return ordered


def below(graph: dict[str, list[str]], node: str) -> set[str]:
    """Return everything that depends on *node*."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        for child in graph.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found
