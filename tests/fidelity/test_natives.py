"""
What the executor does with its own hand, built by real dbt and by us: on an empty warehouse, and changed on the next day.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dbt_versions import NEWEST
from tests.fidelity.driver import Bench, Options
from tests.warehouse.child import ROOT
from tests.warehouse.fixture import Warehouse, warehouse

__all__ = ["warehouse"]

pytestmark = [pytest.mark.dbt, pytest.mark.warehouse]

PROJECT = ROOT / "tests" / "projects" / "natives"
#: What dbt-bigquery 1.9 cannot: copy partitions that are named in the project; and it names a range by any number in it,
#: of which BigQuery's documentation knows nothing and which the stand-in refuses.
EXCLUDED = {NEWEST: "", "1.9": "copied_static copied_by_number"}
NATIVE = {
    "granted_table", "granted_view", "granted_no_more", "accessing", "nested", "reshaped", "widened", "history", "by_arrival",
    "copied_by_hour", "copied_by_day", "copied_by_number",
}  # fmt: skip
#: dbt-bigquery 1.9 changes the columns of incremental models by statements.
BY_STATEMENTS: dict[str, set[str]] = {NEWEST: set(), "1.9": {"nested", "reshaped", "widened"}}


@pytest.mark.slow
@pytest.mark.parametrize("version", [NEWEST, "1.9"])
def test_natives_end_as_dbt_build_leaves_them(version: str, warehouse: Warehouse, tmp_path: Path) -> None:
    """The same jobs and changes in the same words and order, the same messages, the same warehouse; without a worker."""
    bench = Bench(warehouse, tmp_path, version=version)
    pair = bench.pair("natives", PROJECT)
    levels = {}
    for options in (Options("empty"), Options("changed", vars={"day": 2}, exclude=EXCLUDED[version] or None)):
        comparison = bench.step(pair, options)
        assert comparison.verdict == "same", comparison.told()
        levels[options.name] = {node.unique_id.split(".")[-1]: node.level for node in comparison.nodes}

    assert set(levels["empty"].values()) <= {"S", "G", "N"}
    found = {name for name, level in levels["changed"].items() if level == "N"}
    assert found == NATIVE - BY_STATEMENTS[version] - set(EXCLUDED[version].split())
    assert set(levels["changed"].values()) <= {"S", "G", "N"}
