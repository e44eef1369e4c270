"""Profile mappings that were made with Cosmos' classes, taken by what they say."""

from __future__ import annotations

from typing import Any

from cosmos_async.exceptions import ProfileError
from cosmos_async.profiles import bigquery
from cosmos_async.profiles.base import BaseProfileMapping

_MAPPINGS: dict[str, type[BaseProfileMapping]] = {
    kind.__name__: kind
    for kind in (
        bigquery.GoogleCloudOauthProfileMapping,
        bigquery.GoogleCloudServiceAccountDictProfileMapping,
        bigquery.GoogleCloudServiceAccountFileProfileMapping,
    )
}


def own_mapping(mapping: Any) -> BaseProfileMapping:
    """
    Return *mapping* as one of ours.

    Args:
        mapping: One of :mod:`cosmos_async.profiles`, or of ``cosmos.profiles`` (astronomer-cosmos 1.10 to 1.15).

    Raises:
        ProfileError: It is neither, or it is not for BigQuery.
    """
    if isinstance(mapping, BaseProfileMapping):
        return mapping
    kind = type(mapping)
    known = _MAPPINGS.get(kind.__name__)
    if known is None or kind.__module__.partition(".")[0] != "cosmos":
        raise ProfileError(
            f"profile_mapping is a {kind.__module__}.{kind.__qualname__}. Give one of cosmos_async.profiles: "
            f"{', '.join(sorted(_MAPPINGS))}, or extend BaseProfileMapping of that module instead of cosmos.profiles; or use "
            "profiles_yml_filepath."
        )
    return known(
        mapping.conn_id,
        profile_args=mapping.profile_args,
        disable_event_tracking=getattr(mapping, "disable_event_tracking", None),
        dbt_config_vars=getattr(mapping, "dbt_config_vars", None),
    )
