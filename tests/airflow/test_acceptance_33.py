"""
The whole way on a real Airflow 3.3: the demo's DAG, a failing test, a killed task, a cleared model, Cosmos' guide.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.airflow.shop import explain
from tests.airflow.tasklog import worker_log_files

if TYPE_CHECKING:
    from tests.airflow.shop import ShopRuns
    from tests.airflow.stage import Stage

pytestmark = [pytest.mark.airflow, pytest.mark.warehouse]


def test_the_shop_runs_twice(shop_33: ShopRuns) -> None:
    """Every task of the demo's DAG succeeds, on the first day and, incrementally, on the second."""
    for end in shop_33.ends:
        assert end.state == "success", explain(shop_33.stage, "shop", end)
        assert set(end.states().values()) == {"success"}


def test_no_node_uses_a_worker(shop_33: ShopRuns) -> None:
    """Nodes begin and end in the triggerer: Airflow never had a worker process for one of them, nor a log of one."""
    logs = shop_33.stage.airflow.home / "logs"
    written = [
        file for task in shop_33.nodes() for file in worker_log_files(logs, "shop", "day-1", task.task_id)
    ]

    assert [task.task_id for task in shop_33.nodes() if task.operator.startswith("Dbt") and task.pid] == []
    assert sum(task.worker_seconds for task in shop_33.nodes()) == 0
    assert written == []


def test_a_model_s_log_says_what_dbt_says_and_names_its_job(shop_33: ShopRuns) -> None:
    """Who looks into the log finds the SQL, the job, the link to it and dbt's own message."""
    log = shop_33.log("orders.run")
    job_ids = [job["jobReference"]["jobId"] for job in shop_33.stage.jobs()]

    assert "model.shop.orders (models/marts/orders.sql)" in log
    assert "from `shop-project`.`shop`.`stg_orders` as orders" in log
    assert "CREATE TABLE (10.0 rows, " in log
    assert "console.cloud.google.com/bigquery" in log
    assert any(job_id in log for job_id in job_ids if job_id.startswith("cosmos_orders"))


def test_tasks_begin_ahead_of_airflow_and_their_logs_are_whole(shop_33: ShopRuns) -> None:
    """What was done before Airflow had started a task stands in that task's own log, with its end."""
    logs = [shop_33.log(task.task_id) for task in shop_33.nodes() if task.operator.startswith("Dbt")]
    ahead = [log for log in logs if "Begun as soon as the tasks above it had succeeded" in log]

    assert len(ahead) >= 3
    assert all("OK " in log or "PASS " in log or "WARN " in log or "INSERT" in log for log in ahead)


def test_a_warning_is_in_the_log_and_stops_nothing(shop_33: ShopRuns) -> None:
    """A test with severity warn says WARN and how many rows it found; its children run."""
    assert "WARN 1" in shop_33.log("stg_customers.test")


def test_the_second_run_is_incremental(shop_33: ShopRuns) -> None:
    """On the second day dbt's later-run statements are sent, and what they wrote is what the data says."""
    count = "select count(*) as n from `shop-project`.{}"

    assert "MERGE (7.0 rows" in shop_33.log("order_status.run", day=2)
    assert "SCRIPT" in shop_33.log("revenue_by_day.run", day=2)
    assert shop_33.stage.warehouse.query(count.format("shop_sales.order_events")) == [{"n": "17"}]
    assert shop_33.stage.warehouse.query(count.format("shop_history.customers_history")) == [{"n": "9"}]


def test_the_run_leaves_dbt_s_artifacts_and_nothing_else(shop_33: ShopRuns) -> None:
    """Teardown deletes the run's folder; run_results.json, the manifest and the outcomes stay, and a plan for the next run."""
    found = shop_33.stage.stored_names("dbt/shop/")
    kept = [name for name in found if "/~plans/" not in name]
    results = next(name for name in kept if name.endswith("day-1/run_results.json"))
    statuses = {
        each["unique_id"]: each["status"] for each in json.loads(shop_33.stage.stored(results))["results"]
    }

    assert len(found) - len(kept) <= 1
    assert [name for name in kept if "/~artifacts/" not in name] == []
    assert statuses["model.shop.orders"] == "success"
    assert statuses["test.shop.nobody_orders_for_a_fortune"] == "warn"
    assert {name.rsplit("/", 1)[1] for name in kept} == {
        "announcements.json",
        "compiled.json",
        "recorded_results.json",
        "index.json",
        "manifest.json",
        "outcomes.json",
        "run_files.json",
        "run_results.json",
        "target.zip",
    }


def test_a_failed_test_skips_its_children_only(stage_33: Stage) -> None:
    """As in dbt build: behind a failed test nothing is built, beside it everything is, and the run is red."""
    airflow = stage_33.airflow
    end = airflow.wait_for_run("corner", "broken")
    states = end.states()
    log = airflow.log("corner", "broken", "items.test")

    assert end.state == "failed"
    assert end.failed() == ["items.test"], explain(stage_33, "corner", end)
    assert states["totals.run"] == states["totals.test"] == "upstream_failed"
    assert states["beside_run"] == states["dbt_results_async"] == states["dbt_teardown_async"] == "success"
    assert "FAIL 2" in log
    assert "no_tea" in log


