"""
The DAGs of the chaos suite: one of many nodes, and small ones for each way a task can end.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from cosmos_async import ProfileConfig, ProjectConfig
from cosmos_async.operators import DbtRunAsyncOperator, DbtTestAsyncOperator
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping
from tests.chaos.operators import MadeUpSetup
from tests.chaos.plans import Node, many_slow_nodes, project, quick_and_slow, slow_node

ENDINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ending": ({}, {}),
    "ending_dagrun_timeout": ({"dagrun_timeout": timedelta(seconds=25)}, {}),
    "ending_execution_timeout": ({}, {"execution_timeout": timedelta(seconds=25)}),
}


def setup_of(nodes: list[Node]) -> MadeUpSetup:
    """Return the setup task of a DAG."""
    mapping = GoogleCloudServiceAccountDictProfileMapping(
        conn_id="google_cloud", profile_args={"dataset": "chaos", "project": "p"}
    )
    return MadeUpSetup(
        task_id="plan",
        nodes=nodes,
        project_config=ProjectConfig(Path(__file__).parent),
        profile_config=ProfileConfig("chaos", "prod", profile_mapping=mapping),
        retries=5,
        retry_delay=timedelta(seconds=1),
    )


def task_of(node: Node, setup: MadeUpSetup, **arguments: Any) -> Any:
    """Return the task of a node."""
    if node.kind == "test":
        return DbtTestAsyncOperator(
            task_id=node.name, unique_id=node.unique_id, work="node", setup=setup, **arguments
        )
    return DbtRunAsyncOperator(task_id=node.name, unique_id=node.unique_id, setup=setup, **arguments)


COMMON: dict[str, Any] = {"schedule": None, "start_date": datetime(2026, 1, 1), "catchup": False}

with DAG("chaos", max_active_runs=1, **COMMON):
    nodes = project(int(os.environ["CHAOS_NODES"]))
    plan = setup_of(nodes)
    tasks = {node.name: task_of(node, plan) for node in nodes}
    for node in nodes:
        for parent in node.parents:
            tasks[parent] >> tasks[node.name]
        if not node.parents:
            plan.as_setup() >> tasks[node.name]

with DAG("ending_takeover", **COMMON):
    shared = setup_of(many_slow_nodes())
    shared.as_setup() >> [task_of(node, shared) for node in many_slow_nodes()]

with DAG("owned", max_active_runs=4, **COMMON):
    owned = setup_of(list(quick_and_slow()))
    owned.as_setup() >> [task_of(node, owned) for node in quick_and_slow()]

for dag_id, (of_dag, of_task) in ENDINGS.items():
    with DAG(dag_id, max_active_runs=16, **of_dag, **COMMON) as dag:
        one = setup_of([slow_node(), Node("lasting", "table", (), (40,))])
        one.as_setup() >> [
            task_of(slow_node(), one, **of_task),
            task_of(Node("lasting", "table", (), (40,)), one),
        ]
    globals()[dag_id] = dag
