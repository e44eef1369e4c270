"""What setup knows of a run's lineage: which tables a node reads."""

from __future__ import annotations

import pytest

from cosmos_async.exceptions import PlanDamaged
from cosmos_async.plan.lineage import (
    Lineage,
    NodeLineage,
    RunLineage,
    TaskLineage,
    dump_lineage,
    load_lineage,
)

RUN = RunLineage("2026-03-04T00:00:00+00:00", {"run": {"runId": "r"}}, ("a", None), ("daily",), {"dag": {}})
TASK = TaskLineage(("ann",), "Orders", "text/plain", {"task": {}}, {"acme": {"cost": 1}})
#: A source, a view of it, an ephemeral model of that, and a model of both.
NODES = {
    "source.shop.raw.orders": NodeLineage((), "p.raw.orders"),
    "model.shop.view": NodeLineage(("source.shop.raw.orders",), "p.shop.view"),
    "model.shop.ephemeral": NodeLineage(("model.shop.view",)),
    "model.shop.orders": NodeLineage(
        ("model.shop.ephemeral", "seed.shop.codes"),
        "p.shop.orders",
        "All orders",
        {"id": ("int64", "the id"), "at": (None, None)},
    ),
    "seed.shop.codes": NodeLineage((), "p.shop.codes"),
    "test.shop.not_null_orders_id": NodeLineage(("model.shop.orders",), test=("not_null", "id")),
}
LINEAGE = Lineage(RUN, {"orders.run": TASK, "secret.run": None}, NODES)


def test_the_document_comes_back_as_it_was() -> None:
    """Setup writes it on a worker, and a trigger reads it."""
    assert load_lineage(dump_lineage(LINEAGE)) == LINEAGE


@pytest.mark.parametrize("data", [b"", b"{}", b'{"run": {}}'])
def test_a_damaged_document_is_named(data: bytes) -> None:
    """So that a log says what is wrong."""
    with pytest.raises(PlanDamaged, match=r"lineage\.json"):
        load_lineage(data)


def test_an_ephemeral_model_stands_for_what_it_reads() -> None:
    """It has no table of its own."""
    assert LINEAGE.inputs_of("model.shop.orders") == ["p.shop.codes", "p.shop.view"]


def test_what_only_bigquery_knows_is_read_as_well() -> None:
    """As a table that a model names without ``ref``."""
    assert LINEAGE.inputs_of("model.shop.orders", ["p.other.rates"]) == [
        "p.other.rates",
        "p.shop.codes",
        "p.shop.view",
    ]


def test_what_lies_below_a_view_is_not_read_by_its_reader() -> None:
    """BigQuery names the tables that a view reads; the view's own task has told of them."""
    assert LINEAGE.inputs_of("model.shop.orders", ["p.raw.orders"]) == ["p.shop.codes", "p.shop.view"]


def test_no_node_reads_itself() -> None:
    """An incremental model's MERGE names its own table."""
    assert LINEAGE.inputs_of("model.shop.view", ["p.shop.view"]) == ["p.raw.orders"]


def test_a_node_that_nobody_knows_reads_what_its_jobs_say() -> None:
    """As where dbt's manifest was not kept."""
    assert LINEAGE.inputs_of("model.shop.new", ["p.raw.orders"]) == ["p.raw.orders"]
