"""
Setup without dbt: the plan is made up, and written exactly as setup writes one.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from cosmos_async import settings
from cosmos_async.dbt.planner.planner import Plan
from cosmos_async.operators import SetupAsyncOperator
from cosmos_async.operators.setup import stored
from cosmos_async.operators.task_graph import task_graph
from cosmos_async.plan.model import RunInfo, dump_index
from cosmos_async.plan.store import ADDRESS_KEY, graph_object
from cosmos_async.triggers.storage.documents import upload_plan
from tests.chaos.plans import Node, plan_of, prelude


class MadeUpSetup(SetupAsyncOperator):
    """
    Upload the plan of *nodes*.

    Args:
        nodes: What is in the project.
        kwargs: Those of the real one.
    """

    def __init__(self, *, nodes: list[Node], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nodes = nodes

    def execute(self, context: Any) -> None:
        """Plan and upload, and leave the address."""
        instance = context["ti"]
        folder, first = self.run_folder(context), instance.try_number <= 1
        conf = context["dag_run"].conf or {}
        graph = task_graph(self).dump() if conf.get("ahead") else None
        run = RunInfo(
            dag_id=instance.dag_id,
            run_id=instance.run_id,
            created_at=datetime.now(timezone.utc).isoformat(),
            host=socket.gethostname(),
            project_name="chaos",
            target_name="prod",
            invocation_id=f"{instance.run_id}-{instance.try_number}",
            dbt_version="1.11.16",
            adapter_version="1.12.1",
            package_version="0",
            nonce=self.planned_run(folder, first=first),
            ahead=bool(conf.get("ahead")),
            planned_anew=not first,
            tasks=None if graph is None else hashlib.sha256(graph).hexdigest(),
        )
        mark = conf.get("mark", "")
        plans = {node.unique_id: plan_of(replace(node, mark=mark)) for node in self.nodes}
        plan = Plan(run=run, nodes=plans, owners={}, prelude=prelude(), uploads={})
        objects, index = stored(plan)
        if graph is not None and run.tasks is not None:
            objects[graph_object(run.tasks)] = graph
        address = asyncio.run(
            upload_plan(
                folder,
                objects=objects,
                index=dump_index(index),
                identity=self.identity,
                conn_id=settings.remote_target_path_conn_id(),
            )
        )
        instance.xcom_push(key=ADDRESS_KEY, value=address.to_json())
