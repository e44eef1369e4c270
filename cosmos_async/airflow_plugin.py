"""
Airflow plugin: registers the operators' extra links, and has imported by then what DAG files and tasks of this package use.

Airflow loads plugins as its components start. Its dag-processor and its LocalExecutor then fork a process for each file to parse
and each task to run, and for each task that a trigger has ended (Airflow 3.3, ``models/trigger.py``: ``handle_event_submit``);
those find these modules imported. The operators themselves import a client only as they are executed, as a DAG file may be
imported where no plugin is loaded.
"""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

# For the forks:
import cosmos_async.dag.dbt_dag
import cosmos_async.dbt.planner.fingerprint
import cosmos_async.dbt.planner.late
import cosmos_async.dbt.planner.record
import cosmos_async.dbt.results
import cosmos_async.dbt.run_node
import cosmos_async.io
import cosmos_async.operators
import cosmos_async.operators.plan_reuse
import cosmos_async.operators.task_lineage
import cosmos_async.operators.worker
import cosmos_async.profiles
import cosmos_async.triggers.dbt
import cosmos_async.triggers.execution.relations
import cosmos_async.triggers.teardown  # noqa: F401
from cosmos_async.airflow.links import BigQueryJobLink


class CosmosAsyncPlugin(AirflowPlugin):
    """Registers the operators' extra links, so that Airflow's UI can restore them from a serialized DAG."""

    name = "cosmos_async"
    operator_extra_links = [BigQueryJobLink()]
