"""
Lineage of a run, as far as it is known before the run: written by setup, so that triggers can send OpenLineage's events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cosmos_async.airflow import openlineage
from cosmos_async.dbt.artifacts import MANIFEST_FILE
from cosmos_async.operators.node import DbtNodeAsyncOperator
from cosmos_async.plan.lineage import (
    LINEAGE_FILE,
    Lineage,
    NodeLineage,
    RunLineage,
    TaskLineage,
    dump_lineage,
)
from cosmos_async.plan.store import artifact_object

if TYPE_CHECKING:
    from cosmos_async.operators.setup import SetupAsyncOperator

Json = dict[str, Any]


def lineage_objects(
    setup: SetupAsyncOperator, context: Any, objects: Mapping[str, bytes]
) -> dict[str, bytes]:
    """
    Return the object that tells triggers of lineage; none where OpenLineage is not active, or cannot be asked.

    Args:
        setup: The setup task.
        context: Its context.
        objects: What is stored of the run's plan, dbt's manifest among it.
    """
    try:
        if not openlineage.is_active():
            return {}
        manifest = objects.get(artifact_object(MANIFEST_FILE))
        document = Lineage(
            RunLineage(**openlineage.of_run(context)),
            {
                task.task_id: _task(context, task)
                for task in setup.dag.tasks
                if isinstance(task, DbtNodeAsyncOperator) and task.setup_task_id == setup.task_id
            },
            {} if manifest is None else nodes_of(json.loads(manifest)),
        )
        return {artifact_object(LINEAGE_FILE): dump_lineage(document)}
    except Exception:
        # Whatever another package raises: a run does not fail for lineage.
        setup.log.warning(
            "OpenLineage's provider (%s) does not tell what its events are made of, so the tasks of this run end on workers, "
            "where it sends them itself. AIRFLOW__OPENLINEAGE__DISABLED=True does without.",
            openlineage.installed_version(),
            exc_info=True,
        )
        return {}


def _task(context: Any, task: DbtNodeAsyncOperator) -> TaskLineage | None:
    found = openlineage.of_task(context, task)
    return None if found is None else TaskLineage(**found)


def nodes_of(manifest: Json) -> dict[str, NodeLineage]:
    """Return what dbt's ``manifest.json`` tells of all nodes and sources."""
    every = {**manifest.get("sources", {}), **manifest.get("nodes", {}), **manifest.get("unit_tests", {})}
    return {unique_id: _node(node) for unique_id, node in every.items()}


def _node(node: Json) -> NodeLineage:
    relation = node.get("relation_name")
    is_test = node["resource_type"] == "test"
    # A test has a relation where it stores its failures.
    return NodeLineage(
        parents=tuple((node.get("depends_on") or {}).get("nodes") or ()),
        relation=None if relation is None or is_test else relation.replace("`", ""),
        description=node.get("description") or None,
        columns={
            name: (column.get("data_type"), column.get("description") or None)
            for name, column in (node.get("columns") or {}).items()
        },
        test=_test(node) if is_test else None,
    )


def _test(node: Json) -> tuple[str, str | None]:
    generic = node.get("test_metadata") or {}
    column = (generic.get("kwargs") or {}).get("column_name") or node.get("column_name")
    return generic.get("name") or node["name"], column
