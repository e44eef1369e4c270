"""The credentials of the machine."""

from __future__ import annotations

from typing import Any

from cosmos_async.profiles.bigquery.google_cloud import GoogleCloudProfileMapping


class GoogleCloudOauthProfileMapping(GoogleCloudProfileMapping):
    """A connection without a key: dbt and the triggerer use the credentials of the machine they run on."""

    dbt_profile_method = "oauth"

    def _credentials(self, extra: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        return {}, {}
