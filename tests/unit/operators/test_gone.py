"""What a worker does for a task whose run's plan is gone: plan it alone, from what the results task has kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.airflow.compat import DAG
from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.planner.late import LatePlans
from cosmos_async.exceptions import PlanGone, PlanNotFound
from cosmos_async.operators.node import DbtNodeAsyncOperator
from cosmos_async.operators.run_plan import INDEX_FILE, RunPlan
from cosmos_async.plan.model import Index, IndexEntry, Level, NodePlan, RunInfo, dump_index, load_index
from cosmos_async.plan.outcome import Outcome, Status, load_outcome
from cosmos_async.plan.store import PlanAddress, life_of, outcome_object
from cosmos_async.triggers.storage.documents import delete_folder, read_index_bytes, read_object, upload_plan

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:
    from airflow.exceptions import TaskDeferred

ORDERS, UNIT, TEST = "model.shop.orders", "unit_test.shop.orders.u", "test.shop.orders_unique"
SOURCE, PYTHON = "source.shop.till.orders", "model.shop.forecast"
SETUP = "dbt_setup_async"
RUN = RunInfo(
    "d", "r", "2026-01-01T00:00:00+00:00", "h", "shop", "dev", "i", "1.11", "1.11", "0.1", parsed="p" * 64
)
BEGAN = datetime(2026, 1, 1, tzinfo=timezone.utc)  # the DAG run's first task


def entry(resource_type: str, level: Level = Level.STATIC, owner: str | None = None) -> IndexEntry:
    """What the index says of a node."""
    return IndexEntry("n", resource_type, level, "", "0" * 64, owner)


INDEX = Index(
    RUN,
    {
        ORDERS: entry("model"),
        UNIT: entry("unit_test", owner=ORDERS),
        TEST: entry("test", owner=ORDERS),
        SOURCE: entry("source"),
        PYTHON: entry("model", Level.DBT),
        "model.shop.other": entry("model"),
    },
)


@dataclass
class Ended:
    """A run that has ended, on an Airflow of one machine."""

    address: PlanAddress
    xcom: dict[str, Any] | None
    did: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def context(self) -> dict[str, Any]:
        """A cleared task's."""
        ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=2)
        ti.xcom_pull = lambda task_ids, key, map_indexes: self.xcom if task_ids == SETUP else None
        return {"ti": ti, "dag_run": SimpleNamespace(start_date=BEGAN)}

    def plan(self) -> RunPlan:
        """Return the run's plan as a worker sees it."""
        return RunPlan(SimpleNamespace(setup_task_id=SETUP, identity={}), self.context)

    def clear(self, unique_id: str, work: str = "node") -> Any:
        """Let the cleared task come to a worker; return the trigger's next resume, None where the task has ended."""
        invocation = DbtInvocation(
            project_config=ProjectConfig(Path(__file__).parent),
            profile_config=ProfileConfig("shop", "dev", profiles_yml_filepath=Path(__file__)),
            execution_config=ExecutionConfig(),
        )
        with DAG("d", schedule=None):
            task = DbtNodeAsyncOperator(
                task_id="t",
                unique_id=unique_id,
                work=work,
                setup_task_id=SETUP,
                identity={},
                dbt=invocation,
            )
        told = {
            "status": "late",
            "message": "",
            "dbt": [],
            "position": 0,
            "rest": 0,
            "gone": "It is not there.",
        }
        try:
            task.execute_complete(self.context, told)
        except TaskDeferred as deferred:
            return deferred.trigger.serialize()[1]["resume"]
        return None


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Its teardown has deleted its plan, and its results are kept."""
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH", str(tmp_path))
    index = dump_index(INDEX)
    folder = str(tmp_path / "d" / SETUP / "r" / life_of(BEGAN))
    address = asyncio.run(upload_plan(folder, objects={}, index=index, identity={}))
    run = Ended(address, address.to_json())
    run.plan().keep_artifacts({INDEX_FILE: index, "compiled.json": b"{}"}, [], run=RUN)
    asyncio.run(delete_folder(address, identity={}))

    @contextmanager
    def open_dbt(*args: Any, **kwargs: Any) -> Iterator[None]:
        assert kwargs["packages"]
        yield None

    def plan_late(dbt: Any, reasons: dict[str, str], **kwargs: Any) -> LatePlans:
        assert kwargs["parsed"] is None
        assert kwargs["run"].invocation_id == RUN.invocation_id
        run.did.append(("plan", *reasons))
        plans = {each: NodePlan(each, "n", "model", Level.GUARDED, why) for each, why in reasons.items()}
        return LatePlans(plans, {})

    def in_dbt(dbt: Any, unique_id: str, **kwargs: Any) -> Outcome:
        run.did.append(("dbt", unique_id))
        at = "2026-01-01T00:00:00+00:00"
        return Outcome(unique_id, Status.SUCCESS, None, Level.DBT, at, at, kwargs["try_number"])

    monkeypatch.setattr("cosmos_async.dbt.session.open_dbt", open_dbt)
    monkeypatch.setattr("cosmos_async.dbt.planner.late.plan_late", plan_late)
    monkeypatch.setattr("cosmos_async.dbt.run_node.run_node", in_dbt)
    monkeypatch.setattr("cosmos_async.dbt.planner.freshness.run_freshness", in_dbt)
    return run


def test_a_node_is_planned_alone_and_goes_back(ended: Ended) -> None:
    """With a plan that knows this task's nodes only, of which the first ones are planned; those behind come later."""
    resume = ended.clear(ORDERS)

    assert ended.did == [("plan", UNIT)]
    assert (resume["position"], list(resume["plans"])) == (0, [UNIT])
    part = PlanAddress.from_json(resume["address"])
    assert part.folder == ended.address.folder
    assert part.index != ended.address.index
    index = load_index(asyncio.run(read_index_bytes(part, identity={})))
    assert {unique_id: each.level for unique_id, each in index.nodes.items()} == {
        ORDERS: Level.LATE,
        UNIT: Level.LATE,
    }
    assert index.run == replace(RUN, parsed=None)


