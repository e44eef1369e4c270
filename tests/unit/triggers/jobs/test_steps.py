"""What to do next for a node, and which nodes a task has: decisions without effects."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_async.exceptions import PlanNotFound
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import CallOperation, Guard, GuardKind, Index, IndexEntry, Level, RunInfo, Step
from cosmos_async.triggers.execution.task_nodes import nodes_of
from cosmos_async.triggers.jobs.steps import (
    Check,
    Finish,
    Send,
    Submit,
    as_job,
    id_of,
    id_of_shared,
    is_ordered,
    next_action,
    own_job_after,
)
from tests.unit.triggers.bench import job, model, target_state

KEY = TaskKey("dag", "run", "task", -1, 1)
CALL = CallOperation("drop", "DELETE", "projects/p/datasets/d/tables/t")
SHARED = job("create schema d", shared="create_schema:p.d", main=False)
ROWS = Guard(GuardKind.ROWS, "q", {"project": "p", "configuration": {"query": {"query": "select 1"}}}, [])

steps = st.lists(st.sampled_from([job("select 1"), SHARED, CALL, target_state("t"), ROWS]), max_size=8)


@given(steps)
def test_every_step_is_done_once_and_in_its_order(plan: list[Step]) -> None:
    """Guards that stand together are read together; nothing is left out."""
    position, seen = 0, []
    while True:
        action = next_action(plan, position)
        if isinstance(action, Finish):
            break
        assert action.position == position
        if isinstance(action, Check):
            seen += list(action.guards)
            position += len(action.guards)
        else:
            assert isinstance(action, (Submit, Send))
            seen.append(action.operation)
            position += 1

    assert seen == plan


@given(steps, st.integers(0, 8))
def test_only_jobs_of_this_task_prove_an_earlier_life(plan: list[Step], position: int) -> None:
    """A shared job may be somebody else's, and a call leaves no trace under our name."""
    later = own_job_after(plan, position)

    between = plan[position + 1 : later]
    assert not any(step is ROWS or step == job("select 1") for step in between)
    if later is not None:
        assert plan[later] is ROWS or plan[later] == job("select 1")


def test_ids_are_distinct_for_everything_that_is_distinct() -> None:
    """Node, position, try, and for shared ones the run's plan and the attempt."""
    one, other = model("one"), model("other")
    ids = [
        id_of(KEY, one, 0),
        id_of(KEY, one, 1),
        id_of(KEY, other, 0),
        id_of(KEY.with_try(2), one, 0),
        id_of_shared("index1", "create_schema:p.d", 1),
        id_of_shared("index1", "create_schema:p.d", 2),
        id_of_shared("index2", "create_schema:p.d", 1),
        id_of_shared("index1", "create_schema:p.e", 1),
    ]

    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,1024}", found) for found in ids)


def test_a_guards_query_is_a_job_as_any_other() -> None:
    """So a restarted task reads the rows that it has already paid for."""
    assert as_job(ROWS).configuration == {"query": {"query": "select 1"}}
    with pytest.raises(TypeError):
        as_job(CALL)


@pytest.mark.parametrize(
    ("request_", "ordered"),
    [
        ({"configuration": {"query": {"query": "select a from t ORDER  BY 1"}}}, True),
        ({"configuration": {"query": {"query": "select a from t"}}}, False),
        ({"configuration": {"query": {"query": "select a order by 1"}}, "ordered": False}, False),
    ],
)
def test_the_plan_says_whether_the_order_of_rows_matters(request_: dict, ordered: bool) -> None:
    """And where it does not, the query does."""
    assert is_ordered(Guard(GuardKind.ROWS, "q", request_, [])) is ordered


# -- the nodes of a task ----------------------------------------------------------------------------------------------


def index(**owners: str | None) -> Index:
    """Return an index of one model and tests (named t_ or u_) with their owners."""
    kinds = {"m": "model", "t": "test", "u": "unit_test"}
    entries = {
        name: IndexEntry(name, kinds[name[0]], Level.STATIC, "", "0", owner) for name, owner in owners.items()
    }
    return Index(RunInfo("d", "r", "", "", "shop", "prod", "", "", "", ""), entries)


def test_a_build_runs_unit_tests_then_the_model_then_its_tests() -> None:
    """As ``dbt build`` does; other models' tests are not its business."""
    found = nodes_of(index(m=None, t1="m", u1="m", t2="m", t3="other"), "build", "m")

    assert found == [["u1"], ["m"], ["t1", "t2"]]


def test_a_model_without_its_data_tests_still_comes_after_its_unit_tests() -> None:
    """In ``dbt build`` a model whose unit test fails is skipped, so its own task has to know first."""
    found = index(m=None, t1="m", u1="m", u2="m")

    assert nodes_of(found, "node", "m") == [["u1", "u2"], ["m"]]
    assert nodes_of(found, "unit_tests", "m") == [["u1", "u2"]]
    assert nodes_of(found, "tests", "m") == [["t1"]]


def test_an_ephemeral_model_has_no_plan_and_yet_tests() -> None:
    """Nothing is built between its unit tests and its data tests."""
    found = index(t1="model.shop.e", u1="model.shop.e")

    assert nodes_of(found, "node", "model.shop.e") == [["u1"]]
    assert nodes_of(found, "build", "model.shop.e") == [["u1"], ["t1"]]


def test_the_tests_of_a_node_are_those_it_owns() -> None:
    """The owner is decided once, when the run is planned; it may be a source, or the test itself."""
    found = index(m=None, t1="m", t2="x", t3="source.raw.a", t4="t4")

    assert nodes_of(found, "tests", "m") == [["t1"]]
    assert nodes_of(found, "tests", "nobody") == [[]]
    assert nodes_of(found, "tests", "source.raw.a") == [["t3"]]
    assert nodes_of(found, "tests", "t4") == [["t4"]]
    assert nodes_of(found, "all_tests", None) == [["t1", "t2", "t3", "t4"]]


def test_tests_without_an_owner_are_executed_together() -> None:
    """Those that stand on nothing that is selected."""
    assert nodes_of(index(m=None, t1="m", t2=None, t3=None), "others", None) == [["t2", "t3"]]


@pytest.mark.parametrize("work", ["node", "build"])
def test_a_node_without_a_plan_is_an_error(work: str) -> None:
    """Silence would be taken for success."""
    with pytest.raises(PlanNotFound, match=r"no plan for model\.shop\.gone in run r"):
        nodes_of(index(m=None), work, "model.shop.gone")
