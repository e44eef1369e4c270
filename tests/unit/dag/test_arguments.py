"""Every word of ``operator_args`` and ``meta.cosmos.operator_kwargs`` is understood, told to be without effect, or refused by name."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.airflow.compat import DAG
from cosmos_async.config import ExecutionConfig, ProjectConfig
from cosmos_async.dag import task_arguments
from cosmos_async.dag.cosmos_arguments import HARMLESS, REFUSED
from cosmos_async.dag.operator_args import OperatorArgs, check_node_args, check_setup_args
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.exceptions import ConfigError, ConfigWarning, ProjectError

MakeDag = Callable[..., DAG]

# The arguments of the operators of astronomer-cosmos 1.15.1 that its DAGs hand on from operator_args, without Airflow's.
OF_COSMOS = [
    "project_dir",
    "conn_id",
    "select",
    "exclude",
    "selector",
    "vars",
    "models",
    "emit_datasets",
    "indirect_selection",
    "cache_selected_only",
    "no_version_check",
    "fail_fast",
    "quiet",
    "warn_error",
    "db_name",
    "schema",
    "env",
    "append_env",
    "output_encoding",
    "skip_exit_code",
    "partial_parse",
    "cancel_query_on_kill",
    "dbt_executable_path",
    "dbt_cmd_flags",
    "dbt_cmd_global_flags",
    "cache_dir",
    "extra_context",
    "interceptors",
    "profile_config",
    "invocation_mode",
    "install_deps",
    "copy_dbt_packages",
    "manifest_filepath",
    "callback",
    "callback_args",
    "should_store_compiled_sql",
    "should_upload_compiled_sql",
    "dbt_runner_callbacks",
    "compiled_sql",
    "freshness",
    "py_requirements",
    "pip_install_options",
    "py_system_site_packages",
    "virtualenv_dir",
    "is_virtualenv_dir_temporary",
    "full_refresh",
    "on_warning_callback",
    "profile_args",
    "target_name",
    "location",
    "gcp_conn_id",
    "deferrable",
    "impersonation_chain",
]
# Of the Google provider's BigQueryInsertJobOperator, beside those.
OF_GOOGLE = [
    "configuration",
    "project_id",
    "job_id",
    "force_rerun",
    "reattach_states",
    "cancel_on_kill",
    "result_retry",
    "result_timeout",
    "poll_interval",
]


@pytest.mark.parametrize("name", [*OF_COSMOS, *OF_GOOGLE])
def test_no_word_of_cosmos_is_ignored_in_silence(name: str) -> None:
    """It reaches somebody, or its author hears of it."""
    if name in REFUSED and name != "on_warning_callback":
        with pytest.raises(
            ConfigError, match=rf"operator_args has '{name}', which is not supported there. .*\.$"
        ):
            OperatorArgs.sort({name: ["x"]})
        return
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        args = OperatorArgs.sort({name: ["x"]})
    taken = {**args.dbt, **args.execution, **args.identity, **args.task}
    assert (name in taken) != any(name in str(one.message) for one in heard)


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_what_has_no_effect_is_said_unless_it_asks_for_what_happens_anyway(name: str) -> None:
    """Cosmos' users write many of these with the values they have there by default."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OperatorArgs.sort({name: None})
        for value in HARMLESS[name].as_here:
            OperatorArgs.sort({name: value})
    with pytest.warns(
        ConfigWarning, match=f"operator_args: {name}='other' has no effect; .*{HARMLESS[name].instead[:9]}"
    ):
        OperatorArgs.sort({name: "other"})


@pytest.mark.parametrize("name", sorted(REFUSED))
@pytest.mark.parametrize("unset", [None, False, "", []])
def test_what_is_refused_may_stand_there_unset(name: str, unset: object) -> None:
    """Cosmos' operators take these for "not set", and people pass arguments on."""
    assert OperatorArgs.sort({name: unset}) == OperatorArgs(given={name: unset})


def test_a_word_nobody_knows_is_named_with_the_one_that_is_meant() -> None:
    """Airflow would name an operator of ours that the author has never written."""
    with pytest.raises(ConfigError, match=r"operator_args has 'retires'.*Is 'retries' meant\?"):
        OperatorArgs.sort({"retires": 3})
    with pytest.raises(
        ConfigError, match=r"operator_args has 'xyzzy', which .* nor Cosmos. Correct or remove it"
    ):
        OperatorArgs.sort({"xyzzy": 3})


