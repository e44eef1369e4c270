"""Airflow connections as dbt profiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cosmos_async.config import ProfileConfig
from cosmos_async.exceptions import ProfileError
from cosmos_async.profiles import (
    BaseProfileMapping,
    GoogleCloudOauthProfileMapping,
    GoogleCloudServiceAccountDictProfileMapping,
    GoogleCloudServiceAccountFileProfileMapping,
)

KEY = {
    "type": "service_account",
    "project_id": "key-project",
    "private_key_id": "1234",
    "private_key": "-----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END PRIVATE KEY-----\n",
    "client_email": "dbt@key-project.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}
ARGS = {"dataset": "shop"}
DICT = GoogleCloudServiceAccountDictProfileMapping


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the Airflow connection ``gcp_conn``."""

    def make(extra: dict[str, Any], conn_type: str = "google_cloud_platform") -> None:
        monkeypatch.setenv("AIRFLOW_CONN_GCP_CONN", json.dumps({"conn_type": conn_type, "extra": extra}))

    return make


@pytest.mark.parametrize("prefix", ["", "extra__google_cloud_platform__"], ids=["plain", "old prefix"])
@pytest.mark.parametrize("encode", [dict, json.dumps], ids=["object", "text"])
def test_a_key_in_a_connection_becomes_a_profile_without_secrets(
    connect: Any, prefix: str, encode: Any
) -> None:
    """However the connection's author wrote it: the text names variables, the environment has the values."""
    connect({f"{prefix}keyfile_dict": encode(KEY), f"{prefix}project": "conn-project"})

    rendered = ProfileConfig("shop", "prod", profile_mapping=DICT("gcp_conn", ARGS)).render()

    assert rendered.env == {
        "DBT_ENV_SECRET_COSMOS_PRIVATE_KEY_ID": "1234",
        "DBT_ENV_SECRET_COSMOS_PRIVATE_KEY": KEY["private_key"],
    }
    assert "MIIsecret" not in rendered.text
    assert "MIIsecret" not in repr(rendered)
    output = yaml.safe_load(rendered.text)["shop"]["outputs"]["prod"]
    assert output == {
        "type": "bigquery",
        "method": "service-account-json",
        "project": "conn-project",
        "dataset": "shop",
        "threads": 8,
        "keyfile_json": {
            **KEY,
            "private_key_id": "{{ env_var('DBT_ENV_SECRET_COSMOS_PRIVATE_KEY_ID') }}",
            "private_key": "{{ env_var('DBT_ENV_SECRET_COSMOS_PRIVATE_KEY') }}",
        },
    }


def test_profile_args_win_over_the_connection(connect: Any) -> None:
    """They are the DAG author's word."""
    connect({"keyfile_dict": KEY, "project": "conn-project", "dataset": "conn_dataset"})

    profile = DICT("gcp_conn", {"project": "mine", "schema": "marts", "location": "EU", "threads": 2}).profile

    assert (profile["project"], profile["schema"], profile["location"], profile["threads"]) == (
        "mine",
        "marts",
        "EU",
        2,
    )
    assert "dataset" not in profile


def test_the_project_may_come_from_the_key(connect: Any) -> None:
    """Most people name it nowhere else."""
    connect({"keyfile_dict": KEY})

    assert DICT("gcp_conn", ARGS).profile["project"] == "key-project"


def test_scopes_and_impersonation_come_along(connect: Any) -> None:
    """Without them dbt would act as somebody else than the rest of the DAG."""
    connect({"keyfile_dict": KEY, "scope": "https://a, https://b", "impersonation_chain": "build@p.iam"})

    profile = DICT("gcp_conn", ARGS).profile

    assert profile["scopes"] == ["https://a", "https://b"]
    assert profile["impersonate_service_account"] == "build@p.iam"


def test_a_chain_of_impersonations_is_refused(connect: Any) -> None:
    """dbt-bigquery knows one link; taking any of them would act as the wrong account."""
    connect({"keyfile_dict": KEY, "impersonation_chain": ["a@p", "b@p"]})

    with pytest.raises(ProfileError, match=r"chain of 2 service accounts.*impersonate b@p directly"):
        _ = DICT("gcp_conn", ARGS).profile


def test_impersonation_in_the_profile_is_the_triggerers_too() -> None:
    """Both sides of a run must act as the same account."""
    mapping = DICT("gcp_conn", {**ARGS, "impersonate_service_account": "build@p"})

    assert mapping.identity() == {"conn_id": "gcp_conn", "impersonation_chain": ["build@p"]}


def test_a_key_file_becomes_a_profile(connect: Any) -> None:
    """By its path; what is in it stays there."""
    connect({"key_path": "/secrets/key.json", "project": "p"})

    profile = GoogleCloudServiceAccountFileProfileMapping("gcp_conn", ARGS).profile

    assert (profile["method"], profile["keyfile"]) == ("service-account", "/secrets/key.json")


def test_a_key_file_of_the_dags_own_is_the_triggerers_too(connect: Any) -> None:
    """Written as a path or as text."""
    connect({"project": "p"})
    mapping = GoogleCloudServiceAccountFileProfileMapping(
        "gcp_conn", {**ARGS, "keyfile": Path("/secrets/key.json")}
    )

    assert mapping.identity() == {"conn_id": "gcp_conn", "key_path": "/secrets/key.json"}
    assert "keyfile: /secrets/key.json" in mapping.get_profile_file_contents("shop", use_mock_values=True)
    assert mapping.profile["keyfile"] == "/secrets/key.json"


def test_the_machines_own_credentials_become_a_profile(connect: Any) -> None:
    """An empty connection but for the project."""
    connect({"project": "p"})

    assert GoogleCloudOauthProfileMapping("gcp_conn", ARGS).profile == {
        "type": "bigquery",
        "method": "oauth",
        "project": "p",
        "dataset": "shop",
        "threads": 8,
    }


