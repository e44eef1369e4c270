"""
The whole way on a real Airflow 2.11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.airflow.shop import explain
from tests.airflow.test_assets import check_cleared, check_consumers, check_stopped
from tests.airflow.test_mapped import check as check_rows

if TYPE_CHECKING:
    from tests.airflow.shop import ShopRuns
    from tests.airflow.stage import Stage

pytestmark = [pytest.mark.airflow, pytest.mark.warehouse]


def test_the_shop_runs_on_airflow_211(shop_211: ShopRuns) -> None:
    """Every task of the demo's DAG succeeds."""
    (end,) = shop_211.ends

    assert end.state == "success", explain(shop_211.stage, "shop", end)
    assert set(end.states().values()) == {"success"}


def test_no_node_uses_a_worker_on_airflow_211(shop_211: ShopRuns) -> None:
    """Airflow 2.11 starts a trigger without a worker too, and lets it end its task."""
    assert [task.task_id for task in shop_211.nodes() if task.operator.startswith("Dbt") and task.pid] == []


def test_what_the_shop_built_on_airflow_211_is_there(shop_211: ShopRuns) -> None:
    """Success means tables."""
    query = "select count(*) as orders, sum(amount) as amount from `shop-project`.shop_marts.orders"

    assert shop_211.stage.warehouse.query(query) == [{"orders": "10", "amount": "330.3"}]


def test_a_run_starts_the_dags_that_wait_for_its_tables_on_airflow_211(stage_211: Stage) -> None:
    """Datasets, as they are called there; a cleared node is announced again, alone."""
    check_consumers(stage_211, slashes=False)
    check_cleared(stage_211)


def test_a_run_that_fail_fast_has_stopped_announces_what_was_built_on_airflow_211(stage_211: Stage) -> None:
    """Its teardown does it, as its results task fails."""
    check_stopped(stage_211)


def test_fail_fast_stops_the_other_branches_on_airflow_211(stage_211: Stage) -> None:
    """Here a failing task ends on a worker, and a stopped one in the triggerer."""
    airflow = stage_211.airflow
    airflow.wait_for_dag("corner")
    airflow.trigger("corner", "stopped", {"broken": True, "slow_ms": 600_000, "fail_fast": True})
    end = airflow.wait_for_run("corner", "stopped")
    states = end.states()

    assert end.state == "failed"
    assert sorted(end.failed()) == ["dbt_results_async", "items.test"], explain(stage_211, "corner", end)
    assert states["slow_run"] == "skipped"
    assert states["dbt_done_async"] == "upstream_failed"


def test_each_row_builds_its_own_tables_on_airflow_211(stage_211: Stage) -> None:
    """A DbtTaskGroup in a mapped task group is one run per instance, here as well."""
    check_rows(stage_211)
