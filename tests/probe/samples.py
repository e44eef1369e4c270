"""
A value for every argument of Cosmos that is not the one it has anyway; those of enums are made of all their members.

An argument without a value here makes the probe fail: a new release of Cosmos has brought it.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

SHOP = Path(__file__).parents[1] / "unit" / "shop"


def called(*args: Any, **kwargs: Any) -> Any:
    """Stand for any function."""
    return "called"


def named(node: Any, *args: Any) -> str:
    """Return a task's id."""
    return f"own_{node.name}".replace(".", "_")


def converted(dag: Any, task_group: Any, node: Any, **kwargs: Any) -> Any:
    """Make a node's task."""
    from airflow.providers.standard.operators.empty import EmptyOperator

    return EmptyOperator(task_id=f"own_{node.name}".replace(".", "_"), dag=dag, task_group=task_group)


#: What is meant to be given elsewhere, or makes no sense twice.
LEFT_OUT = frozenset(("self", "args", "kwargs", "dag", "task_group", "task_id", "default_args"))

PROJECT: dict[str, list[Any]] = {
    "dbt_project_path": [str(SHOP)],
    "install_dbt_deps": [False],
    "copy_dbt_packages": [True],
    "models_relative_path": ["models/marts"],
    "seeds_relative_path": ["data"],
    "snapshots_relative_path": ["data"],
    "manifest_path": [f"file://{SHOP.parent / 'shop_manifest.json'}"],
    "manifest_conn_id": ["google_cloud_default"],
    "project_name": ["another"],
    "env_vars": [{"A": "b"}],
    "dbt_vars": [{"a": "b"}],
    "partial_parse": [False],
}

PROFILE: dict[str, list[Any]] = {
    "profile_name": ["another"],
    "target_name": ["another"],
    "profiles_yml_filepath": [str(SHOP / "profiles.yml")],
    "profile_mapping": [None],
}

EXECUTION: dict[str, list[Any]] = {
    "execution_mode": [],
    "invocation_mode": [],
    "test_indirect_selection": [],
    "dbt_executable_path": ["/opt/dbt/bin/dbt"],
    "install_dbt_deps": [False, "{{ params.deps }}"],
    "dbt_project_path": [str(SHOP)],
    "virtualenv_dir": ["/tmp/virtualenv"],
    "async_py_requirements": [["dbt-bigquery==1.10.*"]],
    "setup_operator_args": [{"retries": 7}],
}

RENDER: dict[str, list[Any]] = {
    "emit_datasets": [False],
    "test_behavior": [],
    "load_method": [],
    "invocation_mode": [],
    "select": [["tag:mart"], "tag:mart"],
    "exclude": [["tag:mart"]],
    "selector": ["marts"],
    "dbt_deps": [False],
    "node_converters": [],
    "node_conversion_by_task_group": [False],
    "dbt_executable_path": ["/opt/dbt/bin/dbt"],
    "env_vars": [{"A": "b"}],
    "dbt_project_path": [str(SHOP)],
    "dbt_ls_path": [Path("/tmp/dbt_ls.txt")],
    "enable_mock_profile": [False],
    "group_nodes_by_folder": [True],
    "source_rendering_behavior": [],
    "source_pruning": [True],
    "seed_rendering_behavior": [],
    "airflow_vars_to_purge_dbt_ls_cache": [["a"]],
    "airflow_vars_to_purge_dbt_yaml_selectors_cache": [["a"]],
    "normalize_task_id": [named],
    "normalize_task_display_name": [named],
    "should_detach_multiple_parents_tests": [True],
    "enable_owner_inheritance": [False],
    "ephemeral_models_as_empty_operator": [False],
}

#: Arguments that take members of an enum, which are tried all, with their values as strings and as the other package's.
ENUMS: dict[tuple[str, str], str] = {
    ("ExecutionConfig", "execution_mode"): "ExecutionMode",
    ("ExecutionConfig", "invocation_mode"): "InvocationMode",
    ("ExecutionConfig", "test_indirect_selection"): "TestIndirectSelection",
    ("RenderConfig", "test_behavior"): "TestBehavior",
    ("RenderConfig", "load_method"): "LoadMode",
    ("RenderConfig", "invocation_mode"): "InvocationMode",
    ("RenderConfig", "source_rendering_behavior"): "SourceRenderingBehavior",
    ("RenderConfig", "seed_rendering_behavior"): "SeedRenderingBehavior",
}

