"""Extras of an Airflow connection to Google Cloud, as its provider understands them."""

from __future__ import annotations

from typing import Any

#: The types of connections that hold credentials of Google's.
CONNECTION_TYPES = ("google_cloud_platform", "gcpbigquery")

# Airflow before 2.3 wrote the provider's own fields with this prefix, and its connections live on.
_OLD_PREFIX = "extra__google_cloud_platform__"


def extra_of(connection: Any) -> dict[str, Any]:
    """Return the connection's extras; those under the old names also under the new ones, unless these have a value."""
    extra = dict(connection.extra_dejson or {})
    for name, value in list(extra.items()):
        if name.startswith(_OLD_PREFIX) and not extra.get(name[len(_OLD_PREFIX) :]):
            extra[name[len(_OLD_PREFIX) :]] = value
    return extra


def as_list(value: Any) -> list[str]:
    """Return scopes or a chain of accounts, which stand in a list or in a text with commas."""
    if not value:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(part) for part in value]
