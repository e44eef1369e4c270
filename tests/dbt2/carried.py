"""
Build a project on the bench for dbt 2 as cosmos-async does, without an Airflow: plan, carry out, make dbt's results.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.artifacts import MANIFEST_FILE, RECORDED_FILE, recorded_artifacts
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.dbt.process import Processes
from cosmos_async.dbt.session import Dbt, open_dbt
from cosmos_async.dbt_rules.program_artifacts import program_results
from cosmos_async.operators.setup import stored
from cosmos_async.plan.model import dump_index, load_node
from tests.dbt.carried import Carried, all_nodes
from tests.warehouse.dbt2 import DBT, Bench
from tests.warehouse.dbt2.projects import copy_for_dbt_2

Json = dict[str, Any]


def copied(source: Path, target: Path) -> Path:
    """Copy a project for dbt 2, without its on-run-end hooks, which setup refuses."""
    project = copy_for_dbt_2(source, target)
    file = project / "dbt_project.yml"
    document = yaml.safe_load(file.read_text())
    document.pop("on-run-end", None)
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return project


@contextmanager
def opened(bench: Bench, project: Path, dataset: str, log: list[str], **options: Any) -> Iterator[Dbt]:
    """Open dbt 2 for *project* on the bench, as a task does."""
    named = {"KITCHEN_DATASET": dataset, "SHOP_DATASET": dataset}
    invocation = DbtInvocation(
        ProjectConfig(project, env_vars={**bench.environment, **named}),
        ProfileConfig(project.name, "dev", profiles_yml_filepath=project / "profiles.yml"),
        ExecutionConfig(dbt_executable_path=DBT),
        **options,
    )
    with open_dbt(invocation, Processes(log.append), endpoint=bench.warehouse.endpoint) as dbt:
        yield dbt


def carry_out(bench: Bench, project: Path, *, dataset: str, folder: Path, **options: Any) -> Carried:
    """
    Build *project* into *dataset*.

    Args:
        bench: With the warehouse.
        project: Its folder, a copy for dbt 2; the profile is called like it.
        dataset: The target's dataset.
        folder: An empty one.
        options: Of the invocation.
    """
    carried = Carried()
    folder.mkdir(parents=True)
    with opened(bench, project, dataset, carried.log, **options) as dbt:
        planned = record_plan(dbt, dag_id=dataset, run_id=folder.name)
        artifacts = recorded_artifacts(dbt)
        objects, whole = stored(planned.plan)
        index = dump_index(whole)
        for name, data in objects.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        nodes = [load_node(data) for name, data in objects.items() if name.startswith("plan/nodes/")]
        plans = {plan.unique_id: plan for plan in nodes}
        parents = {unique_id: node["depends_on"] for unique_id, node in planned.recording["nodes"].items()}
        order = [unique_id for unique_id in TopologicalSorter(parents).static_order() if unique_id in plans]
        carried.plans = {unique_id: plans[unique_id] for unique_id in order}
        asyncio.run(all_nodes(carried, dbt, bench.warehouse, folder, index, planned.plan.run))
    results = program_results(
        json.loads(artifacts[RECORDED_FILE]),
        json.loads(artifacts[MANIFEST_FILE]),
        plans,
        carried.outcomes,
        planned.plan.run,
        now=datetime.now(timezone.utc),
    )
    carried.results = {result["unique_id"]: result for result in results["results"]}
    return carried
