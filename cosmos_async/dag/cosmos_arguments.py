"""
Arguments of Cosmos' operators that have no meaning in a task here: the harmless ones, and where the others are said.

From astronomer-cosmos 1.15 (``operator_args``, ``meta.cosmos.operator_kwargs``) and the Google provider's
``BigQueryInsertJobOperator``, whose arguments Cosmos' async mode takes. A word is therefore understood, said to be
without effect, or refused with the place it belongs to; none is ignored in silence.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

from cosmos_async.exceptions import ConfigError, ConfigWarning


class Harmless(NamedTuple):
    """An argument that may be left out: nothing that it could say changes what a run does to the warehouse."""

    as_here: tuple[Any, ...]  #: the values that say what happens here anyway
    instead: str  #: what happens here, or where else it is said


HARMLESS = {
    "cache_dir": Harmless((), "the setting AIRFLOW__COSMOS_ASYNC__CACHE_DIR says it"),
    "cancel_on_kill": Harmless((True,), "a task that is killed always cancels its jobs"),
    "cancel_query_on_kill": Harmless((True,), "a task that is killed always cancels its jobs"),
    "copy_dbt_packages": Harmless((False, True), "packages that the project brings along are always found"),
    "deferrable": Harmless((True,), "a task always waits in the triggerer"),
    "emit_datasets": Harmless((), "RenderConfig(emit_datasets=...) says it"),
    "extra_context": Harmless(({},), "no code of a DAG runs in the triggerer that could read it"),
    "force_rerun": Harmless((True, False), "job ids are computed, and a retry submits a new job"),
    "invocation_mode": Harmless((), "dbt always runs as a process of its own"),
    "is_virtualenv_dir_temporary": Harmless(
        (False,), "an environment for dbt is kept below the cache folder"
    ),
    "output_encoding": Harmless(("utf-8",), "dbt's output is UTF-8"),
    "partial_parse": Harmless((), "ProjectConfig(partial_parse=...) says it"),
    "poll_interval": Harmless((), "BigQuery itself says when a job has ended"),
    "py_system_site_packages": Harmless((False,), "an environment for dbt has its own packages only"),
    "reattach_states": Harmless((), "a task always goes on with the job it has submitted"),
    "result_retry": Harmless((), "calls are repeated while BigQuery or the network is at fault"),
    "should_store_compiled_sql": Harmless((True,), "the SQL of a node always stands in its task's log"),
    "should_upload_compiled_sql": Harmless(
        (False,),
        "the SQL of all nodes is in the manifest.json of the run's artifacts, see the XCom dbt_artifacts",
    ),
}

_SELECTION = "Set it in RenderConfig, which selects at import and at run time alike"
_ARTIFACTS = (
    "Leave it out; a task's own on_success_callback and on_failure_callback work, and a task behind dbt_results_async "
    "finds run_results.json and manifest.json in the folder that the XCom dbt_artifacts of that task names"
)
_NO_CODE = "Leave it out: no code of a DAG runs between dbt and BigQuery; use templates in vars and env"
_FLAG = "Use dbt_cmd_flags={} in operator_args"
_GLOBAL_FLAG = "Use dbt_cmd_global_flags={} in operator_args"
_PROFILE = "Set it in the profile (profile_args={})"
_JOB = "Leave it out: each job is the one that dbt would submit"

#: By argument: where it is said, or what to do without it.
REFUSED = {
    "cache_selected_only": _GLOBAL_FLAG.format('["--cache-selected-only"]'),
    "callback": _ARTIFACTS,
    "callback_args": _ARTIFACTS,
    "compiled_sql": "Leave it out: it is a result",
    "configuration": _JOB,
    "conn_id": "Use gcp_conn_id in operator_args, or the conn_id of the profile mapping",
    "db_name": _PROFILE.format('{"project": ...}'),
    "dbt_cmd": "Leave it out",
    "dbt_runner_callbacks": _NO_CODE,
    "defer": _FLAG.format('["--defer", "--state", FOLDER]'),
    "exclude": _SELECTION,
    "extra_env": "Use env",
    "favor_state": _FLAG.format('["--favor-state"]'),
    "freshness": "Leave it out: it is a result",
    "indirect_selection": "Set ExecutionConfig(test_indirect_selection=...)",
    "interceptors": _NO_CODE,
    "job_id": _JOB,
    "log_format": "Leave it out: a task's log is Airflow's",
    "manifest_filepath": "Set ProjectConfig.manifest_path",
    "models": _SELECTION,
    "no_version_check": _GLOBAL_FLAG.format('["--no-version-check"]'),
    "on_warning_callback": "Give it to DbtDag or DbtTaskGroup itself",
    "pip_install_options": "Set pip's own variables, such as PIP_INDEX_URL, where Airflow's workers run",
    "profile_args": "Set it in the profile mapping of ProfileConfig",
    "profile_config": "Give it to DbtDag or DbtTaskGroup itself",
    "project_dir": "Set ProjectConfig.dbt_project_path",
    "project_id": _PROFILE.format('{"project": ..., "execution_project": ...}'),
    "quiet": _GLOBAL_FLAG.format('["--quiet"]'),
    "result_timeout": "Use execution_timeout, which cancels the task's jobs",
    "schema": _PROFILE.format('{"dataset": ...}'),
    "select": _SELECTION,
    "selector": _SELECTION,
    "skip_exit_code": "Leave it out; a node's task fails where its node fails",
    "state": _FLAG.format('["--state", FOLDER]'),
    "target_name": "Set ProfileConfig.target_name",
    "warn_error": _GLOBAL_FLAG.format('["--warn-error"]'),
}


def judge(place: str, name: str, value: Any, known: Iterable[str]) -> None:
    """
    Say what becomes of an argument that no task here takes.

    Args:
        place: Where the author has written it, such as ``operator_args``.
        name: The argument.
        value: Its value.
        known: The arguments that are understood at that place.

    Raises:
        ConfigError: It has another place, or nobody knows it.
    """
    harmless = HARMLESS.get(name)
    if harmless is not None:
        if value is not None and value not in harmless.as_here:
            warnings.warn(
                f"{place}: {name}={value!r} has no effect; {harmless.instead}.", ConfigWarning, stacklevel=2
            )
        return
    way_out = REFUSED.get(name)
    if way_out is None:
        close = difflib.get_close_matches(name, {*known, *HARMLESS, *REFUSED}, n=1)
        meant = f" Is {close[0]!r} meant?" if close else ""
        raise ConfigError(
            f"{place} has {name!r}, which is an argument of neither Airflow, dbt nor Cosmos.{meant} Correct or remove it."
        )
    # Cosmos' operators take None, False and nothing for "not set", and that number for one argument.
    if value and (name, value) != ("skip_exit_code", 99):
        raise ConfigError(f"{place} has {name!r}, which is not supported there. {way_out}.")
