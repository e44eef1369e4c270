"""
What a run has built starts the DAGs that wait for it, on a real Airflow 3.3 and 2.11.

Here are the tests of the former; test_acceptance_211 has those of the latter, whose stage is its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.airflow.shop import explain

if TYPE_CHECKING:
    from tests.airflow.stage import Stage

pytestmark = [pytest.mark.airflow, pytest.mark.warehouse]

CONSUMERS = ("behind_totals", "behind_beside")
RESULTS, TEARDOWN = "dbt_results_async", "dbt_teardown_async"


def test_a_run_starts_the_dags_that_wait_for_its_tables(stage_33: Stage) -> None:
    """
    One by the table's name, the other by the alias of its task; no node needs a worker for it.

    A cleared node is announced again, and no other: the results task runs anew and finds the outcomes of all, but what is in
    the record is not repeated.
    """
    check_consumers(stage_33, slashes=True)
    check_cleared(stage_33)


def test_a_run_that_fail_fast_has_stopped_announces_what_was_built(stage_33: Stage) -> None:
    """Its results task fails, and with it goes what it would have announced: the teardown does it."""
    check_stopped(stage_33)


def check_consumers(stage: Stage, *, slashes: bool) -> None:
    """Run the corner project once, and wait for its consumers."""
    airflow = stage.airflow
    for dag_id in (*CONSUMERS, "corner"):
        airflow.wait_for_dag(dag_id)
    before = {dag_id: len(airflow.metadata.run_ids(dag_id)) for dag_id in CONSUMERS}
    airflow.trigger("corner", "assets")
    end = airflow.wait_for_run("corner", "assets", 400)
    assert end.state == "success", explain(stage, "corner", end)

    events = airflow.metadata.asset_events("corner", "assets")
    between = "/" if slashes else "."
    assert {event.task_id for event in events} == {RESULTS}
    # Airflow 2 gives a URI without a path a slash at its end, whoever names it.
    assert {event.uri.rstrip("/"): event.extra["unique_id"] for event in events} == {
        "bigquery://" + between.join(("shop-project", "corner", name)): f"{kind}.corner.{name}"
        for name, kind in {
            "raw_items": "seed",
            "items": "model",
            "totals": "model",
            "beside": "model",
            "slow": "model",
        }.items()
    }
    (items,) = (event.extra for event in events if event.extra["unique_id"] == "model.corner.items")
    assert items["job_id"] in {job["jobReference"]["jobId"] for job in stage.jobs()}
    for dag_id in CONSUMERS:
        airflow.processes.wait_until(
            f"{dag_id} has begun", lambda one=dag_id: len(airflow.metadata.run_ids(one)) > before[one], 120
        )
    nodes = [task for task in end.tasks if task.operator.startswith("Dbt")]
    assert [task.task_id for task in nodes if task.pid] == []


def check_cleared(stage: Stage) -> None:
    """Clear a model of the run above."""
    airflow = stage.airflow
    before = len(airflow.metadata.asset_events("corner", "assets"))

    airflow.clear("corner", "assets", ["beside_run"])
    end = airflow.wait_for_run("corner", "assets", 400)

    assert end.state == "success", explain(stage, "corner", end)
    new = airflow.metadata.asset_events("corner", "assets")[before:]
    assert [event.extra["unique_id"] for event in new] == ["model.corner.beside"]


def check_stopped(stage: Stage) -> None:
    """Let a test fail and fail fast, while another model waits for its job."""
    airflow = stage.airflow
    airflow.trigger("corner", "assets_stopped", {"broken": True, "slow_ms": 600_000, "fail_fast": True})
    end = airflow.wait_for_run("corner", "assets_stopped", 400)
    events = airflow.metadata.asset_events("corner", "assets_stopped")

    assert sorted(end.failed()) == [RESULTS, "items.test"], explain(stage, "corner", end)
    assert end.states()[TEARDOWN] == "success"
    assert {event.task_id for event in events} == {TEARDOWN}
    assert {"seed.corner.raw_items", "model.corner.items"} <= {event.extra["unique_id"] for event in events}
    assert "model.corner.slow" not in {event.extra["unique_id"] for event in events}
