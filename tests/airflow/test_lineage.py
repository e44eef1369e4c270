"""OpenLineage's events on a real Airflow 3.3, as whoever draws them would read them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.airflow.shop import ShopRuns

pytestmark = [pytest.mark.airflow, pytest.mark.warehouse, pytest.mark.slow]

Json = dict[str, Any]
ENDS = ("COMPLETE", "FAIL")


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file into which all processes write their events."""
    return tmp_path_factory.mktemp("lineage") / "events.json"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, lineage: Path) -> Iterator[ShopRuns]:
    """The demo's DAG, run twice, with OpenLineage switched on as it is on many platforms."""
    from tests.airflow.shop import run_shop
    from tests.airflow.stage import start_stage

    transport = {"type": "file", "log_file_path": str(lineage), "append": True}
    env = {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "AIRFLOW__COSMOS_ASYNC__RUN_AHEAD": "True",
    }
    folder = tmp_path_factory.mktemp("stage-lineage")
    with start_stage("3.3", folder, Path(__file__).parents[1] / "demo/dags", env=env) as stage:
        yield run_shop(stage, (1, 2))


def test_no_node_uses_a_worker(shop: ShopRuns) -> None:
    """The provider's listener takes nobody there any more."""
    assert [end.state for end in shop.ends] == ["success", "success"]
    assert sum(task.worker_seconds for task in shop.nodes()) == 0


def events(path: Path, dag_id: str) -> list[Json]:
    """Return the events of a DAG's tasks so far."""
    # Several processes write to the file; each line is one event.
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [event for event in found if event["job"]["name"].startswith(f"{dag_id}.")]


def run_id_of(event: Json) -> str:
    """Return Airflow's name of the DAG run."""
    return str(event["run"]["facets"]["airflow"]["dagRun"]["run_id"])


def ends(told: list[Json], task: str) -> list[Json]:
    """Return the ends of a task's runs."""
    return [event for event in told if event["job"]["name"] == task and event["eventType"] in ENDS]


def test_each_node_begins_and_ends_once(shop: ShopRuns, lineage: Path) -> None:
    """No worker has seen them, and yet each has its run, below that of the DAG's."""
    run_ids = {end.run_id for end in shop.ends}
    told = [event for event in events(lineage, "shop") if run_id_of(event) in run_ids]
    nodes = {f"shop.{task.task_id}" for task in shop.nodes() if task.operator.startswith("Dbt")}

    found = Counter(
        (event["job"]["name"], event["eventType"]) for event in told if event["job"]["name"] in nodes
    )
    assert found == {(name, state): 2 for name in nodes for state in ("START", "COMPLETE")}  # of two runs
    runs = {event["run"]["facets"]["parent"]["run"]["runId"] for event in told}
    assert len(runs) == 2
    states = Counter(event["job"]["name"] for event in told if event["eventType"] in ENDS)
    assert states["shop.dbt_setup_async"] == states["shop.dbt_results_async"] == 2


def test_a_model_tells_of_what_it_is_made(shop: ShopRuns, lineage: Path) -> None:
    """The tables that it reads, its columns and their origins, its rows, and the job of BigQuery."""
    event = ends(events(lineage, "shop"), "shop.orders.run")[0]

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
