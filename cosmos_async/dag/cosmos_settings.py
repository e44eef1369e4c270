"""
Settings of Cosmos' section ``[cosmos]`` that nothing here reads: said once, with what happens instead.

From astronomer-cosmos 1.15 (``cosmos/settings.py``). The others are understood, see :mod:`cosmos_async.settings`.
"""

from __future__ import annotations

import warnings

from cosmos_async.dag.cosmos_arguments import Harmless
from cosmos_async.exceptions import ConfigWarning

_DOCS = Harmless(
    (), "Cosmos' own plugin shows dbt's docs where Cosmos is installed; docs/artifacts.md has another way"
)
_MEMORY = Harmless(("false",), "nothing here measures memory")
_PROFILE = Harmless((), "a profile is rendered anew and never kept on a disk")
_REMOTE = Harmless(
    (),
    "each machine keeps graphs in its own cache_dir; a manifest in Cloud Storage, ProjectConfig(manifest_path='gs://...'), "
    "serves all of them without a dbt",
)
_WATCHER = Harmless((), "ExecutionMode.WATCHER is Cosmos' alone; setup_operator_args gives setup a queue")

#: By name: the values that say what happens here anyway, and what that is.
WITHOUT_EFFECT = {
    "dbt_docs_conn_id": _DOCS,
    "dbt_docs_dir": _DOCS,
    "dbt_docs_index_file_name": _DOCS,
    "debug_memory_poll_interval_seconds": _MEMORY,
    "default_copy_dbt_packages": Harmless((), "packages that the project brings along are always found"),
    "enable_cache_dbt_yaml_selectors": Harmless(
        (), "dbt itself resolves the selectors, and its answer is kept"
    ),
    "enable_cache_package_lockfile": Harmless((), "dbt deps goes by the project's own package-lock.yml"),
    "enable_cache_partial_parse": Harmless(("true",), "ProjectConfig(partial_parse=False) says it"),
    "enable_cache_profile": _PROFILE,
    "enable_debug_mode": _MEMORY,
    "enable_lax_selector_parsing": Harmless(
        (), "dbt itself resolves selectors, and refuses what it cannot read"
    ),
    "enable_memory_optimised_imports": Harmless(
        ("true",), "a name of this package is imported when it is first used"
    ),
    "enable_orjson_parser": Harmless(("false",), "a manifest is read once per content"),
    "enable_telemetry": Harmless(("false",), "nothing is ever reported"),
    "enable_uri_xcom": Harmless(
        ("false",), "the results task announces assets, and the XCom dbt_jobs of each task names its jobs"
    ),
    "enable_watcher_reliable_retry": _WATCHER,
    "pre_dbt_fusion": Harmless((), "dbt 2 is told from dbt 1 by what stands at its path"),
    "profile_cache_dir_name": _PROFILE,
    "remote_cache_dir": _REMOTE,
    "remote_cache_dir_conn_id": _REMOTE,
    "rich_logging": Harmless(("false",), "log lines are Airflow's"),
    "upload_sql_to_xcom": Harmless(
        ("true",), "the SQL of a node is in its XCom compiled_sql, and its plan in remote_target_path"
    ),
    "virtualenv_max_retries_lock": Harmless(
        (), "who needs an environment that is being made waits for it, and an import says so at once"
    ),
    "watcher_dbt_execution_queue": _WATCHER,
}


def warn_of_settings() -> None:
    """Say which settings of Cosmos' are set and have no effect on the DAGs of this package; once per process."""
    # Importing Airflow's configuration is not free and needs an initialised Airflow.
    from airflow.configuration import conf

    found = []
    for name, harmless in WITHOUT_EFFECT.items():
        value: str = (conf.get("cosmos", name, fallback="") or "").strip()
        if value and value.lower() not in harmless.as_here:
            found.append(f"{name} ({harmless.instead})")
    if found:
        warnings.warn(
            f"Settings in section [cosmos] without effect on DAGs of cosmos_async: {'; '.join(found)}. Leave them for "
            "Cosmos' own DAGs, or remove them.",
            ConfigWarning,
            stacklevel=2,
        )
