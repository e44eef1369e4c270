"""
Which task gets which of the ``operator_args`` of a DAG.

``operator_args`` hold three kinds of things: what dbt is told (for the task that runs dbt), what Airflow is told (for
every task) and what Cosmos is told about its own ways of running dbt (for nobody here). The lists are explicit, so
that a word is either understood, documented as without effect, or refused by Airflow as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cosmos_async.dbt.options import checked
from cosmos_async.exceptions import ConfigError
from cosmos_async.invocation import DbtInvocation

#: Told to :class:`~cosmos_async.config.ExecutionConfig` as well as here; the more specific one wins.
EXECUTION = frozenset({"virtualenv_dir", "dbt_executable_path", "py_requirements"})

#: Whose credentials the triggerer uses.
IDENTITY = frozenset({"gcp_conn_id", "impersonation_chain"})

#: Cosmos' arguments that are about Cosmos' own operators. They change nothing here, so they are let through.
WITHOUT_EFFECT = frozenset(
    {
        "cache_dir",
        "cancel_query_on_kill",  # always
        "copy_dbt_packages",
        "deferrable",  # always
        "emit_datasets",  # RenderConfig says it
        "extra_context",
        "invocation_mode",
        "output_encoding",
        "partial_parse",  # ProjectConfig says it
        "poll_interval",  # jobs are waited for, not polled
        "py_system_site_packages",
        "should_store_compiled_sql",
        "should_upload_compiled_sql",
    }
)

_SELECTION = "Set it in RenderConfig, which selects at import and at run time alike."
_NO_CALLBACK = "Leave it out; a task's own on_success_callback and on_failure_callback work."

REFUSED = {
    "select": _SELECTION,
    "exclude": _SELECTION,
    "selector": _SELECTION,
    "models": _SELECTION,
    "project_dir": "Set ProjectConfig.dbt_project_path.",
    "profile_config": "Give it to DbtDag or DbtTaskGroup itself.",
    "manifest_filepath": "Set ProjectConfig.manifest_path.",
    "callback": _NO_CALLBACK,
    "callback_args": _NO_CALLBACK,
    "on_warning_callback": _NO_CALLBACK,
    "skip_exit_code": "Leave it out; a node's task fails where its node fails.",
    "schema": 'Set the dataset in the profile (profile_args={"dataset": ...}).',
    "warn_error": 'Use dbt_cmd_global_flags=["--warn-error"].',
    "no_version_check": 'Use dbt_cmd_global_flags=["--no-version-check"].',
    "dbt_cmd": "Leave it out.",
    "extra_env": "Use env.",
}


@dataclass(frozen=True)
class OperatorArgs:
    """The ``operator_args`` of a DAG, sorted by who gets them."""

    dbt: dict[str, Any] = field(default_factory=dict)  #: for the invocation of dbt
    execution: dict[str, Any] = field(default_factory=dict)  #: over ExecutionConfig
    identity: dict[str, Any] = field(default_factory=dict)  #: over the profile's
    task: dict[str, Any] = field(default_factory=dict)  #: Airflow's own, and the node operators'

    @classmethod
    def sort(cls, operator_args: Mapping[str, Any] | None) -> OperatorArgs:
        """
        Sort *operator_args*.

        Raises:
            ConfigError: One of them has no meaning here, and leaving it out silently would change what happens.
        """
        sorted_args = cls()
        options = set(DbtInvocation.option_names())
        for name, value in (operator_args or {}).items():
            if name in REFUSED:
                if value:  # Cosmos' operators take None and False for "not set"
                    raise ConfigError(
                        f"operator_args has {name!r}, which is not supported there. {REFUSED[name]}"
                    )
            elif name in options:
                if name in ("dbt_cmd_flags", "dbt_cmd_global_flags"):
                    checked(name, value)  # now rather than when the first run begins
                sorted_args.dbt[name] = value
            elif name in EXECUTION:
                sorted_args.execution[name] = value
            elif name in IDENTITY:
                sorted_args.identity[name] = value
            elif name not in WITHOUT_EFFECT:
                sorted_args.task[name] = value
        return sorted_args
