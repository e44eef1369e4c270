"""
Lineage of a task that ends on a worker, where OpenLineage's provider asks its operator for what it has done to tables.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cosmos_async.operators.run_plan import COMPILED_FILE, RunPlan
from cosmos_async.plan.lineage import NO_TABLES, Lineage, Tables
from cosmos_async.triggers.google.blocking import run_until_complete

if TYPE_CHECKING:
    from cosmos_async.operators.worker import NodeTask
    from cosmos_async.plan.model import Index
    from cosmos_async.plan.outcome import Outcome


def tables_of_task(operator: NodeTask, instance: Any) -> Tables:
    """
    Return what a task has done to tables, nothing where setup has written nothing of lineage.

    Args:
        operator: The task.
        instance: Its task instance.
    """
    from cosmos_async.triggers.execution.task_nodes import nodes_of

    plan = RunPlan(operator, instance.get_template_context())
    lineage = plan.lineage()
    if lineage is None:
        return NO_TABLES
    index, compiled = plan.index(), json.loads(plan.artifact(COMPILED_FILE))
    chosen = {one for group in nodes_of(index, operator.work, operator.unique_id) for one in group}
    outcomes = [
        replace(outcome, compiled_code=outcome.compiled_code or compiled.get(unique_id))
        for unique_id, outcome in plan.outcomes(index.run).items()
        if unique_id in chosen
    ]
    return run_until_complete(_tables(operator.identity, lineage, index, outcomes))


async def _tables(identity: Any, lineage: Lineage, index: Index, outcomes: list[Outcome]) -> Tables:
    from cosmos_async.triggers.execution.lineage import OpenLineage, tables_of
    from cosmos_async.triggers.google.session import shared_session
    from cosmos_async.triggers.jobs.warehouse import warehouse_of

    async with shared_session(identity) as session:
        bigquery = warehouse_of(session, index.run.endpoint).bigquery
        return await tables_of(lineage, outcomes, (), index, OpenLineage(), session, bigquery)
