"""An author's own profile mapping, written as for Cosmos."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from cosmos_async.config import ProfileConfig
from cosmos_async.exceptions import ProfileError
from cosmos_async.profiles import (
    BaseProfileMapping,
    GoogleCloudOauthProfileMapping,
    GoogleCloudServiceAccountDictProfileMapping,
)

KEY = {"client_email": "dbt@p.iam", "private_key_id": "12", "private_key": "-----BEGIN MIIsecret"}


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the Airflow connection ``gcp_conn``."""

    def make(conn_type: str = "google_cloud_platform", **fields: Any) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_GCP_CONN", json.dumps({"conn_type": conn_type, **fields}))

    return make


class Own(BaseProfileMapping):
    """The attributes and properties that Cosmos' documentation has."""

    airflow_connection_type = "google_cloud_platform"
    dbt_profile_type = "bigquery"
    dbt_profile_method = "oauth"
    required_fields = ["project", "dataset", "execution_project"]
    airflow_param_mapping = {
        "project": ["extra.project", "extra__google_cloud_platform__project"],
        "dataset": "extra.dataset",
        "execution_project": "host",
    }

    @property
    def profile(self) -> dict[str, Any]:
        """Add what the connection does not have."""
        return {**self.mapped_params, "priority": None, **self.profile_args, "location": "EU"}

    def transform_dataset(self, dataset: str) -> str:
        """Build beside the others."""
        return f"own_{dataset}"


def render(mapping: BaseProfileMapping) -> Any:
    return ProfileConfig("shop", "prod", profile_mapping=mapping).render()


def test_an_own_mapping_makes_the_profile(connect: Any) -> None:
    """Values of the connection, transformed by methods; profile_args win; None is left out."""
    connect(host="payer", extra={"extra__google_cloud_platform__project": "p", "dataset": "d"})

    assert render(Own("gcp_conn")).output == {
        "type": "bigquery",
        "method": "oauth",
        "project": "p",
        "dataset": "own_d",
        "execution_project": "payer",
        "location": "EU",
    }
    assert render(Own("gcp_conn", {"dataset": "mine"})).output["dataset"] == "mine"


def test_a_profile_that_a_subclass_changes_is_dbts(connect: Any) -> None:
    """Its secrets stay in the environment."""

    class Mars(GoogleCloudServiceAccountDictProfileMapping):
        @property
        def profile(self) -> dict[str, Any]:
            return {**super().profile, "location": "mars"}

    connect(extra={"keyfile_dict": KEY, "project": "p"})

    rendered = render(Mars("gcp_conn", {"dataset": "d"}))

    assert rendered.output["location"] == "mars"
    assert rendered.output["keyfile_json"]["client_email"] == "dbt@p.iam"
    assert rendered.env["DBT_ENV_SECRET_COSMOS_PRIVATE_KEY"] == KEY["private_key"]
    assert "MIIsecret" not in rendered.text


def test_a_profile_without_a_property_is_made_of_the_mapping(connect: Any) -> None:
    """Where the attributes say it all."""

    class Plain(BaseProfileMapping):
        airflow_param_mapping = {"project": "extra.project", "dataset": "schema"}

    connect(schema="d", extra={"project": "p"})

    assert render(Plain("gcp_conn")).output == {
        "type": "bigquery",
        "project": "p",
        "dataset": "d",
        "threads": 8,
    }


@pytest.mark.parametrize(("name", "error"), [("profile", "KeyError"), ("env_vars", "TypeError")])
def test_a_mistake_in_an_own_mapping_names_it_and_its_connection(connect: Any, name: str, error: str) -> None:
    """Without the error's own text, which may quote the connection."""

    class Wrong(Own):
        @property
        def profile(self) -> dict[str, Any]:
            return super().profile if name != "profile" else {"token": {}["s3cret"]}

        @property
        def env_vars(self) -> Any:
            return None if name == "env_vars" else {}

    connect(host="payer", extra={"project": "p", "dataset": "d"})

    with pytest.raises(
        ProfileError, match=rf"Wrong.{name} failed for connection 'gcp_conn' \({error}.*a dict"
    ) as raised:
        render(Wrong("gcp_conn"))
    assert "s3cret" not in str(raised.value)


