"""Words, members and Cosmos' own objects mean the same as ours, or are refused in one sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from cosmos_async import constants
from cosmos_async.airflow.compat import DAG
from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig, own_config
from cosmos_async.config.choices import choice
from cosmos_async.constants import (
    ExecutionMode,
    LoadMode,
    SeedRenderingBehavior,
    SourceRenderingBehavior,
    TestBehavior,
    TestIndirectSelection,
)
from cosmos_async.exceptions import ConfigError, ConfigWarning, ProfileError
from cosmos_async.profiles import GoogleCloudOauthProfileMapping

MakeDag = Callable[..., DAG]
ENUMS = [kind for kind in vars(constants).values() if isinstance(kind, type) and issubclass(kind, Enum)]
MEMBERS = [member for kind in ENUMS if kind is not Enum for member in kind]


def of_cosmos(name: str, **defaults: Any) -> Any:
    """Return a dataclass as Cosmos has it, with fields of these names and defaults."""
    fields = [
        (field, Any, dataclasses.field(default_factory=lambda value=value: value))
        for field, value in defaults.items()
    ]
    kind = dataclasses.make_dataclass(name, fields)
    kind.__module__ = "cosmos.config"
    return kind


@pytest.mark.parametrize("member", MEMBERS, ids=str)
def test_a_member_is_known_by_its_value_its_name_and_as_anothers(member: Any) -> None:
    """Nothing depends on which package's enum it is."""
    kind = type(member)
    theirs = Enum(kind.__name__, {one.name: one.value for one in kind})[member.name]  # type: ignore[misc]

    for written in (member, member.value, member.name, member.value.upper(), theirs):
        assert choice(kind, written, "RenderConfig.x") is member


@pytest.mark.parametrize("value", ["after_eech", None, 3, LoadMode.DBT_LS, "TestBehavior.BUILD"])
def test_what_means_no_member_is_named_with_those_there_are(value: object) -> None:
    """A misspelt behaviour must not be a DAG without tests."""
    with pytest.raises(ConfigError, match=r"RenderConfig.test_behavior is .*TestBehavior.AFTER_EACH"):
        RenderConfig(test_behavior=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["after_each", "AFTER_EACH"])
def test_a_behaviour_in_a_string_gives_the_same_tasks(make_dag: MakeDag, value: str) -> None:
    """Tests do not vanish for a string."""
    usual = make_dag(RenderConfig(test_behavior=TestBehavior.AFTER_EACH))
    written = make_dag(RenderConfig(test_behavior=value))  # type: ignore[arg-type]

    assert set(written.task_dict) == set(usual.task_dict)
    assert "customers.test" in written.task_dict


def test_every_choice_is_taken_by_value() -> None:
    """All of those in the configuration classes."""
    render = RenderConfig(
        test_behavior="none",  # type: ignore[arg-type]
        load_method="dbt_ls",  # type: ignore[arg-type]
        source_rendering_behavior="all",  # type: ignore[arg-type]
        seed_rendering_behavior="render_only",  # type: ignore[arg-type]
    )
    execution = ExecutionConfig(execution_mode="airflow_async", test_indirect_selection="cautious")  # type: ignore[arg-type]

    assert render.test_behavior is TestBehavior.NONE
    assert render.load_method is LoadMode.DBT_LS
    assert render.source_rendering_behavior is SourceRenderingBehavior.ALL
    assert render.seed_rendering_behavior is SeedRenderingBehavior.RENDER_ONLY
    assert execution.execution_mode is ExecutionMode.AIRFLOW_ASYNC
    assert execution.test_indirect_selection is TestIndirectSelection.CAUTIOUS


def test_sources_are_not_rendered_where_none_is_said() -> None:
    """Cosmos takes it so, with a warning."""
    config = RenderConfig(source_rendering_behavior=None)  # type: ignore[arg-type]

    assert config.source_rendering_behavior is SourceRenderingBehavior.NONE


def test_an_ephemeral_models_task_is_empty_whatever_is_said() -> None:
    """dbt has nothing to do for it; who wants it otherwise hears so."""
    with pytest.warns(ConfigWarning, match="ephemeral_models_as_empty_operator=False has no effect"):
        RenderConfig(ephemeral_models_as_empty_operator=False)


def test_cosmos_render_config_counts_by_what_it_says() -> None:
    """Its defaults are Cosmos' own, such as the dbt it has found on the path, and say nothing."""
    behaviours = Enum("TestBehavior", {"BUILD": "build"})  # type: ignore[misc]
    theirs = of_cosmos(
        "RenderConfig", test_behavior=None, select=[], dbt_executable_path="/usr/bin/dbt", project_path=None
    )(test_behavior=behaviours.BUILD, select=["tag:daily"], project_path=Path("/dbt/shop"))

    ours = own_config(RenderConfig, theirs, "render_config")

    assert ours.test_behavior is TestBehavior.BUILD
    assert ours.select == ["tag:daily"]
    assert ours.dbt_executable_path is None
    assert ours.project_path == Path("/dbt/shop")