#: Of Cosmos' operators; the same words are tried in ``operator_args``, in ``meta.cosmos.operator_kwargs`` and in operators.
DBT: dict[str, list[Any]] = {
    "append_env": [False],
    "args": [{"a": 1}],
    "cache_dir": [Path("/tmp/cache")],
    "cache_selected_only": [True],
    "callback": [called, "cosmos.io.upload_to_gcp_gs"],
    "callback_args": [{"a": 1}],
    "cancel_query_on_kill": [False],
    "conn_id": ["another"],
    "copy_dbt_packages": [True],
    "db_name": ["another"],
    "dbt_cmd_flags": [["--empty"]],
    "dbt_cmd_global_flags": [["--debug"]],
    "dbt_executable_path": ["/opt/dbt/bin/dbt"],
    "dbt_runner_callbacks": [[called]],
    "emit_datasets": [False, True],
    "env": [{"A": "b"}],
    "exclude": ["tag:mart"],
    "extra_context": [{"a": 1}],
    "fail_fast": [True],
    "full_refresh": [True],
    "indirect_selection": ["cautious"],
    "install_deps": [False],
    "interceptors": [[called]],
    "invocation_mode": [],
    "is_virtualenv_dir_temporary": [True],
    "log_format": ["json"],
    "macro_name": ["another"],
    "manifest_filepath": ["/tmp/manifest.json"],
    "models": ["tag:mart"],
    "no_version_check": [True],
    "on_warning_callback": [called],
    "output_encoding": ["latin-1"],
    "partial_parse": [False],
    "pip_install_options": [["--no-cache-dir"]],
    "profile_args": [{"a": 1}],
    "profile_config": [],
    "project_dir": ["/tmp/another"],
    "py_requirements": [["dbt-bigquery==1.10.*"]],
    "py_system_site_packages": [True],
    "quiet": [True],
    "schema": ["another"],
    "select": ["tag:mart"],
    "selector": ["marts"],
    "should_store_compiled_sql": [False, True],
    "should_upload_compiled_sql": [True],
    "skip_exit_code": [2],
    "target_name": ["another"],
    "vars": [{"a": "b"}],
    "virtualenv_dir": ["/tmp/virtualenv"],
    "warn_error": [True],
}

#: Of BigQueryInsertJobOperator, which a model's task is in Cosmos' async mode.
JOB: dict[str, list[Any]] = {
    "cancel_on_kill": [False],
    "deferrable": [False],
    "force_rerun": [False],
    "gcp_conn_id": ["another"],
    "impersonation_chain": ["someone@example.com"],
    "job_id": ["own"],
    "location": ["EU"],
    "poll_interval": [30.0],
    "project_id": ["another"],
    "reattach_states": [{"RUNNING"}],
    "result_retry": [called],
    "result_timeout": [30.0],
}

AIRFLOW: dict[str, list[Any]] = {
    "allow_nested_operators": [False],
    "depends_on_past": [True],
    "do_xcom_push": [False],
    "doc": ["words"],
    "doc_json": ["{}"],
    "doc_md": ["words"],
    "doc_rst": ["words"],
    "doc_yaml": ["words"],
    "email": ["a@example.com"],
    "email_on_failure": [False],
    "email_on_retry": [False],
    "end_date": [datetime(2030, 1, 1, tzinfo=timezone.utc)],
    "execution_timeout": [timedelta(seconds=77)],
    "executor": ["LocalExecutor"],
    "executor_config": [{"a": 1}],
    "ignore_first_depends_on_past": [False],
    "inlets": [["a"]],
    "logger_name": ["own"],
    "map_index_template": ["{{ task.task_id }}"],
    "max_active_tis_per_dag": [7],
    "max_active_tis_per_dagrun": [7],
    "max_retry_delay": [timedelta(seconds=77)],
    "multiple_outputs": [True],
    "on_execute_callback": [called],
    "on_failure_callback": [called],
    "on_retry_callback": [called],
    "on_skipped_callback": [called],
    "on_success_callback": [called],
    "outlets": [["a"]],
    "owner": ["someone"],
    "params": [{"a": 1}],
    "pool": ["own"],
    "pool_slots": [7],
    "post_execute": [called],
    "pre_execute": [called],
    "priority_weight": [7],
    "queue": ["own"],
    "render_template_as_native_obj": [True],
    "resources": [{"cpus": 1}],
    "retries": [7],
    "retry_delay": [timedelta(seconds=77)],
    "retry_exponential_backoff": [2.0],
    "retry_policy": [],
    "run_as_user": ["someone"],
    "sla": [timedelta(seconds=77)],
    "start_date": [datetime(2025, 1, 1, tzinfo=timezone.utc)],
    "task_concurrency": [7],
    "task_display_name": ["own"],
    "trigger_rule": ["all_done"],
    "wait_for_downstream": [True],
    "wait_for_past_depends_before_skipping": [True],
    "weight_rule": ["upstream"],
}