class WithSecret(Own):
    """A key of its own that is secret."""

    required_fields = ["project", "dataset", "proxy_password"]
    secret_fields = ["proxy_password"]
    airflow_param_mapping = {**Own.airflow_param_mapping, "proxy_password": "password"}

    @property
    def profile(self) -> dict[str, Any]:
        """Name the variable."""
        return {**self.mapped_params, "proxy_password": self.get_env_var_format("proxy_password")}


class Careless(WithSecret):
    """One that spells the secret out."""

    @property
    def profile(self) -> dict[str, Any]:
        """Forget that it is secret."""
        return self.mapped_params


@pytest.mark.parametrize("mapping", [WithSecret, Careless])
def test_a_secret_field_is_in_the_environment_alone(connect: Any, mapping: Any) -> None:
    """Also where the mapping forgets it."""
    connect(password="s3cret", extra={"project": "p", "dataset": "d"})

    rendered = render(mapping("gcp_conn"))

    assert mapping.get_env_var_name("proxy_password") == "DBT_ENV_SECRET_COSMOS_PROXY_PASSWORD"
    assert rendered.env == {"DBT_ENV_SECRET_COSMOS_PROXY_PASSWORD": "s3cret"}
    assert rendered.output["proxy_password"] == "{{ env_var('DBT_ENV_SECRET_COSMOS_PROXY_PASSWORD') }}"


def test_a_key_that_is_spelt_out_is_hidden(connect: Any) -> None:
    """Whoever builds a keyfile_json means no harm."""

    class WithKey(BaseProfileMapping):
        dbt_profile_method = "service-account-json"

        @property
        def profile(self) -> dict[str, Any]:
            key = self.conn.extra_dejson["keyfile_dict"]
            return {"type": "bigquery", "method": self.dbt_profile_method, "keyfile_json": key} | {
                "project": "p",
                "dataset": "d",
            }

    connect(extra={"keyfile_dict": KEY})

    rendered = render(WithKey("gcp_conn"))

    assert "MIIsecret" not in rendered.text
    assert rendered.env["DBT_ENV_SECRET_COSMOS_PRIVATE_KEY"] == KEY["private_key"]


def test_the_connection_is_read_anew_for_each_profile(connect: Any) -> None:
    """And not kept: it holds secrets."""
    mapping = Own("gcp_conn", {"project": "p", "execution_project": "e"})
    connect(extra={"dataset": "first"})
    assert render(mapping).output["dataset"] == "own_first"
    connect(extra={"dataset": "second"})

    assert render(mapping).output["dataset"] == "own_second"
    assert mapping._conn is None


def test_a_mock_of_an_own_mapping_reads_no_connection() -> None:
    """It has what is required, and no credentials."""

    class Needs(Own):
        required_fields = ["project", "dataset", "keyfile_json", "execution_project"]

    mock = ProfileConfig("shop", "dev", profile_mapping=Needs("missing", {"location": "EU"})).render(
        mock=True
    )

    assert yaml.safe_load(mock.text)["shop"]["outputs"]["dev"] == {
        "type": "bigquery",
        "method": "oauth",
        "project": "mock-project",
        "dataset": "mock_dataset",
        "execution_project": "mock_value",
        "threads": 8,
        "location": "EU",
    }


@pytest.mark.parametrize(
    ("mapping", "fields", "message"),
    [
        (
            Own,
            {"extra": {"project": "p"}},
            r"'gcp_conn' has no value for 'dataset', which Own needs \(it looks for ",
        ),
        (
            WithSecret,
            {"extra": {"project": "p", "dataset": "d"}},
            r"no value for 'proxy_password'.*looks for password",
        ),
    ],
)
def test_what_the_connection_lacks_is_named(connect: Any, mapping: Any, fields: Any, message: str) -> None:
    """With the place where the mapping looks for it."""
    connect(**fields)

    with pytest.raises(ProfileError, match=message):
        render(mapping("gcp_conn"))


