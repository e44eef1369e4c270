"""Which plans serve the next run as well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_async.dbt.planner.keep import each_run, why_not_kept
from cosmos_async.plan.model import Level


def recording(**values: Any) -> dict[str, Any]:
    known = ("moments", "batches", "nodes", "events", "flags", "ephemerals", "temporaries")
    return {
        **{name: {} for name in known},
        "inherited": [],
        "once": None,
        "run": {"listings": {"p.shop": {}}},
        **values,
    }


def plan(count: int, **more: Any) -> Any:
    nodes = {f"n{number}": SimpleNamespace(level=Level.STATIC) for number in range(count)}
    nodes.update({name: SimpleNamespace(level=Level.DBT) for name in more.pop("dbt", ())})
    hooks = [SimpleNamespace(unique_id="operation.start")]
    return SimpleNamespace(**{"nodes": nodes, "hooks": hooks, "prelude": (), **more})


def node(*parents: str, **more: Any) -> dict[str, Any]:
    return {"name": "it", "depends_on": list(parents), "status": "success", **more}


def test_what_an_ephemeral_model_uses_all_use_that_read_it() -> None:
    """Through further ephemeral models, and no further than the first that is built."""
    ephemerals = {"deep": node(), "upper": node("deep")}
    nodes = {"built": node("upper"), "beyond": node("built"), "beside": node()}

    found = each_run(recording(moments={"deep": "chance"}, nodes=nodes, ephemerals=ephemerals))

    assert set(found) == {"deep", "upper", "built"}
    assert "chance" in found["built"]


def test_batches_are_of_the_moment() -> None:
    """Their windows end when the run begins."""
    assert "batches" in each_run(recording(batches={"model": []}))["model"]


def test_few_nodes_may_be_planned_each_time() -> None:
    """One in any case, and one in twenty; those that real dbt runs do not count."""
    for count, uses, kept in (
        (1, {"n0": "x"}, True),
        (39, {"n0": "x", "n1": "x"}, False),
        (40, {"n0": "x", "n1": "x"}, True),
        (10, {"n0": "x", "python": "x", "other": "x"}, True),
    ):
        made = plan(count, dbt=("python", "other") if "python" in uses else ())

        assert (why_not_kept(recording(), made, uses) is None) is kept, (count, uses)


def test_what_is_done_before_the_first_node_decides_for_all() -> None:
    """A hook, or the run itself."""
    for name in ("", "operation.start"):
        why = why_not_kept(recording(), plan(100), {name: "invocation_id"})

        assert why is not None
        assert "invocation_id" in why


BEGINNINGS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a dataset of the run": (
        {"events": {"": [{"event": "listing"}, {"event": "job", "dataset": "p.shop"}]}},
        {},
        "creates the dataset p.shop",
    ),
    "a dataset of a hook": (
        {"events": {"operation.start": [{"event": "job", "dataset": "p.audit"}]}},
        {},
        "creates the dataset p.audit",
    ),
    "a hook that looks for datasets": (
        {"events": {"operation.start": [{"event": "dataset"}]}},
        {},
        "asks which datasets there are",
    ),
    # Whether or not it writes something then.
    "a hook that reads": (
        {"events": {"operation.start": [{"event": "rows"}]}},
        {},
        "on-run-start hook reads",
    ),
    "a hook that looks for a relation in a dataset that dbt has not listed": (
        {"events": {"operation.start": [{"event": "relation", "path": ["p", "else", "log"]}]}},
        {},
        "on-run-start hook reads",
    ),
    "a hook with a temporary table": (
        {"temporaries": {"operation.start": ["a__dbt_tmp000000000000"]}},
        {},
        "temporary table",
    ),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_what_comes_before_the_first_node_has_to_be_the_same(name: str) -> None:
    """Nobody plans it anew where it does not fit, and then all tasks of the run would fail."""
    recorded, planned, words = BEGINNINGS[name]

    assert words in str(why_not_kept(recording(**recorded), plan(1, **planned), {}))


def test_a_hook_that_looks_for_a_relation_in_a_listing_finds_the_same_next_time() -> None:
    """The listings are compared before a plan is used again."""
    events = {"operation.start": [{"event": "relation", "path": ["p", "shop", "log"]}]}

    assert why_not_kept(recording(events=events), plan(1), {}) is None


def test_a_node_that_could_not_be_planned_may_be_so_next_time() -> None:
    """BigQuery had no time, or a permission was missing; what is real dbt's for good has a flag."""
    nodes = {"model.a": node(status="error")}

    assert "model.a" in str(why_not_kept(recording(nodes=nodes), plan(1), {}))
    assert why_not_kept(recording(nodes=nodes, flags={"model.a": "Python"}), plan(1), {}) is None


def test_what_an_unselected_ephemeral_model_reads_is_guarded_for_one_reader_alone() -> None:
    """A selected one has its own node, whose reads all inherit."""
    ephemerals = {"model.e": node(name="e")}

    assert "e, which is not selected" in str(
        why_not_kept(recording(inherited=["model.e"], ephemerals=ephemerals), plan(1), {})
    )
    nodes = {"model.e": node()}
    found = why_not_kept(recording(inherited=["model.e"], ephemerals=ephemerals, nodes=nodes), plan(1), {})
    assert found is None


def test_a_plugin_may_do_anything() -> None:
    """What the recorder says of the whole run counts first."""
    assert why_not_kept(recording(once="a plugin of dbt has a part in the project"), plan(1), {}) is not None
