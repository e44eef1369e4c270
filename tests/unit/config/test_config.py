"""What a DAG author may write, and what is said about the rest."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.constants import (
    ExecutionMode,
    InvocationMode,
    LoadMode,
)
from cosmos_async.exceptions import ConfigError, ProfileError, ProjectError
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping

MAPPING = GoogleCloudServiceAccountDictProfileMapping("gcp_conn", {"dataset": "shop", "project": "p"})

# The arguments of astronomer-cosmos 1.15.1, in order: positional use must mean the same.
COSMOS_ARGUMENTS = {
    ProjectConfig: (
        "dbt_project_path install_dbt_deps copy_dbt_packages models_relative_path seeds_relative_path "
        "snapshots_relative_path manifest_path manifest_conn_id project_name env_vars dbt_vars partial_parse"
    ),
    ProfileConfig: "profile_name target_name profiles_yml_filepath profile_mapping",
    ExecutionConfig: (
        "execution_mode invocation_mode test_indirect_selection dbt_executable_path install_dbt_deps dbt_project_path "
        "virtualenv_dir async_py_requirements setup_operator_args"
    ),
    RenderConfig: (
        "emit_datasets test_behavior load_method invocation_mode select exclude selector dbt_deps node_converters "
        "node_conversion_by_task_group dbt_executable_path env_vars dbt_project_path dbt_ls_path enable_mock_profile "
        "group_nodes_by_folder source_rendering_behavior source_pruning seed_rendering_behavior "
        "airflow_vars_to_purge_dbt_ls_cache airflow_vars_to_purge_dbt_yaml_selectors_cache normalize_task_id "
        "normalize_task_display_name should_detach_multiple_parents_tests enable_owner_inheritance "
        "ephemeral_models_as_empty_operator"
    ),
}


@pytest.mark.parametrize("cls", COSMOS_ARGUMENTS, ids=lambda cls: cls.__name__)
def test_arguments_are_cosmos_arguments_in_cosmos_order(cls: type) -> None:
    """Some people pass them by position."""
    parameters = inspect.signature(cls).parameters.values()
    positional = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]

    assert positional == COSMOS_ARGUMENTS[cls].split()


def test_a_project_is_called_like_its_folder(shop: Path) -> None:
    """Cosmos' rule; it names the ``<project>_test`` task."""
    assert ProjectConfig(shop).project_name == "shop"
    assert ProjectConfig(manifest_path="/m.json", project_name="x").project_name == "x"


def test_a_manifest_without_project_needs_a_name() -> None:
    """There is nothing else to call it by."""
    with pytest.raises(ProjectError, match="only one of manifest_path and project_name"):
        ProjectConfig(manifest_path="/m.json")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (
            {"manifest_path": "s3://b/m.json"},
            r"'s3://b/m.json' lies where manifests are not read from.*gs://",
        ),
        ({"manifest_path": "abfs://c@a/m.json"}, "'abfs://c@a/m.json' lies where"),
        ({"manifest_path": Path("gs://b/m.json")}, "'gs:/b/m.json' lies where.*as a text"),
        ({"manifest_path": "gs://b"}, "'gs://b' names no object"),
        ({"manifest_path": "gs://b/target/"}, "names no object"),
        (
            {"manifest_path": "/m", "manifest_conn_id": "c"},
            "manifest_conn_id is 'c', but manifest_path '/m' is not",
        ),
        ({"manifest_conn_id": "c"}, "Leave manifest_conn_id out"),
    ],
)
def test_a_manifest_that_nobody_can_read_is_refused(kwargs: dict[str, Any], message: str) -> None:
    """Where it is named, with the way out."""
    with pytest.raises(ProjectError, match=message):
        ProjectConfig("/p", **kwargs)


def test_a_manifest_may_lie_in_cloud_storage(tmp_path: Path) -> None:
    """Whether it is there is seen when the DAG is made."""
    (tmp_path / "dbt_project.yml").touch()
    project = ProjectConfig(tmp_path, manifest_path="gs://b/m.json", manifest_conn_id="c")

    project.validate()

    assert (project.manifest_path, project.manifest_conn_id) == ("gs://b/m.json", "c")


def test_a_missing_project_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    """And what belongs there."""
    with pytest.raises(ProjectError, match=f"dbt_project_path {tmp_path / 'nowhere'} is not a folder"):
        ProjectConfig(tmp_path / "nowhere").validate()


def test_a_folder_without_project_file_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    """The usual mistake is one level too high."""
    with pytest.raises(ProjectError, match=f"no dbt_project.yml in dbt_project_path {tmp_path}"):
        ProjectConfig(tmp_path).validate()