def test_a_failed_unit_test_keeps_its_model_from_being_built(stage_33: Stage) -> None:
    """It runs in the model's own task, first; dbt's words about it are in this task's log."""
    airflow = stage_33.airflow
    end = airflow.wait_for_run("ends", "bad_unit", 400)
    states = end.states()

    assert end.state == "failed"
    assert end.failed() == ["dbt.first.run"], explain(stage_33, "ends", end)
    assert states["dbt.first.test"] == states["dbt.second_run"] == states["after"] == "upstream_failed"
    assert states["dbt.dbt_results_async"] == states["dbt.dbt_done_async"] == "success"
    assert "actual differs from expected" in airflow.log("ends", "bad_unit", "dbt.first.run")
    # It stands as the run before built it, where nothing was wrong with the model.
    assert stage_33.warehouse.query("select id from `shop-project`.ends.first") == [{"id": "1"}]


def test_a_failed_end_of_the_run_fails_the_run_and_holds_back_what_comes_after(stage_33: Stage) -> None:
    """All nodes are well, but an on-run-end hook is not; the task that tells Airflow so never has a worker."""
    end = stage_33.airflow.wait_for_run("ends", "bad_end", 400)
    states = end.states()
    nodes = {task_id for task_id in states if task_id.startswith("dbt.") and "async" not in task_id}

    assert end.state == "failed"
    assert end.failed() == ["dbt.dbt_results_async"], explain(stage_33, "ends", end)
    assert {states[task_id] for task_id in nodes} == {"success"}
    assert states["dbt.dbt_done_async"] == states["after"] == "upstream_failed"
    assert states["dbt.dbt_teardown_async"] == "success"


def test_a_group_that_is_not_wanted_leaves_the_run_green(stage_33: Stage) -> None:
    """A ShortCircuitOperator above skips everything, what comes after the group included."""
    end = stage_33.airflow.wait_for_run("ends", "unwanted")
    states = end.states()

    assert end.state == "success"
    assert states.pop("wanted") == "success"
    assert set(states.values()) == {"skipped"}


def test_the_last_task_of_a_run_needs_no_worker(shop_33: ShopRuns) -> None:
    """The scheduler ends it by itself."""
    done = [task for end in shop_33.ends for task in end.tasks if task.task_id == "dbt_done_async"]

    assert {(task.state, task.pid) for task in done} == {("success", None)}


def test_killing_a_task_cancels_its_job(stage_33: Stage) -> None:
    """A task that is marked failed while BigQuery works on it takes its job along, and leaves no other running."""
    airflow = stage_33.airflow
    airflow.trigger("corner", "killed", {"slow_ms": 600_000})

    def running() -> list[str]:
        return [
            job["jobReference"]["jobId"]
            for job in stage_33.jobs()
            if job["status"]["state"] != "DONE" and job["jobReference"]["jobId"].startswith("cosmos_slow")
        ]

    (job_id,) = airflow.processes.wait_until("the slow job runs", running, 90)
    airflow.mark("corner", "killed", "slow_run", "failed")
    airflow.processes.wait_until("the job has ended", lambda: not running(), 30)
    job = next(job for job in stage_33.jobs() if job["jobReference"]["jobId"] == job_id)
    end = airflow.wait_for_run("corner", "killed")

    assert job["status"]["errorResult"]["reason"] == "stopped"
    assert end.failed() == ["slow_run"], explain(stage_33, "corner", end)
    assert job_id in airflow.log("corner", "killed", "slow_run")


def test_with_fail_fast_a_failed_test_stops_the_other_branches(stage_33: Stage) -> None:
    """What runs beside it is cancelled and skipped, and the run is red, whatever Airflow hears of first."""
    airflow = stage_33.airflow
    airflow.trigger("corner", "stopped", {"broken": True, "slow_ms": 600_000, "fail_fast": True})
    end = airflow.wait_for_run("corner", "stopped")
    states = end.states()
    jobs = [job for job in stage_33.jobs() if job["jobReference"]["jobId"].startswith("cosmos_slow")]
    kept = stage_33.stored_names("dbt/corner/")
    results = next(name for name in kept if name.endswith("stopped/run_results.json"))
    told = {each["unique_id"]: each for each in json.loads(stage_33.stored(results))["results"]}

    assert end.state == "failed"
    assert sorted(end.failed()) == ["dbt_results_async", "items.test"], explain(stage_33, "corner", end)
    assert states["slow_run"] == "skipped"
    assert states["dbt_done_async"] == "upstream_failed"
    assert states["dbt_teardown_async"] == "success"
    assert jobs[0]["status"]["errorResult"]["reason"] == "stopped"
    assert "items.test has failed. Skipped: model.corner.slow" in airflow.log("corner", "stopped", "slow_run")
    assert told["model.corner.slow"]["message"] == "Skipping due to fail_fast"
    assert "--fail-fast has stopped the run" in airflow.log("corner", "stopped", "dbt_results_async")


