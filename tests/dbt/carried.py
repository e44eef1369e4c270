"""
Build a project on the semantic bench as cosmos-async does, without an Airflow: plan, carry out, write dbt's results.

Every node goes through the executor of the trigger, in the order in which dbt built them while it was recorded; what has
to be run by real dbt is run by it; the artifacts are dbt's own.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.dbt.process import Processes
from cosmos_async.dbt.results import write_results
from cosmos_async.dbt.run_node import run_node
from cosmos_async.dbt.session import Dbt, open_dbt
from cosmos_async.operators.setup import stored
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import NodePlan, Step, dump_index, load_index, load_node
from cosmos_async.plan.node_plans import unpack
from cosmos_async.plan.outcome import Outcome, load_outcome
from cosmos_async.plan.store import new_nonce, outcome_object
from cosmos_async.triggers.execution.executor import execute, execute_prelude
from cosmos_async.triggers.google.session import shared_session
from cosmos_async.triggers.jobs.context import Finished, Run
from cosmos_async.triggers.jobs.warehouse import warehouse_of
from cosmos_async.triggers.storage.folders import LocalFolder
from tests.forked_dbt import forked_dbt
from tests.warehouse.fixture import Warehouse

Json = dict[str, Any]


@dataclass
class Carried:
    """What a build of ours left."""

    plans: dict[str, NodePlan] = field(default_factory=dict)
    prelude: tuple[Step, ...] = ()
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    by_dbt: dict[str, str] = field(default_factory=dict)  #: why real dbt ran a node
    results: dict[str, Json] = field(default_factory=dict)  #: run_results.json, by unique id
    log: list[str] = field(default_factory=list)

    def plan(self, name: str) -> NodePlan:
        """Return a node's plan by its name."""
        return next(plan for plan in self.plans.values() if plan.name == name)

    @property
    def states(self) -> dict[str, tuple[str, str | None]]:
        """Status and message of each node in ``run_results.json``."""
        return {unique_id: (each["status"], each["message"]) for unique_id, each in self.results.items()}


@contextmanager
def opened(
    warehouse: Warehouse, project: Path, dataset: str, version: str, log: list[str], **options: Any
) -> Iterator[Dbt]:
    """Open dbt for *project* on the bench."""
    execution = ExecutionConfig(dbt_executable_path=forked_dbt(version))
    environment = {**warehouse.dbt_environment, "KITCHEN_DATASET": dataset}
    invocation = DbtInvocation(
        project_config=ProjectConfig(project, env_vars=environment),
        profile_config=ProfileConfig(
            profile_name=project.name,
            target_name="dev",
            profiles_yml_filepath=project / "profiles.yml",
        ),
        execution_config=execution,
        **options,
    )
    with open_dbt(invocation, Processes(log.append), endpoint=warehouse.endpoint) as dbt:
        yield dbt


def carry_out(
    warehouse: Warehouse,
    project: Path,
    *,
    dataset: str,
    version: str,
    folder: Path,
    between: Callable[[], None] | None = None,
    **options: Any,
) -> Carried:
    """
    Build *project* into *dataset*.

    Args:
        warehouse: The bench.
        project: Its folder; the profile is called like it.
        dataset: The target's dataset.
        version: Of dbt.
        folder: An empty one.
        between: What happens to the warehouse after the plan was made.
        options: Of the invocation.
    """
    carried = Carried()
    folder.mkdir(parents=True, exist_ok=True)
    with opened(warehouse, project, dataset, version, carried.log, **options) as dbt:
        planned = record_plan(dbt, dag_id=dataset, run_id=folder.name)
        objects, whole = stored(planned.plan)
        index = dump_index(whole)
        for name, data in objects.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        # As the trigger sees them: from the store.
        loaded = {unique_id: load_node(data) for unique_id, data in unpack(whole, objects).items()}
        order = [unique_id for unique_id in planned.recording["nodes"] if unique_id in loaded]
        carried.plans = {unique_id: loaded[unique_id] for unique_id in order}
        if between is not None:
            between()
        asyncio.run(all_nodes(carried, dbt, warehouse, folder, index, planned.plan.run))
        written = write_results(
            dbt,
            carried.outcomes.values(),
            run=planned.plan.run,
            planned=carried.plans,
            compiled_code={unique_id: plan.compiled_code or "" for unique_id, plan in loaded.items()},
            parsed=None if planned.plan.parsed is None else planned.plan.parsed.read_bytes(),
        )
        results = json.loads(written.run_results.read_text())["results"]
    carried.results = {result["unique_id"]: result for result in results}
    return carried


async def all_nodes(
    carried: Carried, dbt: Dbt, warehouse: Warehouse, folder: Path, index: bytes, info: Any
) -> None:
    """Carry out the plans of *carried*, which lie in *folder*; what they leave to real dbt is run by it."""
    async with shared_session(identity(warehouse, folder)) as session:
        run = Run(
            key=TaskKey(info.dag_id, folder.name, "t", -1, 1, nonce=new_nonce()),
            index=hashlib.sha256(index).hexdigest(),
            warehouse=warehouse_of(session, warehouse.endpoint),
            folder=LocalFolder(str(folder)),
            log=_Log(carried.log),
        )
        loaded = load_index(index)
        carried.prelude = loaded.prelude
        await execute_prelude(loaded.prelude, run, loaded.hooks)
        for hook in loaded.hooks:
            carried.outcomes[hook.unique_id] = load_outcome(
                await run.folder.read(outcome_object(hook.unique_id))
            )
        for unique_id, plan in carried.plans.items():
            end = await execute(plan, run)
            if isinstance(end, Finished):
                carried.outcomes[unique_id] = end.outcome
                continue
            carried.by_dbt[unique_id] = end.reason
            carried.outcomes[unique_id] = await asyncio.to_thread(
                run_node, dbt, unique_id, try_number=1, reason=end.reason, run=info
            )


def identity(warehouse: Warehouse, folder: Path) -> Json:
    """Return an identity that the bench accepts; its file is written into *folder*."""
    output = {
        "type": "bigquery",
        "method": "service-account-json",
        "project": warehouse.project,
        "dataset": "any",
        "keyfile_json": {**warehouse.key, "token_uri": warehouse.token_uri},
    }
    path = folder / "identity.yml"
    path.write_text(json.dumps({"bench": {"outputs": {"dev": output}}}))  # JSON is YAML, too
    os.chmod(path, 0o600)
    return {"profiles_yml": str(path), "profile": "bench", "target": "dev"}


class _Log:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def info(self, message: str) -> None:
        self._lines.append(message)

    warning = error = info