def test_a_missing_connection_is_named() -> None:
    """With the mapping and the way out."""
    with pytest.raises(ProfileError, match=r"no connection 'nowhere', which Own needs\. Create it"):
        render(Own("nowhere"))


def test_a_mapping_for_another_warehouse_is_refused() -> None:
    """At the line that makes it."""

    class Postgres(BaseProfileMapping):
        dbt_profile_type = "postgres"

    with pytest.raises(ProfileError, match=r"Postgres for connection 'pg' makes profiles of type 'postgres'"):
        Postgres("pg")


class Acts(GoogleCloudOauthProfileMapping):
    """A profile that acts as somebody else than the connection says."""

    more: dict[str, Any] = {}

    @property
    def profile(self) -> dict[str, Any]:
        """Say who."""
        return {**super().profile, **self.more}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"impersonate_service_account": "a@p"}, "has impersonate_service_account a@p for dbt, but .* none"),
        ({"method": "service-account", "keyfile": "/k"}, "has credentials of the key file /k for dbt"),
        ({"method": "oauth-secrets"}, "has credentials by the method oauth-secrets"),
        ({"quota_project": "payer"}, "has quota_project payer for dbt"),
        ({"scopes": ["drive"]}, "has the scope drive for dbt"),
    ],
)
def test_a_profile_of_another_account_than_the_triggerers_is_refused(
    connect: Any, more: dict[str, Any], message: str
) -> None:
    """Jobs would run as somebody else than dbt has planned them for."""
    connect(extra={"project": "p"})
    mapping = Acts("gcp_conn", {"dataset": "d"})
    mapping.more = more

    with pytest.raises(ProfileError, match=f"{message}.*identity"):
        render(mapping)


def test_the_machines_credentials_are_said_to_the_triggerer_as_well(connect: Any) -> None:
    """A connection with a key is no contradiction: neither of them looks at it."""
    connect(extra={"project": "p", "keyfile_dict": KEY})
    mapping = GoogleCloudOauthProfileMapping("gcp_conn", {"dataset": "d"})

    assert mapping.identity() == {"conn_id": "gcp_conn", "method": "oauth"}
    assert render(mapping).output["method"] == "oauth"
    assert render(Acts("gcp_conn", {"dataset": "d"})).output["method"] == "oauth"


def test_a_mapping_may_say_itself_who_acts_in_the_triggerer(connect: Any) -> None:
    """By its own identity, for what no connection of Google's says."""

    class Vault(BaseProfileMapping):
        airflow_connection_type = "vault"

        @property
        def profile(self) -> dict[str, Any]:
            return {"type": "bigquery", "method": "oauth", "project": "p", "dataset": "d"}

    class Known(Vault):
        def identity(self) -> dict[str, Any]:
            return {"conn_id": "gcp_jobs"}

    connect("vault")

    with pytest.raises(ProfileError, match=r"reads a connection of type 'vault'.*'google_cloud_platform'"):
        render(Vault("gcp_conn"))
    assert render(Known("gcp_conn")).output["project"] == "p"
    assert ProfileConfig("s", "d", profile_mapping=Known("gcp_conn")).identity() == {"conn_id": "gcp_jobs"}


def test_a_profile_can_be_written_for_a_while(connect: Any, tmp_path: Any) -> None:
    """For operators of Cosmos' that a converter makes."""
    connect(extra={"keyfile_dict": KEY, "project": "p"})
    mapping = GoogleCloudServiceAccountDictProfileMapping("gcp_conn", {"dataset": "d"})
    config = ProfileConfig("shop", "prod", profile_mapping=mapping)

    with config.ensure_profile() as (path, env):
        assert yaml.safe_load(path.read_text())["shop"]["target"] == "prod"
        assert env["DBT_ENV_SECRET_COSMOS_PRIVATE_KEY"] == KEY["private_key"]
    assert not path.exists()
    with config.ensure_profile(tmp_path / "here", use_mock_values=True) as (path, env):
        assert (path.parent, env) == (tmp_path / "here", {})
    own = tmp_path / "profiles.yml"
    with ProfileConfig("shop", "prod", own).ensure_profile() as found:
        assert found == (own, {})
    assert config.get_profile_type() == "bigquery"
