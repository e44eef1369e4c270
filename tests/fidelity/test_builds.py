"""
The quick part of the fidelity suite: a few nodes, built by real dbt and by us.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.fidelity.driver import Bench, Options, build_by_dbt, build_by_us, compare
from tests.warehouse.child import ROOT
from tests.warehouse.fixture import Warehouse, warehouse

__all__ = ["warehouse"]

pytestmark = [pytest.mark.dbt, pytest.mark.warehouse]

PROJECTS = ROOT / "tests" / "projects"
KITCHEN = PROJECTS / "kitchen"


@pytest.fixture
def bench(warehouse: Warehouse, tmp_path: Path) -> Bench:
    """A bench on the session's warehouse."""
    return Bench(warehouse, tmp_path)


def test_a_seed_a_view_and_their_tests_end_as_dbt_build_leaves_them(bench: Bench) -> None:
    """Writes, messages and the warehouse are the same, and each node was executed without a worker."""
    pair = bench.pair("kitchen", KITCHEN)

    comparison = bench.step(pair, Options(select="raw_orders stg_orders"))

    assert comparison.verdict == "same", comparison.told()
    assert set(comparison.levels) <= {"S", "G", "N"}


@pytest.mark.slow
def test_a_run_that_goes_well_is_told_without_dbt(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results, arguments and the manifest are those of dbt nevertheless, also of what is planned at its turn."""

    def write(*_: object, **__: object) -> None:
        raise AssertionError("dbt was asked to write the results")

    monkeypatch.setattr("cosmos_async.dbt.results.write_results", write)
    pair = bench.pair("kitchen", KITCHEN)
    file = pair.project / "dbt_project.yml"
    config = yaml.safe_load(file.read_text())
    del config["on-run-end"]
    file.write_text(yaml.safe_dump(config))

    comparison = bench.step(pair, Options())

    assert comparison.verdict == "same", comparison.told()
    assert {"S", "L"} <= set(comparison.levels)


def test_a_mistake_ends_with_dbts_message_and_holds_back_its_children_alone(bench: Bench) -> None:
    """A column nobody has, a seed with a word for a number; what is beside them goes on."""
    pair = bench.pair("wrong", PROJECTS / "wrong")
    mistakes = ("wrong_column", "wrong_types")

    comparison = bench.step(pair, Options(select="good wrong_column+ good_too wrong_types"), errors=mistakes)

    assert comparison.verdict == "same", comparison.told()
    found = {node.unique_id.split(".")[2]: node.status for node in comparison.nodes}
    assert found["wrong_column"] == found["wrong_types"] == "error"
    assert found["below_wrong_column"] == "skipped"
    assert found["good_too"] == "success"


def test_a_project_that_dbt_refuses_is_refused_in_its_words(bench: Bench) -> None:
    """Before anything is written."""
    pair = bench.pair("wrong", PROJECTS / "wrong")
    (pair.project / "models" / "lost.sql").write_text("select * from {{ source('nobody', 'said') }}")

    theirs, ours = build_by_dbt(pair.theirs, Options()), build_by_us(pair.ours, Options())

    assert "which was not found" in (ours.refusal or "")
    assert compare(theirs, ours).verdict == "same"
    assert not ours.writes
    assert not ours.state


def test_a_difference_is_found(bench: Bench) -> None:
    """Each side builds something else; the comparison says where."""
    pair = bench.pair("kitchen", KITCHEN)
    select = Options(select="stg_payments raw_payments")
    theirs = build_by_dbt(pair.theirs, select)
    (pair.project / "seeds" / "raw_payments.csv").write_text(
        "payment_id,order_id,method,amount\n1,1,card,1\n"
    )
    comparison = compare(theirs, build_by_us(pair.ours, select))

    assert comparison.verdict == "different"
    assert "rows" in comparison.told()
    assert "data" in comparison.told()
