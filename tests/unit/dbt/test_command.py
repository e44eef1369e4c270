"""
What the DAG author asked for reaches dbt, and nothing else does.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.constants import TestIndirectSelection
from cosmos_async.dbt.command import dbt_arguments, dbt_environment, merged_vars
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.exceptions import ConfigError


def invocation(
    *, project: dict[str, Any] | None = None, execution: dict[str, Any] | None = None, **options: Any
):
    """Return an invocation with sane defaults."""
    return DbtInvocation(
        project_config=ProjectConfig(Path("/dags/dbt/shop"), **(project or {})),
        profile_config=ProfileConfig("shop", "prod", profiles_yml_filepath="/dags/profiles.yml"),
        execution_config=ExecutionConfig(**(execution or {})),
        **options,
    )


PROFILE = ["--profile", "shop", "--target", "prod"]


def test_nothing_asked_for_is_the_plain_command():
    """
    dbt's own defaults stay dbt's.
    """
    assert dbt_arguments(invocation()) == ["build", *PROFILE]


def test_every_option_becomes_its_flag():
    """
    The names are Cosmos', the flags dbt's.
    """
    asked = invocation(
        project={"partial_parse": False, "dbt_vars": {"day": 1, "zone": "EU"}},
        execution={"test_indirect_selection": TestIndirectSelection.CAUTIOUS},
        select=["tag:daily", "+orders"],
        exclude="stg_legacy",
        selector="nightly",
        vars={"day": date(2024, 1, 31)},
        full_refresh=True,
        threads="16",
        dbt_cmd_global_flags=["--no-version-check"],
        dbt_cmd_flags=["--store-failures"],
        exclude_resource_types=("test", "unit_test"),
    )

    arguments = dbt_arguments(asked, extra=["--empty"])

    assert arguments[:3] == ["--no-version-check", "--no-partial-parse", "build"]
    assert arguments[3:] == [
        *("--select", "tag:daily", "+orders", "--exclude", "stg_legacy", "--selector", "nightly"),
        *("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"),
        *("--indirect-selection", "cautious", "--vars", "{day: 2024-01-31, zone: EU}"),
        *("--full-refresh", "--threads", "16", *PROFILE),
        *("--store-failures", "--empty"),
    ]


@pytest.mark.parametrize("nothing", [None, "", [], [""], " "])
def test_an_empty_selection_selects_everything(nothing: Any):
    """
    A template may render to nothing; `--select ''` would select nothing.
    """
    assert "--select" not in dbt_arguments(invocation(select=nothing))


@pytest.mark.parametrize("text", ["{day: 2, zone: EU}", '{"day": 2, "zone": "EU"}', "day: 2\nzone: EU"])
def test_vars_may_be_written_as_after_the_flag(text: str):
    """
    A string is YAML or JSON, and wins over the project's own, key by key.
    """
    assert merged_vars({"day": 1, "shop": 7}, text) == {"day": 2, "zone": "EU", "shop": 7}


@pytest.mark.parametrize(("text", "why"), [("[1, 2]", "not a mapping"), ("{day: ", "not YAML")])
def test_vars_that_are_no_mapping_are_refused(text: str, why: str):
    """
    dbt would say it too, but after the project was copied and its packages installed.
    """
    with pytest.raises(ConfigError, match=why):
        merged_vars(text)


def test_vars_that_yaml_cannot_write_are_refused():
    """
    An object in vars is a mistake in the DAG.
    """
    with pytest.raises(ConfigError, match="vars cannot be given to dbt"):
        dbt_arguments(invocation(vars={"when": object()}))


@pytest.mark.parametrize("threads", [0, -1, "many"])
def test_threads_must_be_a_number(threads: Any):
    """
    A template that rendered to nonsense is named.
    """
    with pytest.raises(ConfigError, match="threads is"):
        dbt_arguments(invocation(threads=threads))


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ("2024-01-31", "2024-01-31T00:00:00"),
        ("2024-01-31 02:00:00+02:00", "2024-01-31T00:00:00"),  # as Airflow renders a data interval
        ("2024-01-31T00:00:00Z", "2024-01-31T00:00:00"),
    ],
)
def test_event_times_are_told_in_utc(start: str, told: str):
    """
    dbt takes them without a zone.
    """
    arguments = dbt_arguments(invocation(event_time_start=start, event_time_end="2024-02-01"))

    window = ["--event-time-start", told, "--event-time-end", "2024-02-01T00:00:00"]
    assert arguments == ["build", *window, *PROFILE]


def test_a_run_without_a_data_interval_has_no_event_time():
    """
    Airflow renders it as None, which must not select everything.
    """
    with pytest.raises(ConfigError, match=r"event_time_start is 'None'.*data interval"):
        dbt_arguments(invocation(event_time_start="None"))


@pytest.mark.parametrize("flag", ["--target-path", "--target=dev", "--project-dir"])
def test_flags_that_would_lead_dbt_elsewhere_are_refused(flag: str):
    """
    dbt would write its results where nobody looks for them.
    """
    with pytest.raises(ConfigError, match="dbt_cmd_flags has --"):
        dbt_arguments(invocation(dbt_cmd_flags=[flag]))


def test_the_worker_keeps_its_own_affairs_from_dbt():
    """
    Airflow's keys, passwords and connections, and Python paths that would shadow dbt's packages, stay out.
    """
    parent = {
        "PATH": "/bin",
        "HOME": "/root",
        "MY_ENV_VAR": "1",
        "AIRFLOW_HOME": "/opt/airflow",
        "AIRFLOW_VAR_SHOP": "7",
        "AIRFLOW__CORE__FERNET_KEY": "secret",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://...",
        "AIRFLOW_CONN_BQ": "google-cloud-platform://...",
        "PYTHONPATH": "/opt/airflow/plugins",
    }

    env = dbt_environment(invocation(), parent, {"AIRFLOW_CTX_DAG_ID": "shop"})

    assert env == {
        "PATH": "/bin",
        "HOME": "/root",
        "MY_ENV_VAR": "1",
        "AIRFLOW_HOME": "/opt/airflow",
        "AIRFLOW_VAR_SHOP": "7",
        "AIRFLOW_CTX_DAG_ID": "shop",
    }


def test_without_append_env_dbt_sees_little_of_the_worker():
    """
    Only what programs need to find others and the user's folder, beside what the author gave.
    """
    env = dbt_environment(
        invocation(append_env=False, project={"env_vars": {"A": "1", "B": "1"}}, env={"B": "2"}),
        {"PATH": "/bin", "HOME": "/root", "OTHER": "x"},
    )

    assert env == {"PATH": "/bin", "HOME": "/root", "A": "1", "B": "2"}


def test_what_the_author_gives_wins():
    """
    Even over what is kept from dbt otherwise.
    """
    env = dbt_environment(invocation(env={"PYTHONPATH": "/opt/macros"}), {"PYTHONPATH": "/x"})

    assert env["PYTHONPATH"] == "/opt/macros"


def test_a_variable_that_is_no_string_is_named():
    """
    The message shows how to write it.
    """
    with pytest.raises(ConfigError, match=r"env has 'DAY' of type int.*Write the value in quotes"):
        dbt_environment(invocation(env={"DAY": 1}), {})
