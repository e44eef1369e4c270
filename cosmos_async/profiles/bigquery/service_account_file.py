"""A service account's key in a file."""

from __future__ import annotations

from typing import Any

from cosmos_async.profiles.bigquery.google_cloud import GoogleCloudProfileMapping


class GoogleCloudServiceAccountFileProfileMapping(GoogleCloudProfileMapping):
    """A connection that names a service account's key file (``key_path``)."""

    dbt_profile_method = "service-account"
    _way_out = ", or use GoogleCloudServiceAccountDictProfileMapping (keyfile_dict)"

    def identity(self) -> dict[str, Any]:
        identity = super().identity()
        if self.profile_args.get("keyfile"):
            identity["key_path"] = str(self.profile_args["keyfile"])
        return identity

    def _credentials(self, extra: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        path = self.profile_args.get("keyfile") or extra.get("key_path")
        if not path:
            raise self._lacks("key_path")
        return {"keyfile": str(path)}, {}
