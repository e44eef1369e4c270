"""
Nodes that cannot be planned before their run: the warehouse ends as real `dbt build` leaves it, and BigQuery's jobs are
waited for in the triggerer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fidelity.driver import Bench, Comparison, Options, Pair
from tests.warehouse.child import ROOT
from tests.warehouse.fixture import Warehouse, warehouse

__all__ = ["warehouse"]

# Two builds by each side take minutes; `make fidelity` builds the same project.
pytestmark = [pytest.mark.dbt, pytest.mark.warehouse, pytest.mark.slow]

LATE = ROOT / "tests" / "projects" / "late"


@dataclass(frozen=True)
class Built:
    """Both builds, twice: the second time on other data, and with a model more."""

    first: Comparison
    second: Comparison

    def level(self, name: str, step: str = "first") -> tuple[str | None, str]:
        """Return how a node was executed, and why."""
        (node,) = [each for each in getattr(self, step).nodes if each.unique_id.split(".")[2] == name]
        return node.level, node.reason


def emptied(pair: Pair) -> Pair:
    """Return a pair whose datasets hold nothing: every bench of a session counts its pairs from one."""
    for side in (pair.ours, pair.theirs):
        side.bench.warehouse.drop_all(side.dataset)
    return pair


@pytest.fixture(scope="module")
def built(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The project, built by both sides."""
    bench = Bench(warehouse, tmp_path_factory.mktemp("late"))
    pair = emptied(bench.pair("late", LATE))
    first = bench.step(pair, Options(name="first"))
    for side in (pair.ours, pair.theirs):
        # Nobody knows that it shows what this run builds anew.
        warehouse.query(f"create view `{side.dataset}`.outside as select * from `{side.dataset}`.paid")
    second = bench.step(pair, Options(name="second", vars={"least": 25, "outside": True}))
    return Built(first, second)


def test_both_warehouses_are_the_same(built: Built) -> None:
    """Relations, rows, messages and the statements of each node, on an empty warehouse and on other data."""
    assert built.first.verdict == "same", built.first.told()
    assert built.second.verdict == "same", built.second.told()


def test_rows_of_what_the_run_builds_are_asked_for_late(built: Built) -> None:
    """The columns of a pivot are the values in a table that is built first: not there yet, and then others than before."""
    for step, told in (
        ("first", "which this run builds first (model.late.paid)"),
        ("second", "found [['cash']]"),
    ):
        level, reason = built.level("pivot", step)
        assert level == "L"
        assert told in reason


def test_metadata_of_what_the_run_builds_is_asked_for_late(built: Built) -> None:
    """Before the first run INFORMATION_SCHEMA knows nothing of the tables, and says so without an error."""
    level, reason = built.level("by_pattern")

    assert level == "L"
    assert "planned [], found [['paid']]" in reason


def test_metadata_that_is_as_it_was_needs_no_late_plan(built: Built) -> None:
    """On the second run it knows them."""
    level, reason = built.level("by_pattern", "second")

    assert level == "G"
    assert "INFORMATION_SCHEMA.TABLES about objects that this run changes" in reason


def test_what_an_ephemeral_parent_asks_makes_its_child_late(built: Built) -> None:
    """dbt compiles the parent once, and its SQL is the child's."""
    assert built.level("child")[0] == "L"


def test_a_test_may_be_late_as_well(built: Built) -> None:
    """Its SQL may depend on what it is about."""
    assert built.level("no_method_is_empty")[0] == "L"


def test_who_reads_what_it_has_just_written_stays_with_real_dbt(built: Built) -> None:
    """No plan can be made of it, early or late."""
    level, reason = built.level("counted")

    assert level == "D"
    assert "which it writes itself" in reason


def test_a_guard_that_differs_leads_to_a_late_plan(built: Built) -> None:
    """Its reason names the read, and what was planned and what was found."""
    level, reason = built.level("through_view", "second")

    assert level == "L"
    assert ".outside" in reason
    assert "is no longer what the plan was made for" in reason


@pytest.mark.slow
def test_the_older_dbt_plans_late_too(warehouse: Warehouse, tmp_path: Path) -> None:
    """With the project as it parsed it."""
    bench = Bench(warehouse, tmp_path, version="1.9")
    pair = emptied(bench.pair("late19", LATE))

    comparison = bench.step(pair, Options(select="+pivot"))

    assert comparison.verdict == "same", comparison.told()
    assert "L" in comparison.levels
