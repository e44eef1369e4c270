"""From the names in a trigger's arguments to credentials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cosmos_async.exceptions import ProfileError
from cosmos_async.triggers.google import credentials
from cosmos_async.triggers.google.credentials import connection_credentials, identity_key, resolve

KEY = {"type": "service_account", "client_email": "dbt@p.iam", "private_key": "SECRET", "project_id": "p"}


def profile(folder: Path, **output: Any) -> dict[str, str]:
    """Write a profiles.yml with one target and return its identity."""
    path = folder / "profiles.yml"
    path.write_text(yaml.safe_dump({"shop": {"outputs": {"prod": {"type": "bigquery", **output}}}}))
    return {"profiles_yml": str(path), "profile": "shop", "target": "prod"}


# -- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "extra",
    [
        {"keyfile_dict": KEY},
        {"keyfile_dict": json.dumps(KEY)},
        {"keyfile_dict": {**KEY, "private_key": "SECRET"}, "project": ""},
    ],
)
def test_a_connections_key_may_be_text_or_an_object(extra: dict[str, Any]) -> None:
    """Airflow's form stores text, its API objects."""
    found = connection_credentials("gcp", extra)

    assert found.service_data == KEY
    assert found.who == "dbt@p.iam (Airflow connection 'gcp')"
    assert found.project == "p"


def test_a_connection_without_a_key_means_the_machines_own() -> None:
    """As in Airflow's own Google hook."""
    found = connection_credentials("gcp", {})

    assert (found.service_data, found.key_path) == (None, None)
    assert "default credentials" in found.who


def test_a_chain_ends_with_the_account_to_act_as() -> None:
    """Those before it are delegates."""
    found = connection_credentials("gcp", {"impersonation_chain": "a@p, b@p,c@p"})

    assert (found.impersonate, found.delegates) == ("c@p", ("a@p", "b@p"))


def test_a_key_file_named_by_the_dags_author_wins() -> None:
    """dbt uses it as well, and both must be the same principal."""
    found = connection_credentials("gcp", {"keyfile_dict": KEY, "key_path": "/old"}, key_path="/new")

    assert (found.service_data, found.key_path) == (None, "/new")


@pytest.mark.parametrize("key", ["{not json SECRET", '["SECRET"]', 7])
def test_a_key_that_is_none_is_refused_without_showing_it(key: Any) -> None:
    """Whoever reads the log must not see it."""
    with pytest.raises(ProfileError, match="keyfile_dict of Airflow connection 'gcp'") as caught:
        connection_credentials("gcp", {"keyfile_dict": key})

    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_that_went_through_a_shell_is_mended() -> None:
    """Its line ends arrive as two characters each."""
    found = connection_credentials("gcp", {"keyfile_dict": {**KEY, "private_key": "a\\nb"}})

    assert found.service_data is not None
    assert found.service_data["private_key"] == "a\nb"


class Connection:
    """What Airflow gives."""

    def __init__(self, conn_type: str, **extra: Any) -> None:
        self.conn_type = conn_type
        self.extra_dejson = extra


async def test_a_connection_of_another_type_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is submitted."""
    monkeypatch.setattr(credentials, "_get_connection", lambda conn_id: Connection("postgres"))

    with pytest.raises(ProfileError, match="'gcp' is of type 'postgres', but BigQuery needs one of type"):
        await resolve({"conn_id": "gcp"})


async def test_an_old_connections_fields_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow before 2.3 wrote them with a prefix, and connections live long."""
    old = Connection("google_cloud_platform", extra__google_cloud_platform__keyfile_dict=json.dumps(KEY))
    monkeypatch.setattr(credentials, "_get_connection", lambda conn_id: old)

    found = await resolve({"conn_id": "gcp", "impersonation_chain": ["run@p"]})

    assert found.service_data == KEY
    assert found.impersonate == "run@p"


# -- profiles.yml -----------------------------------------------------------------------------------------------------


async def test_where_dbt_goes_by_the_machine_the_triggerer_does_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """dbt's method ``oauth`` does not look at a key; jobs must not run as another account than they were planned for."""
    keyed = Connection(
        "google_cloud_platform", keyfile_dict=KEY, key_path="/k.json", project="acme", scope="a,b"
    )
    monkeypatch.setattr(credentials, "_get_connection", lambda conn_id: keyed)

    found = await resolve({"conn_id": "gcp", "method": "oauth"})

    assert (found.service_data, found.key_path) == (None, None)
    assert (found.project, found.scopes) == ("acme", ("a", "b"))


