"""
Runs of the demo's DAG, for tests to look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.airflow.harness import RunEnd
from tests.airflow.metadata import TaskState
from tests.airflow.stage import Stage

DAG_ID = "shop"
#: Tasks that belong to the run rather than to a node.
ABOUT_THE_RUN = frozenset({"dbt_setup_async", "dbt_results_async", "dbt_teardown_async", "dbt_done_async"})


@dataclass(frozen=True)
class ShopRuns:
    """The runs of the demo's DAG."""

    stage: Stage
    ends: tuple[RunEnd, ...]

    def nodes(self) -> list[TaskState]:
        """Return the tasks of dbt's nodes, of all runs."""
        return [task for end in self.ends for task in end.tasks if task.task_id not in ABOUT_THE_RUN]

    def log(self, task_id: str, day: int = 1) -> str:
        """Return a task's log."""
        return self.stage.airflow.log(DAG_ID, f"day-{day}", task_id)


def run_shop(stage: Stage, days: Sequence[int]) -> ShopRuns:
    """Run the demo's DAG once per day, one after another."""
    stage.airflow.wait_for_dag(DAG_ID)
    ends = []
    for day in days:
        run_id = stage.airflow.trigger(DAG_ID, f"day-{day}", {"day": day})
        ends.append(stage.airflow.wait_for_run(DAG_ID, run_id, 400))
    return ShopRuns(stage, tuple(ends))


def begin_corners(stage: Stage) -> None:
    """Start the runs of the other DAGs, so that they go on beside the shop's."""
    stage.airflow.wait_for_dag("corner")
    # Before it is there, the environment for its dbt is made.
    stage.airflow.wait_for_dag("simple_dag_async", 300)
    # Whoever follows Cosmos' guide has loaded the seeds before.
    stage.warehouse.query("create schema guide options (location = 'US')")
    stage.warehouse.query("create table guide.raw_items as select 1 as item_id, 'tea' as kind, 4 as amount")
    stage.airflow.trigger("simple_dag_async", "guide")
    stage.airflow.wait_for_dag("handmade")
    stage.airflow.trigger("handmade", "one")
    stage.airflow.trigger("corner", "cleared")
    stage.airflow.trigger("corner", "broken", {"broken": True})
    stage.airflow.wait_for_dag("ends")
    stage.airflow.trigger("ends", "unwanted", {"wanted": False})
    stage.airflow.trigger("ends", "bad_end", {"bad_end": True})
    stage.airflow.trigger("ends", "bad_unit", {"bad_unit": True})


def explain(stage: Stage, dag_id: str, end: RunEnd) -> str:
    """Return the ends of the failed tasks' logs, for an assertion's message."""
    parts = [f"{dag_id} {end.run_id}: {end.state}"]
    for task_id in end.failed():
        lines = stage.airflow.log(dag_id, end.run_id, task_id).splitlines()
        parts.append(f"--- {task_id}\n" + "\n".join(lines[-40:]))
    return "\n".join(parts)
