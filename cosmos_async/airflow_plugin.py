"""
Airflow plugin: registers the operators' extra links, and has imported by then what DAG files of this package use.

Airflow loads plugins as its components start. Its dag-processor and its LocalExecutor then fork a process for each file to parse
and each task to run, and for each task that a trigger has ended (Airflow 3.3, ``models/trigger.py``: ``handle_event_submit``);
those find these modules imported.
"""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

import cosmos_async.dag.dbt_dag
import cosmos_async.operators
import cosmos_async.profiles  # noqa: F401 - for the forks
from cosmos_async.airflow.links import BigQueryJobLink


class CosmosAsyncPlugin(AirflowPlugin):
    """Registers the operators' extra links, so that Airflow's UI can restore them from a serialized DAG."""

    name = "cosmos_async"
    operator_extra_links = [BigQueryJobLink()]
