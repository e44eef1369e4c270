"""
The quick part of the fidelity suite: a few nodes, built by real dbt and by us.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fidelity.driver import Bench, Options
from tests.warehouse.child import ROOT
from tests.warehouse.fixture import Warehouse, warehouse

__all__ = ["warehouse"]

pytestmark = [pytest.mark.dbt, pytest.mark.warehouse]

KITCHEN = ROOT / "tests" / "projects" / "kitchen"


@pytest.fixture
def bench(warehouse: Warehouse, tmp_path: Path) -> Bench:
    """A bench on the session's warehouse."""
    return Bench(warehouse, tmp_path)


def test_a_seed_a_view_and_their_tests_end_as_dbt_build_leaves_them(bench: Bench) -> None:
    """Writes, messages and the warehouse are the same, and each node was executed without a worker."""
    pair = bench.pair("kitchen", KITCHEN)

    comparison = bench.step(pair, Options(select="raw_orders stg_orders"))

    assert not [node.differences for node in comparison.nodes if node.level and node.differences]
    assert set(comparison.levels) <= {"S", "G", "N"}


def test_a_difference_is_found(bench: Bench) -> None:
    """Each side builds something else; the comparison says where."""
    pair = bench.pair("kitchen", KITCHEN)
    select = Options(select="stg_payments raw_payments")
    from tests.fidelity.driver import build_by_dbt, build_by_us, compare

    theirs = build_by_dbt(pair.theirs, select)
    (pair.project / "seeds" / "raw_payments.csv").write_text(
        "payment_id,order_id,method,amount\n1,1,card,1\n"
    )
    comparison = compare(theirs, build_by_us(pair.ours, select))

    assert comparison.verdict == "different"
    assert "rows" in comparison.told()
    assert "data" in comparison.told()
