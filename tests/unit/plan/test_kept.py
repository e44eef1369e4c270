"""A plan that is kept, and what the next run makes of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from cosmos_async.exceptions import PlanDamaged
from cosmos_async.plan.kept import KeptPlan, first_difference, use_again
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
    dump_index,
    dump_node,
    load_index,
    load_node,
)
from cosmos_async.plan.node_plans import pack, unpack

NOW = datetime(2026, 5, 4, 3, 2, 1, 999_999, tzinfo=timezone.utc)
ONE, OTHER = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"


def run_info(**values: Any) -> RunInfo:
    known: dict[str, Any] = {
        "dag_id": "shop",
        "run_id": "one",
        "created_at": "2026-05-03T00:00:00+00:00",
        "host": "h",
        "project_name": "shop",
        "target_name": "prod",
        "invocation_id": ONE,
        "dbt_version": "1.11.0",
        "adapter_version": "1.11.0",
        "package_version": "1",
        "nonce": "first",
    }
    return RunInfo(**{**known, **values})


def query(sql: str, **more: Any) -> JobOperation:
    configuration = {"query": {"query": sql}, "labels": {"dbt_invocation_id": ONE}}
    return JobOperation("main", "p", "US", configuration, **more)


def node(name: str, sql: str, level: Level = Level.STATIC, **more: Any) -> NodePlan:
    steps = (query(sql, main=True),) if level is Level.STATIC else ()
    return NodePlan(f"model.shop.{name}", name, "model", level, fqn=("shop", name), steps=steps, **more)


def kept(*nodes: NodePlan, **more: Any) -> KeptPlan:
    """Return what a run with these nodes has kept."""
    objects = {"dbt/manifest.json": b"{}", "plan/uploads/abc": bytes(range(256))}
    entries = {
        plan.unique_id: IndexEntry(
            plan.name, plan.resource_type, plan.level, plan.reason, fqn=plan.fqn, assumed=plan.assumed
        )
        for plan in nodes
    }
    hook = query("insert into log values (1)", shared="on_run_start:0.0")
    index = Index(run_info(), entries, prelude=(hook,), hooks=(Hook("operation.shop.start", "start", 0, 1),))
    index, packed = pack(index, {plan.unique_id: dump_node(plan) for plan in nodes})
    values: dict[str, Any] = {
        "fingerprint": {"the options": "x"},
        "environment": ("NAME",),
        "relations": {"p.shop": {"orders": "TABLE"}},
        "routines": {},
        "each_run": {},
        "temporaries": {},
    }
    return KeptPlan(**{**values, **more}, index=dump_index(index), objects={**objects, **packed})


def test_what_is_kept_is_read_back() -> None:
    """One object of the store; bytes of seeds as they were."""
    plan = kept(
        node("orders", "select 1"), temporaries={"model.shop.orders": ["orders__dbt_tmp000000000000"]}
    )

    assert KeptPlan.load(plan.dump()) == plan


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"{}"], ids=["nothing", "half", "other"])
def test_what_cannot_be_read_is_told(data: bytes) -> None:
    """Setup then plans anew."""
    with pytest.raises(PlanDamaged, match="kept plan"):
        KeptPlan.load(data)


def test_a_plan_of_another_release_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its format is a part of it."""
    data = kept().dump()
    monkeypatch.setattr("cosmos_async.plan.kept.FORMAT", 99)

    with pytest.raises(PlanDamaged, match="another release"):
        KeptPlan.load(data)


@pytest.mark.parametrize("unique_id", ["model.shop.pivot", "model.shop.orders"])
def test_what_was_assumed_in_vain_is_planned_at_its_turn(unique_id: str) -> None:
    """A node without an assumption has nothing to do with that."""
    guard = Guard(GuardKind.ROWS, "select x", {"project": "p"}, [["a"]], assumed=True)
    pivot = node("pivot", "select 1", reason="It reads rows.")
    plan = kept(node("orders", "select 1"), replace(pivot, level=Level.GUARDED, steps=(guard, *pivot.steps)))

    again = use_again(plan, run_info(run_id="two"), now=NOW, changing={unique_id})

    entry = again.index.nodes["model.shop.pivot"]
    carried = load_node(unpack(again.index, again.objects)["model.shop.pivot"])
    assert again.index.nodes["model.shop.orders"].level is Level.STATIC
    if unique_id == "model.shop.orders":
        assert (entry.level, entry.assumed) == (Level.GUARDED, True)
        assert carried.steps[0] == guard
    else:
        assert (entry.level, entry.assumed, carried.steps) == (Level.LATE, False, ())
        assert entry.reason.startswith("It reads rows. It changed in a run before")


