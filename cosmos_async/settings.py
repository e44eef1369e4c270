"""
Settings in ``airflow.cfg``: what an operator of Airflow sets, rather than the author of a DAG.

Every setting is looked up in section ``[cosmos_async]`` of Airflow's configuration, then in Cosmos' ``[cosmos]``, so
``AIRFLOW__COSMOS_ASYNC__CACHE_DIR`` wins over ``AIRFLOW__COSMOS__CACHE_DIR``. Nothing is read before it is asked for.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cosmos_async.exceptions import ConfigError

__path__: list[str] = []  # see cosmos_names

SECTIONS = ("cosmos_async", "cosmos")


def _get(name: str, *, sections: tuple[str, ...] = SECTIONS) -> str | None:
    # Importing Airflow's configuration is not free and needs an initialised Airflow.
    from airflow.configuration import conf

    for section in sections:
        value: str | None = conf.get(section, name, fallback=None)
        if value is not None and value.strip():
            return value.strip()
    return None


def _get_bool(name: str, *, default: bool) -> bool:
    value = _get(name)
    if value is None:
        return default
    if value.lower() in ("t", "true", "1", "yes", "on"):
        return True
    if value.lower() in ("f", "false", "0", "no", "off"):
        return False
    raise ConfigError(f"Setting [cosmos_async] {name} is {value!r}. Set it to True or False.")


def _get_endpoint(name: str) -> str | None:
    value = _get(name, sections=SECTIONS[:1])
    if value is None:
        return None
    scheme, _, rest = value.partition("://")
    if scheme not in ("http", "https") or not rest or "/" in rest.rstrip("/"):
        raise ConfigError(
            f"Setting [cosmos_async] {name} is {value!r}. Set it to a scheme and a host without a path, such as "
            "https://bigquery.example.com or http://127.0.0.1:9050."
        )
    return value.rstrip("/")


def remote_target_path() -> str | None:
    """Return where plans and outcomes are kept (``gs://bucket/prefix``), or None for a folder of this machine."""
    value = _get("remote_target_path")
    return value.rstrip("/") if value else None


def remote_target_path_conn_id() -> str | None:
    """Return the Airflow connection for :func:`remote_target_path`, or None to use the profile's own."""
    return _get("remote_target_path_conn_id")


def bigquery_endpoint() -> str | None:
    """Return the root of the BigQuery API to talk to instead of Google's public one, without a path."""
    return _get_endpoint("bigquery_endpoint")


def storage_endpoint() -> str | None:
    """Return the root of the Cloud Storage API to talk to instead of Google's public one, without a path."""
    return _get_endpoint("storage_endpoint")


def max_concurrent_jobs() -> int:
    """Return how many BigQuery jobs a triggerer runs at once for one identity; 0 leaves it to BigQuery's own queue."""
    value = _get("max_concurrent_jobs")
    if value is None:
        return 0
    if not value.isdigit():
        raise ConfigError(
            f"Setting [cosmos_async] max_concurrent_jobs is {value!r}. Set it to a number, 0 for no limit."
        )
    return int(value)


def cache_dir() -> Path:
    """
    Return the folder for what can be made again: compact graphs, dbt's partial parses, installed packages.

    By default it is a folder of this user's below the system's temporary folder.
    """
    value = _get("cache_dir")
    if value is not None:
        return Path(value) / "cosmos_async"
    return default_cache_dir()


def default_cache_dir() -> Path:
    """Return :func:`cache_dir` where nobody has set it, without asking Airflow."""
    # The user's id keeps two users of a machine from reading or planting each other's files.
    return Path(tempfile.gettempdir()) / f"cosmos_async-{os.getuid()}"


def enable_cache() -> bool:
    """
    Return whether graphs are kept between imports of a DAG file. Without it every import runs dbt.

    Cosmos has ``enable_cache_dbt_ls`` for these alone.
    """
    if _get("enable_cache", sections=SECTIONS[:1]) is not None:
        return _get_bool("enable_cache", default=True)
    return _get_bool("enable_cache", default=True) and _get_bool("enable_cache_dbt_ls", default=True)


def enable_setup_async_task() -> bool:
    """Return whether a DAG plans its own runs. False was a way to bring compiled SQL along in Cosmos."""
    return _get_bool("enable_setup_async_task", default=True)


def enable_teardown_async_task() -> bool:
    """Return whether a run's plan is deleted when the run ends."""
    return _get_bool("enable_teardown_async_task", default=True)


def reuse_plans() -> bool:
    """Return whether a run may be carried out by the plan of an earlier one, where nothing has changed since."""
    return _get_bool("reuse_plans", default=True)


def assume_unchanged() -> bool:
    """Return whether setup may plan a node by what is there now in relations that the run builds first, behind guards."""
    return _get_bool("assume_unchanged", default=True)


def run_ahead() -> bool:
    """Return whether a task that has succeeded begins the tasks below it in the triggerer, before Airflow does."""
    return _get_bool("run_ahead", default=True)


def enable_dag_versioning() -> bool:
    """Return whether a new version of the dbt project is a new version of its DAG, which Airflow 3 has."""
    return _get_bool("enable_dag_versioning", default=True)


def project_hash_excluded_dirs() -> frozenset[str]:
    """Return names of folders in which a change makes no new version of the DAG."""
    names = (_get("project_hash_excluded_dirs") or "").split(",")
    return frozenset(name.strip() for name in names if name.strip())


def enable_dataset_alias() -> bool:
    """Return whether asset events are sent through aliases, where Airflow has them (2.10)."""
    return _get_bool("enable_dataset_alias", default=True)


def use_dataset_airflow3_uri_standard() -> bool:
    """
    Return whether URIs of datasets have slashes on Airflow 2, as those of assets have on Airflow 3.

    Cosmos looks for ``enable_dataset_airflow3_uri`` first.
    """
    name = "use_dataset_airflow3_uri_standard"
    if _get(name, sections=SECTIONS[:1]) is None and _get("enable_dataset_airflow3_uri") is not None:
        name = "enable_dataset_airflow3_uri"
    return _get_bool(name, default=False)


def enable_hierarchical_naming_for_group_nodes_by_folder() -> bool:
    """Return whether folders of the same name under different parents are different task groups."""
    return _get_bool("enable_hierarchical_naming_for_group_nodes_by_folder", default=False)