@pytest.mark.parametrize(
    ("mapping", "extra", "message"),
    [
        (DICT("gcp_conn", ARGS), {"key_path": "/k"}, "'gcp_conn' has no keyfile_dict.*FileProfileMapping"),
        (
            DICT("gcp_conn", ARGS),
            {"keyfile_dict": "{no"},
            "keyfile_dict of Airflow connection 'gcp_conn' is not JSON",
        ),
        (DICT("gcp_conn", ARGS), {"keyfile_dict": "[1]"}, "is a list, not an object"),
        (
            DICT("gcp_conn", ARGS),
            {"keyfile_dict": {"private_key_id": "1"}},
            "no private_key in its keyfile_dict",
        ),
        (DICT("gcp_conn", {}), {"keyfile_dict": KEY}, "No dataset for connection 'gcp_conn'"),
        (
            GoogleCloudOauthProfileMapping("gcp_conn", ARGS),
            {},
            "No Google Cloud project for connection 'gcp_conn'",
        ),
        (GoogleCloudServiceAccountFileProfileMapping("gcp_conn", ARGS), {"project": "p"}, "has no key_path"),
    ],
)
def test_what_a_connection_lacks_is_named(
    connect: Any, mapping: BaseProfileMapping, extra: dict[str, Any], message: str
) -> None:
    """Connection first, then what is missing and where it goes."""
    connect(extra)

    with pytest.raises(ProfileError, match=message):
        _ = mapping.profile


def test_a_broken_key_is_not_quoted(connect: Any) -> None:
    """Error messages end up in logs and tickets."""
    connect({"keyfile_dict": '{"private_key": "MIIsecret" oops'})

    with pytest.raises(ProfileError) as caught:
        _ = DICT("gcp_conn", ARGS).profile

    assert "MIIsecret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_missing_connection_is_named() -> None:
    """With the type it should have."""
    with pytest.raises(ProfileError, match=r"no connection 'missing_one'.*type google_cloud_platform"):
        _ = DICT("missing_one", ARGS).profile


def test_a_connection_of_another_type_is_named(connect: Any) -> None:
    """Before anything of it is used."""
    connect({"keyfile_dict": KEY}, conn_type="postgres")

    with pytest.raises(ProfileError, match=r"'gcp_conn' is of type 'postgres'.*'google_cloud_platform'"):
        _ = DICT("gcp_conn", ARGS).profile


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"profile_args": {"type": "postgres"}}, "set type to 'postgres'"),
        ({"profile_args": {"method": "oauth"}}, "set method to 'oauth'"),
        ({"profile_args": {"keyfile_json": KEY}}, "hold a keyfile_json"),
        ({"dbt_config_vars": object()}, "dbt_config_vars is not supported"),
    ],
)
def test_contradicting_arguments_are_refused_at_once(kwargs: dict[str, Any], message: str) -> None:
    """Where they are written, not when a run starts."""
    with pytest.raises(ProfileError, match=message):
        DICT("gcp_conn", **kwargs)


def test_a_mock_profile_reads_no_connection() -> None:
    """DAG files are imported where connections may not even exist."""
    mapping = DICT("missing_one", {**ARGS, "location": "EU"})

    assert mapping.mock_profile == {
        "type": "bigquery",
        "method": "service-account-json",
        "project": "mock-project",
        "dataset": "shop",
        "location": "EU",
        "threads": 8,
    }
    assert ProfileConfig("shop", "dev", profile_mapping=mapping).render(mock=True).env == {}


def test_dbt_may_be_kept_from_reporting_its_use(connect: Any) -> None:
    """As in Cosmos, by the mapping's own argument."""
    connect({"keyfile_dict": KEY})
    mapping = DICT("gcp_conn", ARGS, disable_event_tracking=True)

    assert mapping.env_vars["DO_NOT_TRACK"] == "1"
    assert (
        ProfileConfig("s", "d", profile_mapping=mapping).render().env["DBT_SEND_ANONYMOUS_USAGE_STATS"]
        == "False"
    )


def test_a_profile_is_written_for_its_user_alone(connect: Any, tmp_path: Path) -> None:
    """Even without secrets it tells where a company's data is."""
    connect({"keyfile_dict": KEY})

    env = ProfileConfig("shop", "dev", profile_mapping=DICT("gcp_conn", ARGS)).render().write(tmp_path)

    path = tmp_path / "profiles.yml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "MIIsecret" not in path.read_text()
    assert env["DBT_ENV_SECRET_COSMOS_PRIVATE_KEY"] == KEY["private_key"]


def test_the_triggerer_learns_whose_quota_and_which_scopes_the_profile_wants() -> None:
    """They change requests, and dbt sends the same."""
    mapping = GoogleCloudOauthProfileMapping(
        conn_id="gcp", profile_args={"dataset": "d", "quota_project": "payer", "scopes": ["s1", "s2"]}
    )

    assert mapping.identity() == {
        "conn_id": "gcp",
        "method": "oauth",
        "quota_project": "payer",
        "scopes": ["s1", "s2"],
    }


def test_flags_of_a_profiles_file_come_along(tmp_path: Path) -> None:
    """dbt reads the file's ``config`` where the project sets no ``flags``, as projects did before dbt 1.8."""
    path = tmp_path / "profiles.yml"
    output = {"type": "bigquery", "project": "acme", "dataset": "shop"}
    config = {"indirect_selection": "cautious"}
    path.write_text(
        yaml.safe_dump({"config": config, "shop": {"target": "prod", "outputs": {"prod": output}}})
    )

    rendered = ProfileConfig("shop", "prod", path).render()

    assert yaml.safe_load(rendered.text)["config"] == config