def test_clearing_one_model_after_the_teardown_runs_just_that_model_again(stage_33: Stage) -> None:
    """Its plan is gone with the teardown; Airflow clears the setup along, which plans it anew. Others stay untouched."""
    airflow = stage_33.airflow
    first = airflow.wait_for_run("corner", "cleared")
    assert first.state == "success", explain(stage_33, "corner", first)
    before = {job["jobReference"]["jobId"] for job in stage_33.jobs()}

    airflow.clear("corner", "cleared", ["items.run"])
    again = airflow.wait_for_run("corner", "cleared")
    tries = {task.task_id: task.try_number for task in again.tasks}
    new = {job["jobReference"]["jobId"] for job in stage_33.jobs()} - before

    assert again.state == "success", explain(stage_33, "corner", again)
    assert {task_id for task_id, number in tries.items() if number == 2} == {
        "items.run",
        "dbt_setup_async",
        "dbt_results_async",
        "dbt_teardown_async",
    }
    assert [job_id for job_id in new if job_id.startswith("cosmos_items_t2")] != []
    assert [job_id for job_id in new if job_id.startswith("cosmos_") and "items" not in job_id] == []


def test_a_model_that_is_cleared_without_its_setup_is_planned_alone(stage_33: Stage) -> None:
    """As Airflow 3.1 and 3.2 clear it: a worker plans it, the triggerer builds it, and no other task has begun."""
    airflow = stage_33.airflow
    first = airflow.wait_for_run("corner", "cleared")
    tries = {task.task_id: task.try_number for task in first.tasks}
    before = {job["jobReference"]["jobId"] for job in stage_33.jobs()}

    airflow.clear_alone("corner", "cleared", "items.run")
    again = airflow.wait_for_run("corner", "cleared")
    new = {job["jobReference"]["jobId"] for job in stage_33.jobs()} - before
    log = airflow.log("corner", "cleared", "items.run")

    assert again.state == "success", explain(stage_33, "corner", again)
    assert {task.task_id for task in again.tasks if task.try_number != tries[task.task_id]} == {"items.run"}
    assert [job_id for job_id in new if job_id.startswith("cosmos_items_t")] != []
    assert [job_id for job_id in new if job_id.startswith("cosmos_") and "items" not in job_id] == []
    assert "Planning model.corner.items as things are now: The plan of this run was deleted" in log
    assert "OK created sql table model corner.items" in log


def test_the_guide_s_dag_runs_with_its_imports_changed(stage_33: Stage) -> None:
    """The DAG of Cosmos' guide, dbt in an environment made from its requirements, full refresh and all."""
    airflow = stage_33.airflow
    end = airflow.wait_for_run("simple_dag_async", "guide", 240)

    assert end.state == "success", explain(stage_33, "simple_dag_async", end)
    assert set(end.states()) == {
        "dbt_setup_async",
        "items_run",
        "totals_run",
        "beside_run",
        "slow_run",
        "dbt_results_async",
        "dbt_teardown_async",
        "dbt_done_async",
    }


def test_a_run_in_which_nothing_has_changed_starts_no_dbt_to_plan(stage_33: Stage) -> None:
    """The first run makes the tables, the second is planned on them, and the third goes by the plan of the second."""
    airflow = stage_33.airflow
    airflow.wait_for_run("simple_dag_async", "guide", 400)
    for run_id in ("again", "unchanged"):
        airflow.trigger("simple_dag_async", run_id)
        end = airflow.wait_for_run("simple_dag_async", run_id, 400)
        assert end.state == "success", explain(stage_33, "simple_dag_async", end)
    log = airflow.log("simple_dag_async", "unchanged", "dbt_setup_async")

    assert "The plan of run again is used again, as nothing that it is made of has changed" in log
    assert "Running with dbt" not in log
    assert set(end.states().values()) == {"success"}


def test_tasks_written_by_hand_and_a_late_plan_where_a_model_needs_it(stage_33: Stage) -> None:
    """
    A plain DAG runs without DbtDag: a user's own execute() is called on a worker before the triggerer takes over, and
    a model that cannot be planned before the run is planned by a worker at its turn, and executed in the triggerer.
    """
    airflow = stage_33.airflow
    end = airflow.wait_for_run("handmade", "one", 240)
    pids = {task.task_id: task.pid for task in end.tasks}
    methods = airflow.log("handmade", "one", "methods")

    assert end.state == "success", explain(stage_33, "handmade", end)
    assert pids["payments_seed"] is None
    assert pids["payments"]
    assert "somebody wants to know that model.kitchen.stg_payments is next" in airflow.log(
        "handmade", "one", "payments"
    )
    # Airflow 3.3 writes the log of a task's second trigger over that of its first, so the worker says it, too.
    assert "Planning model.kitchen.payment_methods as things are now: Its SQL depends on" in methods
    assert "OK created sql table model handmade_marts.payment_methods" in methods
    assert "submitted BigQuery job" in methods
    count = "select count(*) as n from `shop-project`.handmade_marts.payment_methods"
    assert stage_33.warehouse.query(count) == [{"n": "4"}]
