"""
Which tasks of a DAG run follow which, as far as a triggerer may begin one without Airflow: read from the DAG by setup.

Airflow alone begins a task that waits for anything but tasks of the same dbt run, that has a trigger rule or an identity of
its own, or of which something has to run on a worker first.
"""

from __future__ import annotations

from typing import Any

from cosmos_async.operators.deferred import TriggererOperator
from cosmos_async.operators.node import DbtNodeAsyncOperator
from cosmos_async.operators.task_mapping import is_mapped_with
from cosmos_async.plan.task_graph import GraphTask, TaskGraph

#: Arguments of Airflow's that bind a task to other runs, or to how many of its instances there are.
_BOUND = (
    "depends_on_past",
    "wait_for_downstream",
    "max_active_tis_per_dag",
    "max_active_tis_per_dagrun",
)


def task_graph(setup: Any) -> TaskGraph:
    """
    Return the tasks that execute what *setup* plans.

    Args:
        setup: The setup task, in its DAG.
    """
    dag = setup.dag
    found: dict[str, GraphTask] = {}
    if getattr(dag, "fail_fast", False) or getattr(dag, "fail_stop", False):
        return TaskGraph(found)  # one failure ends tasks that have not begun
    mapped = is_mapped_with(setup, setup.task_id)
    known: dict[str, set[str] | None] = {}
    ours = {
        task.task_id: task
        for task in dag.tasks
        if isinstance(task, DbtNodeAsyncOperator)
        and task.setup_task_id == setup.task_id
        and is_mapped_with(task, setup.task_id) == mapped
    }
    for task_id, task in ours.items():
        # One that acts as somebody else neither begins by the others nor begins them: who begins a task submits its jobs.
        same = task.identity == setup.identity
        free = same and _begins_freely(task)
        above = _above(task, ours, dag, setup.task_id, known) if free else None
        found[task_id] = GraphTask(
            task.work,
            task.unique_id,
            None if above is None else tuple(sorted(above)),
            same and task.succeeds_in_triggerer,
        )
    return TaskGraph(found)


def _begins_freely(task: DbtNodeAsyncOperator) -> bool:
    own_trigger = task.trigger_classpath != DbtNodeAsyncOperator.trigger_classpath or any(
        getattr(type(task), name) is not getattr(known, name)
        for name, known in (("trigger_kwargs", DbtNodeAsyncOperator), ("_trigger", TriggererOperator))
    )
    bound = any(getattr(task, name, None) for name in _BOUND)
    return not (own_trigger or bound or task._own_entry()) and _waits_for_success(task)


def _waits_for_success(task: Any) -> bool:
    rule = task.trigger_rule
    return str(getattr(rule, "value", rule)) == "all_success"


def _above(
    task: Any, ours: dict[str, Any], dag: Any, setup_id: str, known: dict[str, set[str] | None]
) -> set[str] | None:
    """Return the tasks of the run that *task* waits for; None where it waits for others, too. *known* keeps answers."""
    found: set[str] = set()
    for task_id in task.upstream_task_ids:
        if task_id == setup_id:
            continue
        if task_id in ours:
            found.add(task_id)
            continue
        if task_id not in known:
            other = dag.get_task(task_id)
            known[task_id] = _above(other, ours, dag, setup_id, known) if _hands_on(other) else None
        further = known[task_id]
        if further is None:
            return None
        found |= further
    return found


def _hands_on(task: Any) -> bool:
    """Return whether Airflow passes by *task*, as it does by an empty one of which nothing is to be done."""
    if not getattr(task, "inherits_from_empty_operator", False):
        return False
    own = ("on_execute_callback", "on_success_callback", "outlets", "inlets", "_pre_execute_hook", *_BOUND)
    return _waits_for_success(task) and not any(getattr(task, name, None) for name in own)
