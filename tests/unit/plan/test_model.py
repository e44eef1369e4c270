"""A plan survives its way through the store, and what is not a plan is refused in words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_async.exceptions import PlanDamaged, PlanVersionMismatch
from cosmos_async.plan.model import (
    FORMAT,
    CallOperation,
    Guard,
    GuardKind,
    Index,
    IndexEntry,
    JobOperation,
    Level,
    NativeKind,
    NativeOperation,
    NodePlan,
    RunInfo,
    TestRule,
    dump_index,
    dump_node,
    load_index,
    load_node,
)
from cosmos_async.plan.outcome import JobRecord, Outcome, Status, dump_outcome, load_outcome

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(st.text(max_size=8), json_values, max_size=4)
words = st.text(max_size=20)
maybe = st.none() | words
guards = st.builds(Guard, st.sampled_from(GuardKind), words, documents, json_values, st.booleans())
jobs = st.builds(
    JobOperation, words, words, maybe, documents, st.booleans(), st.booleans(), maybe, maybe, maybe
)
calls = st.builds(CallOperation, words, words, words, st.none() | documents, st.booleans())
natives = st.builds(NativeOperation, st.sampled_from(NativeKind), documents, documents)
steps = st.lists(guards | jobs | calls | natives, max_size=4).map(tuple)
plans = st.builds(
    NodePlan,
    unique_id=words,
    name=words,
    resource_type=words,
    level=st.sampled_from(Level),
    reason=words,
    materialized=maybe,
    relation=maybe,
    fqn=st.lists(words, max_size=3).map(tuple),
    file=maybe,
    compiled_code=maybe,
    steps=steps,
    test=st.none() | st.builds(TestRule, words, words, words, st.booleans()),
    message=maybe,
)
run_info = RunInfo(
    "dag", "run", "2026-01-01T00:00:00+00:00", "host", "shop", "prod", "inv", "1.11", "1.12", "0.1.0"
)
entries = st.builds(
    IndexEntry,
    words,
    words,
    st.sampled_from(Level),
    words,
    words,
    maybe,
    st.lists(words, max_size=3).map(tuple),
)


@given(plan=plans)
def test_a_node_plan_survives_the_store(plan: NodePlan) -> None:
    """What the trigger reads is what setup wrote."""
    assert load_node(dump_node(plan)) == plan


@given(nodes=st.dictionaries(words, entries, max_size=4), prelude=steps)
def test_an_index_survives_the_store(nodes: dict[str, IndexEntry], prelude: tuple[Guard, ...]) -> None:
    """What the trigger reads is what setup wrote."""
    index = Index(run=run_info, nodes=nodes, prelude=prelude)

    assert load_index(dump_index(index)) == index


@given(plan=plans)
def test_equal_plans_are_equal_bytes(plan: NodePlan) -> None:
    """A digest speaks for a plan only if nothing else changes the bytes."""
    assert dump_node(load_node(dump_node(plan))) == dump_node(plan)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="truncated"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"format": %d}' % FORMAT, id="no plan inside"),
        pytest.param(b'{"steps": []}', id="no format"),
        pytest.param(b"\xff\xfe", id="not text"),
    ],
)
def test_what_is_not_a_plan_is_damaged(data: bytes) -> None:
    """A half-written or foreign object is named, with the way out."""
    for load in (load_node, load_index):
        with pytest.raises(PlanDamaged, match="Clear the setup task"):
            load(data)


def test_a_plan_of_another_format_names_both_versions() -> None:
    """During an upgrade the person learns which process to restart."""
    document = json.loads(dump_node(NodePlan("model.a.b", "b", "model", Level.STATIC)))
    document["format"] = 99

    with pytest.raises(PlanVersionMismatch, match=rf"format 99.*format {FORMAT}.*restart the triggerer"):
        load_node(json.dumps(document).encode())


def test_a_plan_from_before_native_operations_is_refused() -> None:
    """And so is a new one by an old reader: it would not know what to do with them."""
    document = json.loads(dump_node(NodePlan("model.a.b", "b", "model", Level.NATIVE)))
    document["format"] = 1

    with pytest.raises(PlanVersionMismatch, match="format 1"):
        load_node(json.dumps(document).encode())


def test_a_models_tests_are_those_it_owns() -> None:
    """The test task of a model executes its own data tests, in a stable order; unit tests come before the model."""
    entry = IndexEntry("n", "test", Level.STATIC, "", "digest", owner="model.a.b")
    other = IndexEntry("n", "test", Level.STATIC, "", "digest", owner="model.a.c")
    model = IndexEntry("b", "model", Level.STATIC, "", "digest")
    unit = IndexEntry("u", "unit_test", Level.STATIC, "", "digest", owner="model.a.b")
    nodes = {"test.z": entry, "test.y": other, "test.a": entry, "model.a.b": model, "unit_test.u": unit}
    index = Index(run=run_info, nodes=nodes)

    assert index.tests_of("model.a.b") == ["test.a", "test.z"]
    assert index.unit_tests_of("model.a.b") == ["unit_test.u"]
    assert index.all_tests() == ["test.a", "test.y", "test.z", "unit_test.u"]


def test_an_outcome_survives_the_store_and_adds_up_its_jobs() -> None:
    """Bytes and slots are those of all the node's jobs."""
    record = JobRecord("main", "j", "p", "EU", bytes_processed=10, slot_ms=5)
    outcome = Outcome(
        "model.a.b",
        Status.SUCCESS,
        "CREATE VIEW (0 processed)",
        Level.STATIC,
        started_at="2026-01-01T00:00:00+00:00",
        completed_at="2026-01-01T00:00:02.500000+00:00",
        try_number=1,
        jobs=(record, record),
    )

    assert load_outcome(dump_outcome(outcome)) == outcome
    assert (outcome.seconds, outcome.bytes_processed, outcome.slot_ms) == (2.5, 20, 10)


def test_what_is_not_an_outcome_is_damaged() -> None:
    """The results task says so instead of guessing."""
    with pytest.raises(PlanDamaged, match="not a node's outcome"):
        load_outcome(b'{"status": "success"}')