def test_what_the_installed_airflow_does_not_have_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as ``retry_policy`` before 3.3: Airflow would name an operator of ours."""
    monkeypatch.setattr("cosmos_async.dag.operator_args.of_this_airflow", lambda: frozenset({"retries"}))

    OperatorArgs.sort({"retries": 1})
    with pytest.raises(ConfigError, match=r"'retry_policy', which tasks of Airflow \d\.\d+ do not have"):
        OperatorArgs.sort({"retry_policy": object()})


def test_a_dag_with_every_word_for_setup_can_be_made(make_dag: MakeDag) -> None:
    """What is for setup alone is judged as operator_args are."""
    execution = ExecutionConfig(
        setup_operator_args={"retries": 3, "install_deps": False, "deferrable": False}
    )
    with pytest.warns(
        ConfigWarning, match="ExecutionConfig.setup_operator_args: deferrable=False has no effect"
    ):
        dag = make_dag(execution_config=execution)

    assert dag.get_task("dbt_setup_async").retries == 3
    with pytest.raises(ConfigError, match=r"setup_operator_args has 'retires'.*'retries'"):
        check_setup_args({"retires": 1})


OPTIONS = sorted({*DbtInvocation.option_names()} - {"select", "exclude", "selector"})


@pytest.mark.parametrize(
    "name", [*OPTIONS, "py_requirements", "gcp_conn_id", "callback", "interceptors", "retires", "task_id"]
)
def test_what_a_node_cannot_say_alone_is_named_with_the_node_and_its_file(
    make_dag: MakeDag, tmp_path: Path, manifest: dict[str, Any], shop: Path, name: str
) -> None:
    """dbt is run once for all of them."""
    changed = with_kwargs(manifest, "model.corner_shop.customers", {name: ["x"]})
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(changed))

    with pytest.raises(
        ProjectError,
        match=rf"model.corner_shop.customers \(models/.*customers.sql\): meta.cosmos.operator_kwargs has '{name}'",
    ):
        make_dag(project_config=ProjectConfig(shop, manifest_path=path))


@pytest.mark.parametrize("name", sorted(HARMLESS.keys() - {"emit_datasets"}))
def test_what_has_no_effect_is_said_of_a_node_as_well(name: str) -> None:
    """With the place."""
    with pytest.warns(ConfigWarning, match=f"model.x: meta: {name}='other' has no effect"):
        assert check_node_args("model.x: meta", {name: "other", "retries": 2}) == {"retries": 2}


def with_kwargs(manifest: dict[str, Any], unique_id: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return *manifest* with ``meta.cosmos.operator_kwargs`` for one node."""
    changed = copy.deepcopy(manifest)
    node = changed["nodes"][unique_id]
    node["meta"] = node["config"]["meta"] = {"cosmos": {"operator_kwargs": kwargs}}
    return changed


@pytest.mark.parametrize("starts", [True, False])
def test_limits_of_workers_are_said_once_not_to_bound_what_starts_in_the_triggerer(
    make_dag: MakeDag,
    tmp_path: Path,
    manifest: dict[str, Any],
    shop: Path,
    monkeypatch: pytest.MonkeyPatch,
    starts: bool,
) -> None:
    """People throttle BigQuery by a pool; the way to do so here is named."""
    monkeypatch.setattr(task_arguments, "STARTS_IN_TRIGGERER", starts)
    path = tmp_path / "manifest.json"
    path.write_text(
        json.dumps(
            with_kwargs(manifest, "model.corner_shop.customers", {"pool_slots": 2, "pool": "bigquery"})
        )
    )

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        make_dag(
            project_config=ProjectConfig(shop, manifest_path=path),
            operator_args={"pool": "bigquery", "queue": "fast"},
            default_args={"priority_weight": 5},
        )

    words = [str(one.message) for one in heard if issubclass(one.category, ConfigWarning)]
    assert len(words) == (1 if starts else 0)
    for part in words:
        assert "DAG shop: priority_weight (default_args), pool (operator_args), pool_slots (meta" in part
        assert "operator_kwargs of model.corner_shop.customers)" in part
        assert "queue" not in part
        assert "max_concurrent_jobs" in part


def test_the_jobs_of_a_run_may_be_bounded_by_its_dag(make_dag: MakeDag) -> None:
    """Setup writes the number into the plan; a node alone cannot say it."""
    dag = make_dag(operator_args={"max_concurrent_jobs": 5})

    assert dag.get_task("dbt_setup_async").max_concurrent_jobs == 5
    for wrong in (-1, True, "5", None):
        with pytest.raises(ConfigError, match=r"max_concurrent_jobs=.*Set it to a number"):
            OperatorArgs.sort({"max_concurrent_jobs": wrong})
    with pytest.raises(ConfigError, match=r"It bounds a run; set it in operator_args"):
        check_node_args("model.x: meta", {"max_concurrent_jobs": 5})


def test_usual_dags_are_made_without_a_word(make_dag: MakeDag) -> None:
    """A warning is for what surprises."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConfigWarning)
        make_dag(operator_args={"retries": 2, "install_deps": True, "pool": "default_pool"})


def test_the_limits_of_workers_are_arguments_of_airflow() -> None:
    """A misspelt one would never be seen."""
    assert set(task_arguments.WORKER_LIMITS) <= task_arguments.of_this_airflow()