def test_what_a_later_cosmos_has_beside_is_refused_by_name() -> None:
    """Unless it is left as it is there."""
    theirs = of_cosmos("ExecutionConfig", execution_mode=None, warp_drive=False)

    own_config(ExecutionConfig, theirs(), "execution_config")
    with pytest.raises(ConfigError, match=r"warp_drive set to True.*cosmos_async.ExecutionConfig"):
        own_config(ExecutionConfig, theirs(warp_drive=True), "execution_config")
    with pytest.raises(ConfigError, match=r"made with Cosmos' ExecutionConfig.*DOCKER is not run"):
        own_config(ExecutionConfig, theirs("docker"), "execution_config")


def test_cosmos_project_config_counts_by_what_it_says() -> None:
    """It keeps a manifest as a path of Airflow's object storage, with the connection in its text."""

    class Manifest:
        conn_id = "gcs"

        def __str__(self) -> str:
            return "gs://gcs@bucket/manifest.json"

    theirs = of_cosmos("ProjectConfig")()
    theirs.dbt_project_path = Path("/dbt/shop")
    theirs.project_name = "shop"
    theirs.env_vars = {"DBT_ENV": "prod"}
    theirs.dbt_vars = {"day": 1}
    theirs.partial_parse = theirs.install_dbt_deps = False
    theirs.manifest_path = None

    ours = own_config(ProjectConfig, theirs, "project_config")

    assert (ours.dbt_project_path, ours.project_name) == (Path("/dbt/shop"), "shop")
    assert (ours.env_vars, ours.dbt_vars) == ({"DBT_ENV": "prod"}, {"day": 1})
    assert not ours.partial_parse
    assert not ours.install_dbt_deps
    theirs.manifest_path = Manifest()
    remote = own_config(ProjectConfig, theirs, "project_config")
    assert (remote.manifest_path, remote.manifest_conn_id) == ("gs://bucket/manifest.json", "gcs")


def test_a_project_config_of_another_cosmos_is_taken_as_far_as_it_goes() -> None:
    """An earlier one has less; what a later one has beside is refused by name, if it is set."""
    theirs = of_cosmos("ProjectConfig")()
    theirs.dbt_project_path = Path("/dbt/shop")
    theirs.warp_drive = None

    assert own_config(ProjectConfig, theirs, "project_config").install_dbt_deps
    theirs.warp_drive = "on"
    with pytest.raises(ConfigError, match=r"warp_drive set to 'on'.*cosmos_async.ProjectConfig"):
        own_config(ProjectConfig, theirs, "project_config")


def test_cosmos_profile_config_counts_by_what_it_says() -> None:
    """With the mapping in it."""
    theirs = of_cosmos(
        "GoogleCloudOauthProfileMapping",
        conn_id="gcp",
        profile_args={"project": "acme", "dataset": "shop"},
        disable_event_tracking=True,
        dbt_config_vars=None,
    )()
    config = of_cosmos("ProfileConfig", profile_name="", target_name="", profile_mapping=None)

    ours = own_config(ProfileConfig, config("shop", "prod", theirs), "profile_config")

    assert (ours.profile_name, ours.target_name) == ("shop", "prod")
    mapping = ours.profile_mapping
    assert isinstance(mapping, GoogleCloudOauthProfileMapping)
    assert mapping.identity() == {"conn_id": "gcp", "method": "oauth"}
    assert mapping.mock_profile["dataset"] == "shop"
    assert mapping.tracking_env


def test_a_mapping_for_another_warehouse_is_refused() -> None:
    """In words that name the ones there are."""
    theirs = of_cosmos("SnowflakeUserPasswordProfileMapping", conn_id="snow")()

    with pytest.raises(
        ProfileError, match=r"SnowflakeUserPassword.*GoogleCloudServiceAccountDictProfileMapping"
    ):
        ProfileConfig("shop", "prod", profile_mapping=theirs)


@pytest.mark.parametrize("argument", ["render", "execution_config", "project_config", "profile_config"])
def test_what_is_no_configuration_is_refused(make_dag: MakeDag, argument: str) -> None:
    """At the place where it was given, and before anything looks into it."""
    with pytest.raises(
        ConfigError, match=f"{argument}.* is a builtins.dict. Give it a .*Config of cosmos_async"
    ):
        make_dag(**{argument: {"select": ["x"]}})
