"""
Arguments of Airflow's ``BaseOperator``: which tasks of a run get which of them.

The list is explicit and has those of all supported versions, so that a new one is decided about.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any

from cosmos_async.airflow.compat import STARTS_IN_TRIGGERER, BaseOperator
from cosmos_async.exceptions import ConfigWarning


class Scope(str, Enum):
    """The tasks that get an argument of Airflow's."""

    EVERY = "every task"  #: those of nodes and tests; setup, results and teardown
    NODES = "nodes and tests"  #: what it means is about the work, or would be wrong around it
    SETUP = "setup"  #: what it means is about what lies before the run's first task
    NOBODY = "refused"  #: the DAG's own decision


#: Every argument of Airflow's ``BaseOperator``, of all supported versions.
AIRFLOW = {
    "allow_nested_operators": Scope.EVERY,
    "dag": Scope.NOBODY,
    "default_args": Scope.EVERY,
    # On the tasks around the nodes, a run whose predecessor's hook has failed would wait for ever, and end never.
    "depends_on_past": Scope.NODES,
    "do_xcom_push": Scope.EVERY,
    "doc": Scope.EVERY,
    "doc_json": Scope.EVERY,
    "doc_md": Scope.EVERY,
    "doc_rst": Scope.EVERY,
    "doc_yaml": Scope.EVERY,
    "email": Scope.EVERY,
    "email_on_failure": Scope.EVERY,
    "email_on_retry": Scope.EVERY,
    "end_date": Scope.EVERY,
    "execution_timeout": Scope.EVERY,
    "executor": Scope.EVERY,
    "executor_config": Scope.EVERY,
    "ignore_first_depends_on_past": Scope.NODES,
    # Setup would announce the author's asset before anything is built, teardown where nothing was.
    "inlets": Scope.NODES,
    "logger_name": Scope.EVERY,
    "map_index_template": Scope.EVERY,
    "max_active_tis_per_dag": Scope.EVERY,
    "max_active_tis_per_dagrun": Scope.EVERY,
    "max_retry_delay": Scope.EVERY,
    "multiple_outputs": Scope.EVERY,
    "on_execute_callback": Scope.EVERY,
    "on_failure_callback": Scope.EVERY,
    "on_retry_callback": Scope.EVERY,
    "on_skipped_callback": Scope.EVERY,
    "on_success_callback": Scope.EVERY,
    "outlets": Scope.NODES,
    "owner": Scope.EVERY,
    "params": Scope.EVERY,
    "pool": Scope.EVERY,
    "pool_slots": Scope.EVERY,
    "post_execute": Scope.EVERY,
    "pre_execute": Scope.EVERY,
    "priority_weight": Scope.EVERY,
    "queue": Scope.EVERY,
    "render_template_as_native_obj": Scope.EVERY,
    "resources": Scope.EVERY,
    "retries": Scope.EVERY,
    "retry_delay": Scope.EVERY,
    "retry_exponential_backoff": Scope.EVERY,
    "retry_policy": Scope.EVERY,
    "run_as_user": Scope.EVERY,
    "sla": Scope.EVERY,
    "start_date": Scope.EVERY,
    "task_concurrency": Scope.EVERY,
    "task_display_name": Scope.NODES,
    "task_group": Scope.NOBODY,
    "task_id": Scope.NOBODY,
    # Between nodes dbt's order rules, and Airflow allows no other rule behind a setup task; teardowns have their own.
    "trigger_rule": Scope.SETUP,
    "wait_for_downstream": Scope.NODES,
    "wait_for_past_depends_before_skipping": Scope.NODES,
    "weight_rule": Scope.EVERY,
}

#: What the tasks around the nodes have instead, so that a DAG's ``default_args`` do not reach them either.
NEUTRAL: dict[str, Any] = {
    "depends_on_past": False,
    "inlets": None,
    "outlets": None,
    "wait_for_downstream": False,
}

#: What Airflow looks at when a worker is to begin a task. It starts a task in the triggerer without (2.10, 2.11, 3.0, 3.3).
#: By name, the values that bound nothing.
WORKER_LIMITS: dict[str, tuple[Any, ...]] = {
    "pool": (None, "default_pool"),
    "pool_slots": (1,),
    "priority_weight": (1,),
    "max_active_tis_per_dag": (None,),
    "max_active_tis_per_dagrun": (None,),
}


@cache
def of_this_airflow() -> frozenset[str]:
    """Return the arguments that the installed Airflow's ``BaseOperator`` takes."""
    return frozenset(inspect.signature(BaseOperator.__init__).parameters) - {"self", "kwargs"}


def warn_of_worker_limits(dag_id: str, places: Mapping[str, Mapping[str, Any]]) -> None:
    """
    Say once which limits of workers a DAG sets, as the tasks of nodes and tests pass by them.

    Args:
        dag_id: The DAG.
        places: By where the author has written them: arguments of tasks.
    """
    found: dict[str, str] = {}
    for place, said in places.items():
        for name, unbounded in WORKER_LIMITS.items():
            if name in said and said[name] not in unbounded:
                found.setdefault(name, place)
    if STARTS_IN_TRIGGERER and found:
        names = ", ".join(f"{name} ({place})" for name, place in found.items())
        warnings.warn(
            f"DAG {dag_id}: {names} bound what workers begin: setup, results, real dbt and late plans. Airflow starts the "
            "tasks of nodes and tests in the triggerer and does not look at them there. To bound BigQuery's jobs, set "
            "max_concurrent_jobs in operator_args or in section [cosmos_async].",
            ConfigWarning,
            stacklevel=2,
        )
