"""
What dbt 2 wants of a BigQuery profile beyond what dbt 1 does, and what it does not look at.

Of dbt Core 2.0.0-alpha.4 (``dbt-auth``): it says so late, by the driver's words, or not at all.
"""

from __future__ import annotations

import re
from typing import Any

from cosmos_async.exceptions import ProfileError
from cosmos_async.profiles.rendered import RenderedProfile

#: The fields of a service account's key file; dbt 2 wants all of them, used or not.
KEY_FIELDS = (
    "type", "project_id", "private_key_id", "private_key", "client_email", "client_id", "auth_uri", "token_uri",
    "auth_provider_x509_cert_url", "client_x509_cert_url",
)  # fmt: skip
#: What limits or delays dbt 1's queries, and dbt 2 does not tell BigQuery.
_NOT_PASSED_ON = {"maximum_bytes_billed": None, "priority": "interactive"}
_ENDPOINT = re.compile(r"https?://[^/\s?#]+/?")


def refuse_for_dbt_2(profile: RenderedProfile) -> None:
    """
    Refuse a profile that dbt 2 cannot use.

    Raises:
        ProfileError: A key lacks fields, or the endpoint is not one that dbt 2 takes.
    """
    where = f"target {profile.target!r} of profile {profile.name!r}"
    key = profile.output.get("keyfile_json")
    missing = [name for name in KEY_FIELDS if name not in key] if isinstance(key, dict) else []
    if missing:
        raise ProfileError(
            f"The keyfile_json in {where} lacks {', '.join(missing)}. dbt 2 wants all {len(KEY_FIELDS)} fields of a "
            "service account's key file: put the file into the profile, or into the Airflow connection as "
            "keyfile_dict, unchanged."
        )
    endpoint = profile.output.get("api_endpoint")
    if isinstance(endpoint, str) and "{{" not in endpoint and not _ENDPOINT.fullmatch(endpoint):
        raise ProfileError(
            f"The api_endpoint {endpoint!r} in {where} is not one that dbt 2 takes. Write it as "
            "https://host or http://host:port, without a path."
        )


def ignored_by_dbt_2(profile: RenderedProfile) -> list[str]:
    """Return a warning for each key that dbt 2 leaves out of its queries, although dbt 1 tells BigQuery of it."""
    return [
        f"Warning: {name} {value!r} of profile {profile.name!r} has no effect: dbt 2 does not pass it on to BigQuery."
        for name, value in _asked_for(profile.output)
    ]


def _asked_for(output: dict[str, Any]) -> list[tuple[str, Any]]:
    asked = ((name, output.get(name), usual) for name, usual in _NOT_PASSED_ON.items())
    return [(name, value) for name, value, usual in asked if value not in (None, usual)]
