"""
Runs of one name: each has jobs of its own, and ends none of the other's.

A run that is deleted and made again, and the same run in a second Airflow that uses the same billing project and, by
mistake, even the same place for plans.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from tests.airflow.harness import ROOT, Airflow, start_airflow
from tests.chaos.plans import Node, quick_and_slow
from tests.chaos.world import World

DAG = "owned"
QUICK, SLOW = quick_and_slow()
SOON = 300.0  # seconds; two Airflows are a lot for a small machine


def jobs_of(world: World, node: Node, mark: str) -> list[dict[str, Any]]:
    """Return a node's jobs whose SQL has this mark, oldest first."""
    return [
        job
        for job in world.report()["jobs"]
        if f"/* node:{node.name} " in job["sql"] and f"/* mark:{mark} */" in job["sql"]
    ]


def is_made_again(world: World, run_id: str) -> str:
    """Delete a run and make it again with other vars; return what is wrong, nothing where all is well."""
    return _begin_and_delete(world, run_id, "day-1") or _begin_and_delete(world, run_id, "day-2")


def _begin_and_delete(world: World, run_id: str, day: str) -> str:
    world.wait("the run is accepted", lambda: world.trigger(DAG, run_id, mark=day) or True, 60)
    world.wait(
        "the quick task has ended",
        lambda: world.tasks(DAG, run_id).get(QUICK.name, {}).get("state") in ("success", "failed"),
        120,
    )
    state = world.tasks(DAG, run_id)[QUICK.name]["state"]
    made = [job["error"] for job in jobs_of(world, QUICK, day)]
    if (state, made) != ("success", [None]):
        return f"{day}: the task is {state}, its own jobs ended with {made}"
    world.wait("the slow job runs", lambda: jobs_of(world, SLOW, day), 60)
    # Airflow 3 deletes only what has ended.
    world.wait("the run is stopped", lambda: world.mark_run(DAG, run_id, "failed") or True, 60)
    world.wait("its jobs have ended", lambda: not world.running(), 60)
    world.wait("the run is deleted", lambda: world.delete_run(DAG, run_id) or True, 60)
    return ""


def has_a_twin(world: World, run_id: str) -> str:
    """Run the same in a second Airflow at the same time; return what is wrong, nothing where all is well."""
    shared = {
        name: value
        for name, value in world.env.items()
        if name.startswith(("AIRFLOW__COSMOS_ASYNC__", "AIRFLOW_CONN_", "CHAOS_"))
    }
    with start_airflow(
        Path(sys.executable),
        world.folder.parent / "staging",
        ROOT / "tests/chaos/dags",
        env=shared,
        say=world.say,
    ) as staging:
        staging.wait_for_dag(DAG, SOON)
        try:
            wrong = _play_twins(world, staging, run_id)
        finally:
            # What is not ended here would run on into what comes next.
            assert staging.rest is not None  # Airflow 3 has one
            staging.rest.patch(f"dags/{DAG}/dagRuns/{run_id}", {"state": "failed"})
            world.mark_run(DAG, run_id, "failed")
            world.wait("all jobs have ended", lambda: not world.running(), SOON)
    return wrong


def _play_twins(world: World, staging: Airflow, run_id: str) -> str:
    world.wait("the run is accepted", lambda: world.trigger(DAG, run_id, mark="production") or True, 60)
    staging.trigger(DAG, run_id, {"mark": "staging"})
    for node in (QUICK, SLOW):
        for mark in ("production", "staging"):
            what = f"{mark}: {node.name} has a job"
            world.wait(what, partial(jobs_of, world, node, mark), SOON)
    staging.clear(DAG, run_id, [SLOW.name])
    world.wait("the new try has a job", lambda: len(jobs_of(world, SLOW, "staging")) == 2, SOON)
    return _wrong_with_twins(world)


def _wrong_with_twins(world: World) -> str:
    theirs = [job["error"] for job in jobs_of(world, SLOW, "staging")]
    ours = [(job["state"], job["error"]) for job in jobs_of(world, SLOW, "production")]
    quick = {
        mark: [job["error"] for job in jobs_of(world, QUICK, mark)] for mark in ("production", "staging")
    }
    if theirs != ["stopped", None]:
        return f"the cleared task's jobs in the second Airflow ended with {theirs}"
    if ours != [("RUNNING", None)]:
        return f"the first Airflow's job: {ours}"
    # Only the slow one was cleared.
    return "" if quick == {"production": [None], "staging": [None]} else f"the quick jobs: {quick}"
