"""
Provider info: what Airflow learns of this package by its entry point.

Airflow asks while it still reads its own configuration, so nothing of Airflow may be imported here.
"""

from __future__ import annotations

from typing import Any

from cosmos_async._version import __version__


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, as Airflow's ``provider_info.schema.json`` asks."""
    return {
        "package-name": "cosmos-async",
        "name": "Cosmos Async",
        "description": "dbt projects on BigQuery, run from the triggerer.",
        "versions": [__version__],
        "extra-links": ["cosmos_async.airflow.links.BigQueryJobLink"],
        "config": {
            "cosmos_async": {
                "description": "Settings of cosmos-async. Each falls back to Cosmos' own [cosmos] section.",
                "options": _OPTIONS,
            }
        },
    }


def _option(description: str, *, example: str | None = None, default: str | None = None) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": "string",
        "example": example,
        "default": default,
    }


# Airflow takes a default from here for a value, and then nobody looks at Cosmos' section: what Cosmos has, too, has none.
_OPTIONS = {
    "remote_target_path": _option(
        "Where setup keeps a run's plan and the tasks their outcomes.",
        example="gs://my-bucket/dbt",
    ),
    "remote_target_path_conn_id": _option(
        "The Airflow connection for remote_target_path; the profile's own when unset.",
        example="google_cloud_default",
    ),
    "bigquery_endpoint": _option(
        "Root of BigQuery's API, where it is not Google's public one.",
        example="https://bigquery-psc.p.googleapis.com",
    ),
    "storage_endpoint": _option("Root of Cloud Storage's API, where it is not Google's public one."),
    "max_concurrent_jobs": _option(
        "How many BigQuery jobs one triggerer runs at once per credentials; 0 sets no limit. Tasks that start in the "
        "triggerer pass by Airflow's pools.",
        default="0",
    ),
    "reuse_plans": _option(
        "Whether a run in which nothing has changed goes by the plan of an earlier one, so that setup runs no dbt.",
        default="True",
    ),
    "assume_unchanged": _option(
        "Whether setup plans a node that reads what the run builds first by what is there now. What differs at its turn is "
        "planned then.",
        default="True",
    ),
    "run_ahead": _option(
        "Whether a task's jobs are submitted as soon as the tasks above it have succeeded, before Airflow starts it.",
        default="True",
    ),
    "cache_dir": _option(
        "Local folder for graphs, dbt's partial parse and virtual environments; by default one of this user's below the "
        "system's temporary folder.",
        example="/opt/airflow/cache",
    ),
    "enable_cache": _option(
        "Whether graphs are kept between imports of a DAG file. True by default; without it every import runs dbt ls."
    ),
    "enable_setup_async_task": _option(
        "Whether a DAG plans its own runs. True by default; False is refused, and only read because Cosmos has it."
    ),
    "enable_teardown_async_task": _option(
        "Whether a run's plan is deleted when the run ends. True by default."
    ),
    "enable_hierarchical_naming_for_group_nodes_by_folder": _option(
        "Whether folders of the same name under different parents are different task groups. False by default."
    ),
    "enable_dag_versioning": _option(
        "Whether a new version of the dbt project is a new version of its DAG, which Airflow 3 has. True by default."
    ),
    "project_hash_excluded_dirs": _option(
        "Names of folders, with commas between them, in which a change makes no new version of the DAG.",
        example="notebooks,media",
    ),
    "enable_dataset_alias": _option(
        "Whether asset events are sent through aliases (True by default); Airflow 2.8 and 2.9 have none, and Airflow 3 has no "
        "other way.",
    ),
    "use_dataset_airflow3_uri_standard": _option(
        "Whether a dataset's URI on Airflow 2 is bigquery://project/dataset/table, as on Airflow 3 (False by default).",
    ),
}
