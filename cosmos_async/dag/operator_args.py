"""
``operator_args``: which task of a DAG gets which of them.

``operator_args`` hold three kinds of things: what dbt is told (for the task that runs dbt), what Airflow is told (see
:data:`AIRFLOW`) and what Cosmos is told about its own ways of running dbt (for nobody here). The lists are explicit, so
that a word is either understood, documented as without effect, or refused by Airflow as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.options import checked
from cosmos_async.exceptions import ConfigError

#: Told to :class:`~cosmos_async.config.ExecutionConfig` as well as here; the more specific one wins.
EXECUTION = frozenset({"virtualenv_dir", "dbt_executable_path", "py_requirements"})

#: Whose credentials the triggerer uses.
IDENTITY = frozenset({"gcp_conn_id", "impersonation_chain"})


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

#: Our own, of the tasks that run in the triggerer: nodes, tests and teardown.
TRIGGERER = frozenset({"completion"})

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
    task: dict[str, Any] = field(default_factory=dict)  #: for nodes and tests
    around: dict[str, Any] = field(default_factory=dict)  #: for setup, results and teardown
    setup: dict[str, Any] = field(default_factory=dict)  #: for setup alone, beside the former
    triggerer: dict[str, Any] = field(default_factory=dict)  #: for teardown, beside the former
    given: dict[str, Any] = field(default_factory=dict)  #: all of it as the author wrote it, for converters

    @classmethod
    def sort(cls, operator_args: Mapping[str, Any] | None) -> OperatorArgs:
        """
        Sort *operator_args*.

        Raises:
            ConfigError: One of them has no meaning here, and leaving it out silently would change what happens.
        """
        sorted_args = cls(given=dict(operator_args or {}))
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
                sorted_args._sort_for_tasks(name, value)
        return sorted_args

    def _sort_for_tasks(self, name: str, value: Any) -> None:
        if name in TRIGGERER:
            self.task[name] = self.triggerer[name] = value
            return
        # What is in no list reaches every task, for Airflow to refuse it.
        scope = AIRFLOW.get(name, Scope.EVERY)
        if scope is Scope.NOBODY:
            raise ConfigError(
                f"operator_args has {name!r}, but each task has its own. Leave it out; RenderConfig.normalize_task_id "
                "names tasks."
            )
        if scope in (Scope.EVERY, Scope.NODES):
            self.task[name] = value
        if scope is Scope.EVERY:
            self.around[name] = value
        if scope is Scope.SETUP:
            self.setup[name] = value
