"""Airflow plugin: what the UI learns of this package by its entry point."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from cosmos_async.airflow.links import BigQueryJobLink


class CosmosAsyncPlugin(AirflowPlugin):
    """Registers the operators' extra links, so that Airflow's UI can restore them from a serialized DAG."""

    name = "cosmos_async"
    operator_extra_links = [BigQueryJobLink()]
