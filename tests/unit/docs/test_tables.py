"""Tables that tell what the code has: settings, arguments, permissions, the reference."""

from __future__ import annotations

import inspect
import re

import cosmos_async
import cosmos_async.operators
import cosmos_async.profiles
from cosmos_async import settings
from cosmos_async.airflow.provider import get_provider_info
from cosmos_async.dag import operator_args
from cosmos_async.dag.cosmos_arguments import HARMLESS, REFUSED
from cosmos_async.dag.cosmos_settings import WITHOUT_EFFECT
from cosmos_async.dbt.invocation import TEMPLATED, DbtInvocation
from cosmos_async.triggers.google.bigquery import BigQuery
from cosmos_async.triggers.storage.folders import Folder
from tests.unit.docs.pages import DOCS, rows, section

OPTIONS = get_provider_info()["config"]["cosmos_async"]["options"]
#: Cosmos' settings of the same name; what it says has to be heard.
COSMOS = {
    "cache_dir",
    "enable_cache",
    "enable_dag_versioning",
    "enable_dataset_alias",
    "use_dataset_airflow3_uri_standard",
    "enable_hierarchical_naming_for_group_nodes_by_folder",
    "enable_setup_async_task",
    "enable_teardown_async_task",
    "project_hash_excluded_dirs",
    "remote_target_path",
    "remote_target_path_conn_id",
}


def text(page: str) -> str:
    """Return a page."""
    return (DOCS / page).read_text(encoding="utf-8")


def named(cell: str) -> list[str]:
    """Return what a cell names as code."""
    return re.findall(r"`([^`]+)`", cell)


# -- settings


def own_settings() -> list[list[str]]:
    """Return the rows of our own settings."""
    own, _, _ = text("settings.md").partition("## Of Cosmos")
    return [row for row in rows(own) if named(row[0])]


def read_settings() -> set[str]:
    """Return the settings that the code can ask for."""
    functions = inspect.getmembers(settings, inspect.isfunction)
    return {
        name
        for name, function in functions
        if function.__module__ == settings.__name__
        and not name.startswith("_")
        and name != "default_cache_dir"
    }


def test_provider_page_and_code_have_the_same_settings() -> None:
    """What is missing in one of them nobody finds, or nobody reads."""
    assert {named(row[0])[0] for row in own_settings()} == read_settings() == set(OPTIONS)


def test_defaults_on_the_page_are_those_of_the_code() -> None:
    """As far as they are values."""
    told = {named(row[0])[0]: named(row[1]) for row in own_settings()}
    values = {name: getattr(settings, name)() for name in read_settings()}

    shown = {name: default[0] for name, default in told.items() if default and default[0] != "cache_dir"}
    assert len(shown) > 5
    assert shown == {name: str(values[name]) for name in shown}


def test_a_setting_of_cosmos_has_no_default_in_the_provider() -> None:
    """Airflow would take it for a value of ours, and Cosmos' would not be looked at."""
    assert {name for name in COSMOS if OPTIONS[name]["default"] is not None} == set()
    assert {name: each["default"] for name, each in OPTIONS.items() if each["default"] is not None} == {
        name: str(getattr(settings, name)())
        for name in ("max_concurrent_jobs", "reuse_plans", "assume_unchanged", "run_ahead")
    }


def test_the_page_says_what_of_cosmos_settings_has_no_effect() -> None:
    """In the words of the warning."""
    table = rows(section("settings.md", "## Of Cosmos"))

    assert {name: row[1] for row in table for name in named(row[0])} == {
        name: harmless.instead for name, harmless in WITHOUT_EFFECT.items()
    }


# -- arguments


def test_the_page_sorts_operator_args_as_the_code_does() -> None:
    """Every list of `dag/operator_args.py` and `dag/cosmos_arguments.py` is a row."""
    told = {row[0]: set(named(row[1])) for row in rows(text("arguments.md"))}

    assert told["dbt, in all tasks that run it"] == set(DbtInvocation.option_names()) - {
        *("select", "exclude", "selector")
    }
    assert told["how dbt is found"] == operator_args.EXECUTION
    assert told["whose credentials the triggerer uses"] == operator_args.IDENTITY
    assert told["where tasks end"] == operator_args.TRIGGERER
    assert told["how many jobs of a run are under way"] == operator_args.RUN
    assert operator_args.CALLBACK in told["whom warnings are told"]
    assert told["Cosmos' own operators"] == set(HARMLESS)
    assert told["refused, with the place for it in the message"] == set(REFUSED) - {operator_args.CALLBACK}
    assert set(DbtInvocation.option_names()) - set(TEMPLATED) == {"append_env"}


# -- permissions

#: What each call of ours is in Google's API.
REQUESTS = {
    BigQuery.insert_job: "jobs.insert",
    BigQuery.upload_job: "jobs.insert",
    BigQuery.get_job: "jobs.get",
    BigQuery.find_job: "jobs.get",
    BigQuery.cancel_job: "jobs.cancel",
    BigQuery.poll_query: "jobs.getQueryResults",
    BigQuery.rows: "jobs.getQueryResults",
    BigQuery.running_jobs: "jobs.list",
    BigQuery.get_table: "tables.get",
    BigQuery.patch_table: "tables.patch",
    BigQuery.get_dataset: "datasets.get",
    BigQuery.patch_dataset: "datasets.patch",
    BigQuery.listed: "tables.list routines.list datasets.list",
    BigQuery.send: "datasets.insert tables.delete",
    Folder.read: "objects.get",
    Folder.read_range: "objects.get",
    Folder.write: "objects.insert",
    Folder.names: "objects.list",
    Folder.remove: "objects.delete",
    Folder.delete: "objects.list objects.delete",
}


def test_every_request_has_its_permission_on_the_page() -> None:
    """Who adds a call to Google says what it needs."""
    calls = {
        function
        for owner in (BigQuery, Folder)
        for name, function in vars(owner).items()
        if not name.startswith("_") and inspect.isfunction(function)
    }
    assert calls == set(REQUESTS)

    told = {request for row in rows(section("permissions.md", "## What for")) for request in named(row[2])}
    wanted = {request for requests in REQUESTS.values() for request in requests.split()}
    assert wanted <= told


# -- the reference


def test_the_reference_has_every_public_name() -> None:
    """`__all__` is what people may import."""
    reference = text("reference.md")
    public = [
        name
        for module in (cosmos_async, cosmos_async.operators)
        for name in module.__all__
        if not name.startswith("__")
    ]

    assert [name for name in public if not re.search(rf"\b{name}\b", reference)] == []
    assert "automodule:: cosmos_async.profiles" in reference
