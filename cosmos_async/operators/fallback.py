"""
Real dbt on a worker, for the nodes of a task that their trigger would not or could not execute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cosmos_async.compat import AirflowException
from cosmos_async.exceptions import ConfigError
from cosmos_async.operators.run_plan import RunPlan
from cosmos_async.operators.setup import airflow_context

if TYPE_CHECKING:
    from cosmos_async.operators.node import DbtNodeAsyncOperator


def run_real_dbt(operator: DbtNodeAsyncOperator, context: Any, event: dict[str, Any]) -> None:
    """
    Run the nodes that *event* names, one after the other, and leave their outcomes in the store.

    Args:
        operator: The task.
        context: Its context.
        event: The trigger's event: ``dbt`` lists ``unique_id`` and ``reason``, ``message`` is set where other nodes of
            the task have failed already.

    Raises:
        AirflowException: A node failed, here or in the triggerer.
        ConfigError: The task does not know how to run dbt.
    """
    if operator.dbt is None:
        raise ConfigError(
            f"task {operator.task_id} needs real dbt and does not know how to run it: give it "
            "setup=<the SetupAsyncOperator>, or dbt=<a DbtInvocation>."
        )
    from cosmos_async.dbt.fallback import run_node
    from cosmos_async.dbt.process import Processes
    from cosmos_async.dbt.session import open_dbt

    plan = RunPlan(context, setup_task_id=operator.setup_task_id, identity=operator.identity)
    run = plan.index().run
    processes = operator.processes = Processes(lambda line: operator.log.info("%s", line))
    failures = [event["message"]] if event.get("message") else []
    with open_dbt(
        operator.dbt.rendered(operator, context), processes, context=airflow_context(context)
    ) as dbt:
        for node in event["dbt"]:
            operator.log.info("Running %s in real dbt on this worker: %s", node["unique_id"], node["reason"])
            outcome = run_node(
                dbt,
                node["unique_id"],
                try_number=context["ti"].try_number,
                reason=node["reason"],
                run=run,
            )
            plan.write_outcomes([outcome])
            if outcome.status.failed:
                failures.append(f"{node['unique_id']}: {outcome.message}")
    if failures:
        raise AirflowException("\n".join(failures))
