"""The credentials of the machine."""

from __future__ import annotations

from typing import Any

from cosmos_async.profiles.bigquery.google_cloud import GoogleCloudProfileMapping


class GoogleCloudOauthProfileMapping(GoogleCloudProfileMapping):
    """dbt and the triggerer use the credentials of the machine they run on; a key in the connection is not looked at."""

    dbt_profile_method = "oauth"

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "method": self.dbt_profile_method}

    def _credentials(self, extra: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        return {}, {}