def test_a_missing_manifest_is_an_error_that_names_the_file(shop: Path, tmp_path: Path) -> None:
    """And the command that writes it."""
    with pytest.raises(ProjectError, match=r"manifest_path .*missing\.json is not a file.*dbt parse"):
        ProjectConfig(shop, manifest_path=tmp_path / "missing.json").validate()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "neither profiles_yml_filepath nor profile_mapping"),
        (
            {"profiles_yml_filepath": "x", "profile_mapping": MAPPING},
            "both profiles_yml_filepath and profile_mapping",
        ),
    ],
    ids=["neither", "both"],
)
def test_a_profile_is_a_file_or_a_mapping(kwargs: dict[str, object], message: str) -> None:
    """One of them, and not both."""
    with pytest.raises(ProfileError, match=message):
        ProfileConfig("shop", "dev", **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("profile", "target", "message"),
    [
        ("nope", "dev", r"no profile 'nope' in .*profiles\.yml; there is corner_shop\. Correct profile_name"),
        (
            "corner_shop",
            "prod",
            r"no target 'prod' in profile 'corner_shop' .*there is dev, other\. Correct target_name",
        ),
        ("corner_shop", "other", r"is of type 'postgres'\. Only bigquery is run here"),
    ],
    ids=["profile", "target", "warehouse"],
)
def test_what_a_profiles_file_lacks_is_named(shop: Path, profile: str, target: str, message: str) -> None:
    """Together with what it has, before any dbt is started."""
    with pytest.raises(ProfileError, match=message):
        ProfileConfig(profile, target, shop / "profiles.yml").validate()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("a: [", "is not YAML"),
        ("", "there is none at all"),
        ("[]", "there is none at all"),
    ],
    ids=["missing", "broken", "empty", "a list"],
)
def test_an_unusable_profiles_file_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    """Whatever is wrong with it."""
    path = tmp_path / "my_profiles.yml"
    if content is not None:
        path.write_text(content)

    with pytest.raises(ProfileError, match=rf"my_profiles\.yml.*{message}|{message}.*my_profiles\.yml"):
        ProfileConfig("shop", "dev", path).validate()


def test_only_the_wanted_profile_of_a_file_is_given_to_dbt(shop: Path) -> None:
    """Under dbt's own file name, with the author's Jinja untouched, and with what the DAG adds."""
    import yaml

    rendered = ProfileConfig("corner_shop", "dev", shop / "profiles.yml").render(
        overrides={"location": "EU", "threads": None}
    )

    assert yaml.safe_load(rendered.text) == {
        "corner_shop": {
            "target": "dev",
            "outputs": {
                "dev": {
                    "type": "bigquery",
                    "method": "oauth",
                    "project": "{{ env_var('SHOP_PROJECT', 'shop-project') }}",
                    "dataset": "shop",
                    "threads": 2,
                    "location": "EU",
                }
            },
        }
    }
    assert rendered.env == {}


def test_a_files_credentials_are_left_out_for_listing(tmp_path: Path) -> None:
    """The variables that hold them are set on workers, and perhaps not where DAG files are imported."""
    path = tmp_path / "profiles.yml"
    path.write_text(
        "shop: {target: dev, outputs: {dev: {type: bigquery, method: service-account-json, project: p, dataset: d,"
        " keyfile_json: {private_key: \"{{ env_var('KEY') }}\"}}}}"
    )
    profile = ProfileConfig("shop", "dev", path)

    assert "KEY" not in profile.render(mock=True).text
    assert profile.render().output["keyfile_json"] == {"private_key": "{{ env_var('KEY') }}"}


def test_identities_are_names_and_no_secrets(shop: Path) -> None:
    """They stand in the triggers' arguments, in Airflow's database."""
    of_file = ProfileConfig("corner_shop", "dev", shop / "profiles.yml")
    of_mapping = ProfileConfig("shop", "dev", profile_mapping=MAPPING)

    assert of_file.identity() == {
        "profiles_yml": str(shop / "profiles.yml"),
        "profile": "corner_shop",
        "target": "dev",
    }
    assert of_mapping.identity() == {"conn_id": "gcp_conn"}
    assert of_mapping.identity(gcp_conn_id="other") == {"conn_id": "other"}
    assert of_file.identity(gcp_conn_id="other", impersonation_chain="a@b") == {
        "conn_id": "other",
        "impersonation_chain": ["a@b"],
    }


@pytest.mark.parametrize("mode", [mode for mode in ExecutionMode if mode is not ExecutionMode.AIRFLOW_ASYNC])
def test_other_execution_modes_are_cosmos_business(mode: ExecutionMode) -> None:
    """Running them another way than asked would be a silent difference."""
    with pytest.raises(ConfigError, match=rf"execution_mode {mode.name} .*from `cosmos`"):
        ExecutionConfig(execution_mode=mode)


def test_an_invocation_mode_is_refused_as_in_cosmos() -> None:
    """Only Cosmos' local modes know one."""
    with pytest.raises(ConfigError, match="invocation_mode"):
        ExecutionConfig(invocation_mode=InvocationMode.DBT_RUNNER)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"load_method": LoadMode.CUSTOM}, "load_method CUSTOM is not supported"),
        ({"load_method": LoadMode.DBT_LS_FILE}, "load_method DBT_LS_FILE is not supported"),
        ({"dbt_ls_path": "x"}, "dbt_ls_path is not supported"),
        ({"selector": "daily", "select": ["x"]}, "selector 'daily' beside select"),
    ],
)
def test_what_is_not_available_is_named(kwargs: dict[str, object], message: str) -> None:
    """With a way out, at the line that asks for it."""
    with pytest.raises(ConfigError, match=message):
        RenderConfig(**kwargs)  # type: ignore[arg-type]


def test_a_single_term_may_be_written_without_a_list() -> None:
    """Otherwise each of its letters would be a term."""
    assert RenderConfig(select="tag:daily").select == ["tag:daily"]  # type: ignore[arg-type]
