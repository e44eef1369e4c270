"""
The steps of a run before its nodes: the datasets that it creates, and its on-run-start hooks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cosmos_async.dbt.planner.guards import READS, subject_of
from cosmos_async.dbt.planner.operations import NotStatic, shared_job, sql_of
from cosmos_async.dbt.planner.steps import NATIVE, Steps
from cosmos_async.plan.model import CallOperation, JobOperation, Json, NativeOperation, Step


def create_schemas(events: Iterable[Json]) -> dict[str, tuple[Step, ...]]:
    """
    Return the steps that create each dataset a run lacks, by ``project.dataset``.

    Raises:
        NotStatic: The run writes something else before its nodes.
    """
    found: dict[str, list[Step]] = {}
    for event in events:
        if event["event"] in READS:
            continue
        dataset = event.get("dataset")
        if dataset is None or event["event"] != "job":
            raise NotStatic(
                f"it sends {event.get('method') or subject_of(sql_of(event))} and belongs to no node."
            )
        steps = found.setdefault(dataset, [])
        name = f"create_schema:{dataset}" + (f".{len(steps)}" if steps else "")
        steps.append(shared_job(event, "create schema", name))
    return {dataset: tuple(steps) for dataset, steps in found.items()}


def hook_steps(recording: Json, unique_id: str, name: str) -> list[Step]:
    """
    Return the steps of an on-run-start hook.

    Args:
        recording: The whole recording.
        unique_id: The hook's.
        name: What its jobs are called, as all tasks of the run share them.

    Raises:
        NotStatic: The hook does what cannot be done once for all tasks.
    """
    hook: Json = {
        "unique_id": unique_id,
        "relation": None,
        "resource_type": "operation",
        "main_job": None,
        "depends_on": [],
    }
    found: list[Step] = []
    events = recording["events"].get(unique_id, [])
    # Which datasets there are is asked when a run begins, by dbt itself as by hooks: that is now.
    own = [event for event in events if event["event"] != "dataset"]
    for step in Steps(recording, hook, {}, own=own).body():
        if isinstance(step, JobOperation):
            step = replace(step, purpose="on-run-start", shared=f"{name}.{len(found)}")
        elif isinstance(step, CallOperation):
            raise NotStatic(f"It sends {step.method} {step.path}.")
        elif isinstance(step, NativeOperation):
            raise NotStatic(f"It {NATIVE[step.kind.value]}.")
        found.append(step)
    return found
