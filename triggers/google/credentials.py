"""
Whose credentials a task uses: from the few names in a trigger's arguments to something that can get a token.

The names (a connection, or the place of a target in a ``profiles.yml``) are all a trigger carries; what they mean is
looked up here, in the triggerer, and never logged.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cosmos_async.airflow.google_connection import CONNECTION_TYPES, as_list, extra_of
from cosmos_async.exceptions import ProfileError
from cosmos_async.triggers.event_loop.threads import in_thread

Identity = Mapping[str, Any]

_QUOTA_VARIABLE = "GOOGLE_CLOUD_QUOTA_PROJECT"
_GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"


@dataclass(frozen=True)
class Credentials:
    """What a token is made from."""

    who: str  #: for messages: an account's address, or where the credentials come from
    service_data: dict[str, Any] | None = field(
        default=None, repr=False
    )  #: a key file's content; None means ADC
    key_path: str | None = None  #: a key file of this machine
    access_token: str | None = field(default=None, repr=False)  #: a token given as such, never renewed
    impersonate: str | None = None  #: the account to act as
    delegates: tuple[str, ...] = ()  #: the accounts in between
    project: str | None = None
    quota_project: str | None = None  #: whose quota the requests use, if not the account's own project's
    scopes: tuple[str, ...] = ()  #: beside those that dbt-bigquery asks for anyway


def identity_key(identity: Identity) -> str:
    """Return *identity* as a dictionary key: equal identities, equal keys."""
    return json.dumps(identity, sort_keys=True, default=str)


async def resolve(identity: Identity) -> Credentials:
    """
    Look up what *identity* names.

    Raises:
        ProfileError: It cannot be found or used; the message holds no secret.
    """
    if "conn_id" in identity:
        credentials = await _from_connection(identity)
    elif "profiles_yml" in identity:
        credentials = await asyncio.to_thread(_from_profile, identity)
    else:
        credentials = Credentials(who="this machine's default credentials")
    chain = as_list(identity.get("impersonation_chain"))
    credentials = _impersonating(credentials, chain) if chain else credentials
    return replace(
        credentials,
        # google-auth reads the variable for default credentials, and dbt with it.
        quota_project=identity.get("quota_project")
        or credentials.quota_project
        or (os.environ.get(_QUOTA_VARIABLE) if _is_default(credentials) else None)
        or None,
        scopes=(*credentials.scopes, *as_list(identity.get("scopes"))),
    )


def _is_default(credentials: Credentials) -> bool:
    return not (credentials.service_data or credentials.key_path or credentials.access_token)


# -- an Airflow connection --------------------------------------------------------------------------------------------


async def _from_connection(identity: Identity) -> Credentials:
    conn_id = identity["conn_id"]
    connection = await in_thread(_get_connection, conn_id)
    if connection.conn_type not in CONNECTION_TYPES:
        raise ProfileError(
            f"Airflow connection {conn_id!r} is of type {connection.conn_type!r}, but BigQuery needs one of type "
            f"{CONNECTION_TYPES[0]!r}. Change the connection's type, or name another connection."
        )
    # In a thread as well: Airflow 3.0 asks its supervisor, not from a running loop, to mask what is read here.
    extra = await in_thread(extra_of, connection)
    if (
        identity.get("method") == "oauth"
    ):  # as dbt, which takes the machine's credentials whatever the connection has
        extra = {name: value for name, value in extra.items() if name not in ("keyfile_dict", "key_path")}
    return connection_credentials(conn_id, extra, key_path=identity.get("key_path"))


def _get_connection(conn_id: str) -> Any:
    from cosmos_async.airflow.compat import BaseHook

    try:
        return BaseHook.get_connection(conn_id)
    except Exception as error:
        # By name: Airflow moved and renamed this error more than once.
        if "NotFound" not in type(error).__name__ and "CONNECTION_NOT_FOUND" not in str(error):
            raise
        raise ProfileError(
            f"Airflow has no connection {conn_id!r}. Create it with type {CONNECTION_TYPES[0]!r}, or name an existing "
            "one in the profile mapping."
        ) from error


def connection_credentials(
    conn_id: str, extra: Mapping[str, Any], *, key_path: str | None = None
) -> Credentials:
    """
    Return the credentials in a Google connection's extras.

    Raises:
        ProfileError: The key in it is not usable.
    """
    project = extra.get("project") or None
    # A file named by the DAG's author wins over the connection's key, and that over the connection's file.
    key = None if key_path else extra.get("keyfile_dict") or None
    key_path = key_path or extra.get("key_path") or None
    origin = f"Airflow connection {conn_id!r}"
    if key is not None:
        data = _key_document(key, f"the keyfile_dict of {origin}")
        credentials = Credentials(
            who=f"{data.get('client_email', 'the account')} ({origin})",
            service_data=data,
            project=project or data.get("project_id"),
        )
    elif key_path:
        credentials = Credentials(who=f"the key file of {origin}", key_path=str(key_path), project=project)
    else:
        credentials = Credentials(
            who=f"this machine's default credentials ({origin} has no key)", project=project
        )
    credentials = replace(credentials, scopes=tuple(as_list(extra.get("scope"))))
    chain = as_list(extra.get("impersonation_chain"))
    return _impersonating(credentials, chain) if chain else credentials


def _impersonating(credentials: Credentials, chain: list[str]) -> Credentials:
    return replace(
        credentials,
        who=f"{chain[-1]} (impersonated by {credentials.who})",
        impersonate=chain[-1],
        delegates=tuple(chain[:-1]),
    )


# -- a profiles.yml ---------------------------------------------------------------------------------------------------


def _from_profile(identity: Identity) -> Credentials:
    import jinja2
    import yaml

    path, profile, target = Path(identity["profiles_yml"]), identity["profile"], identity["target"]
    where = f"target {target!r} of profile {profile!r} in {path}"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(
            f"{path} cannot be read on this machine ({error.strerror}). The triggerer needs the profiles.yml as well: "
            "put it where both workers and triggerers see it, or use a profile_mapping."
        ) from error
    except yaml.YAMLError:
        # Without the cause: YAML's errors quote the lines around them, which may hold a key.
        raise ProfileError(f"{path} is not YAML. Run `dbt debug` to see where.") from None
    try:
        output = document[profile]["outputs"][target]
        kind = output["type"]
    except (KeyError, TypeError):
        raise ProfileError(f"There is no {where}. Correct profile_name and target_name.") from None
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.globals["env_var"] = lambda name, default=None: _env_var(name, default, where)
    try:
        output = _rendered(output, environment)
    except jinja2.TemplateError as error:
        raise ProfileError(f"The Jinja in {where} cannot be rendered: {error.message}") from error
    if _rendered(kind, environment) != "bigquery":
        raise ProfileError(f"The {where} is of type {kind!r}; only bigquery is run here.")
    return profile_credentials(output, where)


def profile_credentials(output: Mapping[str, Any], where: str) -> Credentials:
    """
    Return the credentials of a rendered dbt-bigquery target.

    Raises:
        ProfileError: Its method is unknown or lacks something.
    """
    method = output.get("method", "oauth")
    project = output.get("execution_project") or output.get("project") or output.get("database")
    if method == "oauth":
        credentials = Credentials(who=f"this machine's default credentials ({where})", project=project)
    elif method == "service-account":
        key_path = str(_need(output, "keyfile", where))
        credentials = Credentials(who=f"key file {key_path} ({where})", key_path=key_path, project=project)
    elif method == "service-account-json":
        data = _key_document(_need(output, "keyfile_json", where), f"the keyfile_json of {where}")
        who = f"{data.get('client_email', 'the account')} ({where})"
        credentials = Credentials(who=who, service_data=data, project=project)
    elif method == "oauth-secrets" and output.get("token"):
        credentials = Credentials(
            who=f"the token of {where}", access_token=str(output["token"]), project=project
        )
    elif method == "oauth-secrets":
        data = {
            "type": "authorized_user",
            "refresh_token": _need(output, "refresh_token", where),
            "client_id": _need(output, "client_id", where),
            "client_secret": _need(output, "client_secret", where),
            "token_uri": output.get("token_uri") or _GOOGLE_TOKEN_URI,
        }
        credentials = Credentials(who=f"the refresh token of {where}", service_data=data, project=project)
    else:
        raise ProfileError(
            f"The {where} has method {method!r}. The triggerer knows oauth, service-account, service-account-json and "
            "oauth-secrets."
        )
    credentials = replace(
        credentials,
        quota_project=output.get("quota_project") or None,
        scopes=tuple(as_list(output.get("scopes"))),
    )
    principal = output.get("impersonate_service_account")
    return _impersonating(credentials, [str(principal)]) if principal else credentials


def _need(output: Mapping[str, Any], name: str, where: str) -> Any:
    value = output.get(name)
    if not value:
        raise ProfileError(f"The {where} has no {name}, which method {output.get('method')!r} needs.")
    return value


def _key_document(key: Any, what: str) -> dict[str, Any]:
    if isinstance(key, str):
        try:
            key = json.loads(key)
        except ValueError:
            # Without the cause: it would show the key's first characters.
            raise ProfileError(
                f"{what} is not JSON. Paste the service account's key file unchanged."
            ) from None
    if not isinstance(key, dict):
        raise ProfileError(f"{what} is not a JSON object. Paste the service account's key file unchanged.")
    document = dict(key)
    private_key = document.get("private_key")
    if isinstance(private_key, str) and "\\n" in private_key:
        # Keys that travelled through a shell or a form often carry the two characters instead of the line end.
        document["private_key"] = private_key.replace("\\n", "\n")
    document.setdefault("type", "service_account")
    return document


def _env_var(name: str, default: Any, where: str) -> Any:
    value = os.environ.get(name, default)
    if value is None:
        raise ProfileError(
            f"The {where} needs the environment variable {name}, which the triggerer does not have. Set it there too."
        )
    return value


def _rendered(value: Any, environment: Any) -> Any:
    if isinstance(value, str) and "{" in value:
        return environment.from_string(value).render()
    if isinstance(value, dict):
        return {key: _rendered(inner, environment) for key, inner in value.items()}
    return value
