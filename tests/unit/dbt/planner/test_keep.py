"""Which plans serve the next run as well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cosmos_async.dbt.planner.keep import each_run, why_not_kept
from cosmos_async.plan.model import Level


def recording(**values: Any) -> dict[str, Any]:
    return {"moments": {}, "batches": {}, "nodes": {}, "events": {}, "once": None, **values}


def plan(count: int, **levels: Level) -> Any:
    nodes = {f"n{number}": SimpleNamespace(level=Level.STATIC) for number in range(count)}
    nodes.update({name: SimpleNamespace(level=level) for name, level in levels.items()})
    return SimpleNamespace(nodes=nodes, hooks=[SimpleNamespace(unique_id="operation.start")])


def node(*parents: str, ephemeral: bool = False) -> dict[str, Any]:
    return {"name": "it", "depends_on": list(parents), "ephemeral": ephemeral}


def test_what_an_ephemeral_model_uses_all_use_that_read_it() -> None:
    """Through further ephemeral models, and no further than the first that is built."""
    nodes = {
        "deep": node(ephemeral=True),
        "upper": node("deep", ephemeral=True),
        "built": node("upper"),
        "beyond": node("built"),
        "beside": node(),
    }

    found = each_run(recording(moments={"deep": "chance"}, nodes=nodes))

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
        made = plan(count, python=Level.DBT, other=Level.DBT) if "python" in uses else plan(count)

        assert (why_not_kept(recording(), made, uses) is None) is kept, (count, uses)


def test_what_is_done_before_the_first_node_decides_for_all() -> None:
    """A hook, or the run itself."""
    for name in ("", "operation.start"):
        why = why_not_kept(recording(), plan(100), {name: "invocation_id"})

        assert why is not None
        assert "invocation_id" in why


def test_a_dataset_that_is_made_now_is_there_next_time() -> None:
    """The next plan does not make it."""
    events = {"": [{"event": "listing"}, {"event": "job", "dataset": "p.shop"}]}

    assert "p.shop" in str(why_not_kept(recording(events=events), plan(1), {}))


def test_a_plugin_may_do_anything() -> None:
    """What the recorder says of the whole run counts first."""
    assert why_not_kept(recording(once="a plugin of dbt has a part in the project"), plan(1), {}) is not None
