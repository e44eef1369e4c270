"""Statements whose effect the emulator forgets or does not know."""

from __future__ import annotations

import pytest

from tests.warehouse.fixture import Warehouse
from tests.warehouse.forgotten import altered


def test_only_the_options_of_a_materialized_view_are_altered_here() -> None:
    """Whatever else is altered is the emulator's business."""
    found = altered("/* x */ alter materialized view `p`.`d`.`v` set OPTIONS(enable_refresh=False)")

    assert found is not None
    assert found.changes == {"materializedView": {"enableRefresh": False}}
    assert found.table_id == "v"
    assert altered("alter table `p`.`d`.`v` set OPTIONS(description='x')") is None
    assert altered("alter materialized view v set OPTIONS(enable_refresh=False); drop table t") is None


@pytest.mark.warehouse
def test_an_altered_materialized_view_keeps_the_rest(warehouse: Warehouse) -> None:
    """As BigQuery does, and as dbt reads it back."""
    name = f"`{warehouse.project}`.`altered`.`v`"
    warehouse.query("create schema altered")
    warehouse.query("create table altered.t as select 1 as a")
    warehouse.query(
        f"create materialized view {name} options(enable_refresh=true) as select a from altered.t"
    )

    warehouse.query(f"alter materialized view {name} set OPTIONS(refresh_interval_minutes=90)")

    view = warehouse.table("altered", "v")
    assert view["type"] == "MATERIALIZED_VIEW"
    assert view["materializedView"]["enableRefresh"] is True
    assert view["materializedView"]["refreshIntervalMs"] == "5400000"
    assert view["materializedView"]["query"] == "select a from altered.t"