async def test_a_target_may_use_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``env_var()`` is rendered as dbt renders it, with its default."""
    monkeypatch.setenv("DBT_KEY", "/keys/dbt.json")
    identity = profile(
        tmp_path,
        method="{{ env_var('DBT_METHOD', 'service-account') }}",
        keyfile="{{ env_var('DBT_KEY') }}",
        project="p",
    )

    found = await resolve(identity)

    assert (found.key_path, found.project) == ("/keys/dbt.json", "p")


async def test_the_targets_quota_project_and_scopes_are_the_triggers(tmp_path: Path) -> None:
    """Also for an impersonated account."""
    output = {"quota_project": "payer", "scopes": ["s1"], "impersonate_service_account": "run@p"}

    found = await resolve(profile(tmp_path, method="oauth", **output))

    assert (found.quota_project, found.scopes, found.impersonate) == ("payer", ("s1",), "run@p")


async def test_default_credentials_know_the_quota_project_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Google's own library does, and so dbt; a key knows nothing of it."""
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "payer")

    default = await resolve(profile(tmp_path, method="oauth"))
    key = await resolve(profile(tmp_path, method="service-account", keyfile="/k.json"))

    assert (default.quota_project, key.quota_project) == ("payer", None)


async def test_a_variable_that_only_the_worker_has_is_named(tmp_path: Path) -> None:
    """The triggerer is another process."""
    identity = profile(tmp_path, method="service-account", keyfile="{{ env_var('NOBODY_HAS_THIS') }}")

    with pytest.raises(ProfileError, match="NOBODY_HAS_THIS, which the triggerer does not have"):
        await resolve(identity)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"method": "oauth", "project": "p"}, {"service_data": None, "key_path": None}),
        ({"method": "service-account", "keyfile": "/k.json"}, {"key_path": "/k.json"}),
        ({"method": "service-account-json", "keyfile_json": KEY}, {"service_data": KEY}),
        ({"method": "oauth-secrets", "token": "T"}, {"access_token": "T"}),
        (
            {"method": "oauth-secrets", "refresh_token": "R", "client_id": "C", "client_secret": "S"},
            {
                "service_data": {
                    "type": "authorized_user",
                    "refresh_token": "R",
                    "client_id": "C",
                    "client_secret": "S",
                    "token_uri": "https://oauth2.googleapis.com/token",
                }
            },
        ),
        ({"method": "oauth", "impersonate_service_account": "run@p"}, {"impersonate": "run@p"}),
    ],
    ids=["oauth", "service-account", "service-account-json", "token", "refresh token", "impersonation"],
)
async def test_dbts_methods_are_known(
    tmp_path: Path, output: dict[str, Any], expected: dict[str, Any]
) -> None:
    """As dbt-bigquery documents them."""
    found = await resolve(profile(tmp_path, **output))

    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"method": "external-oauth-wif"}, "has method 'external-oauth-wif'"),
        ({"method": "service-account"}, "has no keyfile, which method 'service-account' needs"),
        ({"type": "postgres"}, "is of type 'postgres'; only bigquery"),
    ],
)
async def test_a_target_that_cannot_be_used_says_why(
    tmp_path: Path, output: dict[str, Any], said: str
) -> None:
    """With file, profile and target."""
    with pytest.raises(ProfileError, match=said):
        await resolve(profile(tmp_path, **output))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"profile": "shoop"}, "no target 'prod' of profile 'shoop'"),
        ({"target": "dev"}, "no target 'dev'"),
        ({"profiles_yml": "/nowhere/profiles.yml"}, "cannot be read on this machine"),
    ],
)
async def test_a_wrong_name_is_named(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    """Before anything is submitted."""
    identity = {**profile(tmp_path, method="oauth"), **changes}

    with pytest.raises(ProfileError, match=said):
        await resolve(identity)


def test_nothing_secret_is_in_a_repr() -> None:
    """Somebody will log it one day."""
    assert "SECRET" not in repr(connection_credentials("gcp", {"keyfile_dict": KEY}))


def test_equal_identities_share_a_session_whatever_their_order() -> None:
    """The key is that of a dictionary."""
    assert identity_key({"a": 1, "b": [2]}) == identity_key({"b": [2], "a": 1})
    assert identity_key({"conn_id": "a"}) != identity_key({"conn_id": "b"})