def test_tests_are_planned_by_one_dbt(ended: Ended) -> None:
    """Those that the run's plan gave to the task."""
    assert list(ended.clear(ORDERS, "tests")["plans"]) == [TEST]
    assert ended.did == [("plan", TEST)]


@pytest.mark.parametrize(
    ("unique_id", "work"), [(PYTHON, "node"), (SOURCE, "freshness")], ids=["level D", "a source"]
)
def test_what_is_not_planned_is_run_by_real_dbt(ended: Ended, unique_id: str, work: str) -> None:
    """Here and now: the task ends on this worker, and its outcome is told."""
    assert ended.clear(unique_id, work) is None

    assert ended.did == [("dbt", unique_id)]
    written = asyncio.run(read_object(ended.address, outcome_object(unique_id), identity={}))
    assert load_outcome(written).try_number == 2


def test_tasks_that_are_cleared_together_have_plans_of_their_own(ended: Ended) -> None:
    """None waits for another, and none meets another's."""
    first, second = ended.clear(ORDERS), ended.clear("model.shop.other")

    assert first["address"]["index"] != second["address"]["index"]
    for resume in (first, second):
        assert asyncio.run(read_index_bytes(PlanAddress.from_json(resume["address"]), identity={}))


def test_the_address_may_be_gone_as_well(ended: Ended) -> None:
    """Airflow's XComs are deleted after a while; the folder is known without."""
    ended.xcom = None

    assert PlanAddress.from_json(ended.clear(ORDERS)["address"]).folder == ended.address.folder


def test_what_nobody_has_vouched_for_sends_no_credentials_anywhere(ended: Ended) -> None:
    """Without the setup task's word, who can write to the bucket could name the endpoint."""
    other = dump_index(replace(INDEX, run=replace(RUN, endpoint="http://elsewhere")))
    ended.plan().keep_artifacts({INDEX_FILE: other}, [], run=RUN)

    with pytest.raises(PlanNotFound, match="is not what the setup task wrote"):
        ended.clear(ORDERS)
    ended.xcom = None
    with pytest.raises(PlanNotFound, match="cannot be verified"):
        ended.clear(ORDERS)
    assert ended.did == []


def test_the_results_are_told_anew_from_what_is_kept(ended: Ended) -> None:
    """Cleared after the teardown, without the setup."""
    found = ended.plan().record()

    assert load_index(found.index) == load_index(dump_index(INDEX))
    assert (found.compiled, found.outcomes) == (b"{}", {})


def test_results_of_a_run_that_is_gone_say_which_task_to_clear(ended: Ended) -> None:
    """Not which of the many files is missing."""
    folder = Path(ended.plan()._artifacts.folder)
    for file in folder.iterdir():
        file.unlink()

    with pytest.raises(PlanNotFound, match="Clear the setup task together with this one"):
        ended.plan().record()


def test_a_run_whose_results_are_not_kept_has_to_be_planned_as_a_whole(ended: Ended) -> None:
    """By an earlier release, or in a DAG without a results task; the way out is named."""
    Path(ended.plan()._artifacts.folder, INDEX_FILE).unlink()

    with pytest.raises(PlanNotFound, match="Clear the setup task together with this one"):
        ended.clear(ORDERS)


def test_a_run_that_was_never_planned_says_which_task_to_clear(ended: Ended) -> None:
    """For the results task, say."""
    ended.xcom = None

    with pytest.raises(PlanGone, match=f"{SETUP} left no plan for run r"):
        ended.plan().index_bytes()


def test_the_compiled_code_is_found_where_it_is_kept(ended: Ended) -> None:
    """The results may be told anew after the teardown."""
    assert ended.plan().artifact("compiled.json") == b"{}"