def test_the_jobs_belong_to_the_new_run() -> None:
    """Label, index and hooks; all else is byte for byte what was recorded."""
    plan = node("orders", "select 1")
    run = run_info(run_id="two", invocation_id=OTHER, nonce="second")

    again = use_again(kept(plan), run, now=NOW)

    (data,) = unpack(again.index, again.objects).values()
    assert data == dump_node(plan).replace(ONE.encode(), OTHER.encode())
    assert again.index.run == run
    assert load_index(dump_index(again.index)) == again.index
    assert again.index.prelude[0].configuration["labels"] == {"dbt_invocation_id": OTHER}  # type: ignore[union-attr]
    assert again.index.hooks == (Hook("operation.shop.start", "start", 0, 1),)
    assert again.objects["plan/uploads/abc"] == bytes(range(256))


def test_the_index_tells_where_each_plan_is() -> None:
    """The trigger finds a node's plan by the index alone, and nothing is left of the old plans."""
    again = use_again(
        kept(node("orders", "select 1"), node("lines", "select 2"), each_run={"model.shop.lines": "chance"}),
        run_info(invocation_id=OTHER),
        now=NOW,
    )

    plans = unpack(again.index, again.objects)
    for unique_id, entry in again.index.nodes.items():
        plan = load_node(plans[unique_id])
        assert (plan.unique_id, plan.level, plan.reason) == (unique_id, entry.level, entry.reason)
        assert hashlib.sha256(plans[unique_id]).hexdigest() == entry.digest
    assert sum(name.startswith("plan/nodes") for name in again.objects) == 1


def test_temporary_names_are_made_anew_and_stay_distinct() -> None:
    """Two runs may be under way at once, and two unit tests of one model are. Over a midnight, too."""
    names = ["orders__dbt_tmp101112131415", "orders__dbt_tmp101112131416"]
    plan = node("orders", f"create table {names[0]}; create table {names[1]}; drop table {names[0]}")

    again = use_again(
        kept(plan, temporaries={plan.unique_id: names}),
        run_info(),
        now=NOW.replace(hour=23, minute=59, second=59),
    )

    (data,) = unpack(again.index, again.objects).values()
    sql = load_node(data).steps[0].configuration["query"]["query"]  # type: ignore[union-attr]
    assert sql == (
        "create table orders__dbt_tmp235959999999; create table orders__dbt_tmp000000000000; "
        "drop table orders__dbt_tmp235959999999"
    )


def test_a_node_that_differs_in_each_run_is_planned_at_its_turn() -> None:
    """Nothing of its old plan is left; the reason says what it uses."""
    plan = node("stamped", "select 'yesterday'")

    again = use_again(kept(plan, each_run={plan.unique_id: "run_started_at"}), run_info(), now=NOW)

    entry = again.index.nodes[plan.unique_id]
    late = load_node(unpack(again.index, again.objects)[plan.unique_id])
    assert late.level is entry.level is Level.LATE
    assert late.steps == ()
    assert "run_started_at" in entry.reason


def test_a_source_is_measured_by_real_dbt_then() -> None:
    """Nobody plans it late: how old it is, is asked by another command."""
    source = NodePlan(
        "source.shop.raw.orders", "raw.orders", "source", Level.STATIC, steps=(query("select 1"),)
    )

    again = use_again(kept(source, each_run={source.unique_id: "run_started_at"}), run_info(), now=NOW)

    assert again.index.nodes[source.unique_id].level is Level.DBT


def test_real_dbt_stays_real_dbts() -> None:
    """It is run by dbt in each run, and needs no plan."""
    plan = replace(node("python", "", Level.DBT), reason="It is a Python model.")

    again = use_again(kept(plan, each_run={plan.unique_id: "graph"}), run_info(), now=NOW)

    assert again.index.nodes[plan.unique_id].level is Level.DBT
    assert again.index.nodes[plan.unique_id].reason == "It is a Python model."


def test_the_first_difference_is_told_in_words() -> None:
    """What changed, and of files which."""
    was = {"the options": "a", "the project's files": {"a.sql": "1", "b.sql": "2", "c.sql": "3"}}

    def told(**changes: Any) -> str | None:
        return first_difference(was, {**was, **changes})

    assert told() is None
    assert first_difference(was, json.loads(json.dumps(was))) is None
    assert told(**{"the options": "b"}) == "the options"
    files = {"a.sql": "1", "b.sql": "9", "d.sql": "3"}
    assert told(**{"the project's files": files}) == "the project's files (b.sql and 2 more)"
    assert told(new="part") == "new"
