"""A service account's key in the connection itself."""

from __future__ import annotations

import json
from typing import Any

from cosmos_async.exceptions import ProfileError
from cosmos_async.profiles.bigquery.google_cloud import GoogleCloudProfileMapping

_SECRET_KEY_FIELDS = ("private_key_id", "private_key")


class GoogleCloudServiceAccountDictProfileMapping(GoogleCloudProfileMapping):
    """A connection that holds a service account's key itself (``keyfile_dict``)."""

    dbt_profile_method = "service-account-json"
    _way_out = (
        ", or use GoogleCloudServiceAccountFileProfileMapping (key_path) or GoogleCloudOauthProfileMapping "
        "(the machine's own credentials)"
    )

    def _credentials(self, extra: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        key = extra.get("keyfile_dict")
        if not key:
            raise self._lacks("keyfile_dict")
        if isinstance(key, str):
            try:
                key = json.loads(key)
            except json.JSONDecodeError as error:
                # The cause would show the key's first characters.
                raise ProfileError(
                    f"The keyfile_dict of Airflow connection {self.conn_id!r} is not JSON (line {error.lineno}, "
                    f"column {error.colno}). Paste the service account's key file into it unchanged."
                ) from None
        if not isinstance(key, dict):
            raise ProfileError(
                f"The keyfile_dict of Airflow connection {self.conn_id!r} is a {type(key).__name__}, not an object. "
                "Paste the service account's key file into it unchanged."
            )
        visible = dict(key)
        env = {}
        for name in _SECRET_KEY_FIELDS:
            if not key.get(name):
                raise self._lacks(f"{name} in its keyfile_dict")
            env[self.get_env_var_name(name)] = str(key[name])
            visible[name] = self.get_env_var_format(name)
        return {"keyfile_json": visible}, env
