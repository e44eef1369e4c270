"""
Whether dbt and the triggerer act as the same account.

dbt has the profile; the triggerer has the names that ``identity()`` of the mapping gives, and looks up the connection
itself. Where an author's own ``profile`` says another account than the connection, jobs would run as somebody else than
the one that dbt has planned them for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cosmos_async.airflow.google_connection import CONNECTION_TYPES, as_list, extra_of
from cosmos_async.exceptions import ProfileError

if TYPE_CHECKING:
    from cosmos_async.profiles.base import BaseProfileMapping

_PACKAGE = __name__.rpartition(".")[0]


def check_who(mapping: BaseProfileMapping, output: dict[str, Any]) -> None:
    """
    Compare what an author's own mapping tells dbt with what the triggerer will do.

    Args:
        mapping: Its connection can be read. One that has its own ``identity`` decides that itself.
        output: The profile's target.

    Raises:
        ProfileError: They are not the same account.
    """
    ours = type(mapping).__module__.startswith(f"{_PACKAGE}.")
    if ours or not _defined_by_us(mapping, "identity"):
        return
    if mapping.conn.conn_type not in CONNECTION_TYPES:
        raise _differs(
            mapping,
            f"reads a connection of type {mapping.conn.conn_type!r}, but the triggerer takes credentials from one of "
            f"type {CONNECTION_TYPES[0]!r}",
        )
    identity, extra = mapping.identity(), extra_of(mapping.conn)
    chain = as_list(identity.get("impersonation_chain")) or as_list(extra.get("impersonation_chain"))
    for what, dbt, triggerer in (
        ("credentials", _key_of_profile(output), _key_of_connection(identity, extra)),
        (
            "impersonate_service_account",
            output.get("impersonate_service_account"),
            chain[-1] if chain else None,
        ),
        ("quota_project", output.get("quota_project"), identity.get("quota_project")),
    ):
        if (dbt or None) != (triggerer or None):
            raise _differs(
                mapping, f"has {what} {dbt or 'none'} for dbt, but the triggerer has {triggerer or 'none'}"
            )
    scopes = {*as_list(extra.get("scope")), *as_list(identity.get("scopes"))}
    more = sorted(set(as_list(output.get("scopes"))) - scopes)
    if more:
        raise _differs(mapping, f"has the scope {more[0]} for dbt, but not for the triggerer")


def _defined_by_us(mapping: BaseProfileMapping, name: str) -> bool:
    owner = next(cls for cls in type(mapping).__mro__ if name in vars(cls))
    return owner.__module__.startswith(f"{_PACKAGE}.")


def _differs(mapping: BaseProfileMapping, how: str) -> ProfileError:
    return ProfileError(
        f"{type(mapping).__name__} for connection {mapping.conn_id!r} {how}. Say it in profile_args or in the "
        'connection, where both see it; or define identity() in the mapping: it returns {"conn_id": ...} for the '
        "triggerer."
    )


def _key_of_profile(output: dict[str, Any]) -> str | None:
    method = str(output.get("method") or "oauth")
    if method == "service-account":
        return f"of the key file {output.get('keyfile')}"
    if method == "service-account-json":
        return _account(output.get("keyfile_json"))
    return None if method == "oauth" else f"by the method {method}"


def _key_of_connection(identity: dict[str, Any], extra: dict[str, Any]) -> str | None:
    if identity.get("method") == "oauth":
        return None
    if identity.get("key_path"):
        return f"of the key file {identity['key_path']}"
    if extra.get("keyfile_dict"):
        return _account(extra["keyfile_dict"])
    return f"of the key file {extra['key_path']}" if extra.get("key_path") else None


def _account(key: Any) -> str:
    """Return whose key it is; nothing else of it may be shown."""
    import json

    if isinstance(key, str):
        try:
            key = json.loads(key)
        except ValueError:
            return "of a key that is not JSON"
    return f"of {key.get('client_email') if isinstance(key, dict) else 'a key that is no object'}"
