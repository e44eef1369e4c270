"""The shop on a real Airflow 3.3 with dbt 2: planned by setup, carried out in the triggerer, hooks at its end included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.warehouse.child import ROOT
from tests.warehouse.dbt2 import VERSION, Bench
from tests.warehouse.dbt2.projects import copy_for_dbt_2
from tests.warehouse.fixture import BUCKET, TIMES_OF_A_RUN

if TYPE_CHECKING:
    from tests.airflow.shop import ShopRuns

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.dbt, pytest.mark.warehouse]

SHOP = ROOT / "tests/demo/shop"
DAYS = (1,)


@pytest.fixture(scope="module")
def shop(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopRuns]:
    """The DAG, run once per day."""
    from tests.airflow.shop import run_shop
    from tests.airflow.stage import connect_airflow

    folder = tmp_path_factory.mktemp("stage-dbt2")
    env = {**bench.environment, "SHOP_FOR_DBT_2": str(copy_for_dbt_2(SHOP, folder / "shop"))}
    dags = Path(__file__).parent / "dags"
    with connect_airflow("3.3", folder, dags, bench.warehouse, bucket=BUCKET, env=env) as stage:
        yield run_shop(stage, DAYS)


def results(shop: ShopRuns, day: int) -> dict[str, Any]:
    """Return ``run_results.json`` of a run."""
    stage = shop.stage
    (name,) = [
        name
        for name in stage.stored_names()
        if f"/~artifacts/day-{day}/" in name and name.endswith("run_results.json")
    ]
    found: dict[str, Any] = json.loads(stage.stored(name))
    return found


def test_it_ends_well(shop: ShopRuns) -> None:
    """In Airflow's eyes and in dbt's."""
    from tests.airflow.shop import explain

    assert [end.state for end in shop.ends] == ["success" for _ in DAYS], "\n".join(
        explain(shop.stage, "shop", end) for end in shop.ends
    )
    for day in DAYS:
        told = results(shop, day)
        assert told["metadata"]["dbt_version"] == VERSION
        assert {result["status"] for result in told["results"]} <= {"success", "pass", "warn", "skipped"}
        assert len(told["results"]) > 30


def test_no_node_needs_a_worker(shop: ShopRuns) -> None:
    """Nor do seeds, snapshots, and what describes columns."""
    assert {task.task_id for task in shop.nodes()} >= {"raw_orders_seed", "customers.run", "stg_orders.test"}
    assert [task.task_id for task in shop.nodes() if task.worker_seconds] == []


def test_hooks_at_the_end_of_the_run_are_carried_out(shop: ShopRuns) -> None:
    """By the results task, with the run's results: one of the shop's counts them."""
    assert "dbt runs the on-run-end hooks." in shop.log("dbt_results_async")
    counted = {f"built {len(results(shop, day)['results'])} nodes" for day in DAYS}
    rows = shop.stage.warehouse.query("select what from airflow_ours.audit_log where what like 'built%'")
    assert {row["what"] for row in rows} == counted
    assert len(rows) == len(DAYS)


def test_the_warehouse_is_as_real_dbt_2_leaves_it(shop: ShopRuns, bench: Bench, tmp_path: Path) -> None:
    """The hooks' table included."""
    project = copy_for_dbt_2(SHOP, tmp_path / "shop")
    for day in DAYS:
        done = bench.dbt("build", "--vars", f"{{day: {day}}}", project=project, dataset="airflow_theirs")
        assert done.status == 0, done.output

    ours = bench.warehouse.dump_all("airflow_ours", without=TIMES_OF_A_RUN)
    assert ours == bench.warehouse.dump_all("airflow_theirs", without=TIMES_OF_A_RUN)
