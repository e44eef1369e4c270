"""OpenLineage's events on a real Airflow 3.3, as whoever draws them would read them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.shop import explain

if TYPE_CHECKING:
    from tests.airflow.shop import ShopRuns
    from tests.airflow.stage import Stage

pytestmark = [pytest.mark.airflow, pytest.mark.warehouse]

Json = dict[str, Any]
ENDS = ("COMPLETE", "FAIL")


def events(path: Path, dag_id: str) -> list[Json]:
    """Return the events of a DAG's tasks so far."""
    # Several processes write to the file; each line is one event.
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [event for event in found if event["job"]["name"].startswith(f"{dag_id}.")]


def ends(told: list[Json], task: str) -> list[Json]:
    """Return the ends of a task's runs."""
    return [event for event in told if event["job"]["name"] == task and event["eventType"] in ENDS]


def test_each_node_begins_and_ends_once(shop_33: ShopRuns, lineage_33: Path) -> None:
    """No worker has seen them, and yet each has its run, below that of the DAG's."""
    told = events(lineage_33, "shop")
    nodes = {f"shop.{task.task_id}" for task in shop_33.nodes() if task.operator.startswith("Dbt")}

    found = Counter(
        (event["job"]["name"], event["eventType"]) for event in told if event["job"]["name"] in nodes
    )
    assert found == {(name, state): 2 for name in nodes for state in ("START", "COMPLETE")}  # of two runs
    runs = {event["run"]["facets"]["parent"]["run"]["runId"] for event in told}
    assert len(runs) == 2
    states = Counter(event["job"]["name"] for event in told if event["eventType"] in ENDS)
    assert states["shop.dbt_setup_async"] == states["shop.dbt_results_async"] == 2


def test_a_model_tells_of_what_it_is_made(shop_33: ShopRuns, lineage_33: Path) -> None:
    """The tables that it reads, its columns and their origins, its rows, and the job of BigQuery."""
    event = ends(events(lineage_33, "shop"), "shop.orders.run")[0]

    (orders,) = event["outputs"]
    assert orders["name"] == "shop-project.shop_marts.orders"
    assert {one["name"] for one in event["inputs"]} == {
        "shop-project.shop.stg_orders",
        "shop-project.shop.stg_products",  # through an ephemeral model
        "shop-project.shop_raw.raw_order_items",
    }
    columns = [field["name"] for field in orders["facets"]["schema"]["fields"]]
    assert columns == ["order_id", "customer_id", "ordered_on", "status", "pieces", "amount"]
    origins = orders["facets"]["columnLineage"]["fields"]["pieces"]["inputFields"]
    assert [(one["name"], one["field"]) for one in origins] == [
        ("shop-project.shop_raw.raw_order_items", "quantity")
    ]
    assert orders["outputFacets"]["outputStatistics"]["rowCount"] == 10
    facets = event["run"]["facets"]
    assert facets["externalQuery"]["externalQueryId"].startswith("cosmos_orders_t1_")
    assert facets["airflow"]["task"]["operator_class"] == "DbtRunAsyncOperator"


def test_a_failed_test_fails_its_run(stage_33: Stage, lineage_33: Path) -> None:
    """With what was tested and the words of the log; what was skipped behind it has never begun."""
    end = stage_33.airflow.wait_for_run("corner", "broken", 400)
    failed = end.failed()
    assert failed, explain(stage_33, "corner", end)

    told = events(lineage_33, "corner")
    for task_id in failed:
        (event,) = [one for one in ends(told, f"corner.{task_id}") if one["eventType"] == "FAIL"]
        assert event["run"]["facets"]["errorMessage"]["message"]
