"""One dbt run per row: a DbtTaskGroup in a mapped task group, on a real Airflow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.airflow.shop import explain

if TYPE_CHECKING:
    from tests.airflow.stage import Stage

pytestmark = [pytest.mark.airflow, pytest.mark.warehouse]

ROWS = {"rome": 3, "oslo": 5}


def check(stage: Stage) -> None:
    """Run the DAG, and look at what each instance of the group has built and kept."""
    airflow = stage.airflow
    airflow.wait_for_dag("mapped")
    airflow.trigger("mapped", "rows")
    end = airflow.wait_for_run("mapped", "rows", 400)
    built = {
        city: stage.warehouse.query(f"select city, orders from `shop-project`.rows.{city}_totals")
        for city in ROWS
    }
    kept = [name for name in stage.stored_names("dbt/mapped/") if name.endswith("/run_results.json")]
    told = [json.loads(stage.stored(name)) for name in kept]
    queries = [job["configuration"].get("query", {}).get("query", "") for job in stage.jobs()]
    times = {
        city: sum(f"replace table `shop-project`.`rows`.`{city}_totals`" in query for query in queries)
        for city in ROWS
    }

    assert end.state == "success", explain(stage, "mapped", end)
    assert {task.state for task in end.tasks} == {"success"}
    assert built == {city: [{"city": city, "orders": str(orders)}] for city, orders in ROWS.items()}
    assert times == dict.fromkeys(ROWS, 1)
    assert [name.rsplit("/", 2)[1] for name in kept] == ["rows~0", "rows~1"]
    assert all({each["status"] for each in one["results"]} == {"success", "pass"} for one in told)
    assert {one["args"]["vars"]["city"] for one in told} == set(ROWS)
    # Each instance has its own folder, and its own teardown deletes it.
    assert [name for name in stage.stored_names("dbt/mapped/") if "/~artifacts/" not in name] == []


def test_each_row_builds_its_own_tables(stage_33: Stage) -> None:
    """The group's argument becomes dbt's vars; every instance plans, runs, tells and tears down for itself."""
    check(stage_33)
