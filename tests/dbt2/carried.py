"""
Build a project on the bench for dbt 2 as cosmos-async does, without an Airflow: plan, carry out, make dbt's results.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.artifacts import RESULTS_FILE, recorded_artifacts
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.dbt.process import Processes
from cosmos_async.dbt.results import tell_results
from cosmos_async.dbt.session import Dbt, open_dbt
from cosmos_async.exceptions import DbtError
from cosmos_async.operators.setup import stored
from cosmos_async.plan.model import dump_index, load_index, load_node
from cosmos_async.plan.node_plans import unpack
from tests.dbt.carried import Carried, all_nodes
from tests.warehouse.dbt2 import DBT, Bench

Json = dict[str, Any]


def profile(name: str) -> str:
    """Return the text of a profile of this name, for the warehouse of a bench."""
    return f"""
{name}:
  target: dev
  outputs:
    dev:
      type: bigquery
      method: service-account
      keyfile: "{{{{ env_var('SHOP_KEY_FILE') }}}}"
      project: "{{{{ env_var('SHOP_PROJECT') }}}}"
      dataset: "{{{{ env_var('SHOP_DATASET') }}}}"
      location: US
"""


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


def carry_out(
    bench: Bench, project: Path, *, dataset: str, folder: Path, **options: Any
) -> tuple[Carried, DbtError | None]:
    """
    Build *project* into *dataset*, and return what has been left, and what the results task would fail with.

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
        artifacts = recorded_artifacts(dbt, planned.recording)
        objects, whole = stored(planned.plan)
        index = dump_index(whole)
        for name, data in objects.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        plans = {unique_id: load_node(data) for unique_id, data in unpack(whole, objects).items()}
        parents = {unique_id: node["depends_on"] for unique_id, node in planned.recording["nodes"].items()}
        order = [unique_id for unique_id in TopologicalSorter(parents).static_order() if unique_id in plans]
        carried.plans = {unique_id: plans[unique_id] for unique_id in order}
        asyncio.run(all_nodes(carried, dbt, bench.warehouse, folder, index, planned.plan.run))
        # Airflow would not have begun what stands on a node that failed.
        failed = {unique_id for unique_id, outcome in carried.outcomes.items() if outcome.status.failed}
        for unique_id in order:
            if failed.intersection(parents[unique_id]):
                failed.add(unique_id)
                carried.outcomes.pop(unique_id, None)
    told = tell_results(
        load_index(index),
        carried.outcomes,
        recorded=artifacts,
        compiled_code={},
        parsed=lambda: None,
        open_dbt=lambda: opened(bench, project, dataset, carried.log, **options),
        tell=carried.log.append,
    )
    results = json.loads(told.files[RESULTS_FILE])["results"]
    carried.results = {result["unique_id"]: result for result in results}
    return carried, told.failure
