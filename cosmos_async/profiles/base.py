"""
How an Airflow connection becomes a dbt profile.

The connection is read when a run needs it and never while a DAG file is imported; for that there is
:attr:`BaseProfileMapping.mock_profile`, which ``dbt ls`` is content with. Secrets never stand in a profile's text:
it names environment variables, whose values travel beside it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosmos_async.exceptions import ProfileError

# dbt hides the values of variables with this prefix from its own logs and artifacts.
SECRET_PREFIX = "DBT_ENV_SECRET_COSMOS_"

#: What a profile has for credentials.
SECRET_KEYS = ("private_key", "private_key_id", "token", "refresh_token", "client_secret")

#: dbt waits for BigQuery's metadata while it plans, so a few threads pay; a profile's own number wins.
DEFAULT_THREADS = 8


@dataclass(frozen=True)
class RenderedProfile:
    """A profile ready for dbt: a document without secrets, and the environment that holds them."""

    name: str
    target: str
    output: dict[str, Any]  #: what stands below ``outputs: <target>:``
    env: dict[str, str] = field(default_factory=dict, repr=False)  #: dbt's process needs these; may be secret
    others: dict[str, Any] = field(default_factory=dict)  #: the profile's further keys
    flags: dict[str, Any] = field(
        default_factory=dict
    )  #: the file's ``config``: dbt's flags, where older files set them

    @property
    def text(self) -> str:
        """The content of a ``profiles.yml``."""
        import yaml

        outputs = {self.target: self.output}
        document = {self.name: {**self.others, "target": self.target, "outputs": outputs}}
        if self.flags:
            document["config"] = self.flags
        return str(yaml.safe_dump(document, sort_keys=False, default_flow_style=False))

    @property
    def written_secrets(self) -> tuple[str, ...]:
        """The secrets that the text spells out instead of naming a variable, as a user's own file may."""
        key = self.output.get("keyfile_json")
        places = {**(key if isinstance(key, dict) else {}), **self.output}
        found = (places.get(name) for name in SECRET_KEYS)
        return tuple(value for value in found if isinstance(value, str) and "{{" not in value)

    def write(self, directory: str | Path) -> dict[str, str]:
        """
        Write ``profiles.yml`` into *directory*, for this user's eyes only.

        Returns:
            The environment variables that dbt needs to read it.
        """
        path = Path(directory) / "profiles.yml"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.text)
        return dict(self.env)


class BaseProfileMapping:
    """
    Map an Airflow connection to a dbt profile.

    Args:
        conn_id: The Airflow connection.
        profile_args: Keys of the dbt profile, as dbt-bigquery names them; they win over the connection.
        disable_event_tracking: Tell dbt not to report its use to its vendor.
        dbt_config_vars: Not available; ``flags:`` in ``dbt_project.yml`` is dbt's own place for these.

    Raises:
        ProfileError: An argument contradicts the mapping.
    """

    airflow_connection_types: tuple[str, ...] = ()
    dbt_profile_type: str = ""
    dbt_profile_method: str = ""

    def __init__(
        self,
        conn_id: str,
        profile_args: dict[str, Any] | None = None,
        disable_event_tracking: bool | None = None,
        dbt_config_vars: Any = None,
    ) -> None:
        self.conn_id = conn_id
        # A Path has no YAML.
        self.profile_args = {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value
            for name, value in (profile_args or {}).items()
        }
        self.disable_event_tracking = disable_event_tracking
        for name, wanted in (("type", self.dbt_profile_type), ("method", self.dbt_profile_method)):
            given = self.profile_args.get(name, wanted)
            if given != wanted:
                raise ProfileError(
                    f"profile_args of {type(self).__name__} for connection {conn_id!r} set {name} to {given!r}, but "
                    f"this mapping makes profiles of {name} {wanted!r}. Remove {name} from profile_args or choose "
                    "another mapping of cosmos_async.profiles."
                )
        if dbt_config_vars is not None:
            raise ProfileError(
                "dbt_config_vars is not supported: dbt no longer reads these settings from profiles. "
                "Set them under `flags:` in dbt_project.yml."
            )

    @property
    def mock_profile(self) -> dict[str, Any]:
        """What is known of the profile without the connection; enough for dbt to parse and list a project."""
        raise NotImplementedError

    @property
    def profile(self) -> dict[str, Any]:
        """The profile's target, secrets replaced by ``env_var()``. Reads the Airflow connection."""
        return self.resolve()[0]

    @property
    def env_vars(self) -> dict[str, str]:
        """The environment variables that :attr:`profile` names. Reads the Airflow connection."""
        return {**self.resolve()[1], **self.tracking_env}

    def resolve(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Read the Airflow connection and return the profile's target and the environment with its secrets."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Return whose credentials the triggerer uses for this profile: names only, JSON-able."""
        return {"conn_id": self.conn_id}

    @property
    def tracking_env(self) -> dict[str, str]:
        """The environment that keeps dbt from reporting its use, if that was asked for."""
        if not self.disable_event_tracking:
            return {}
        return {"DBT_SEND_ANONYMOUS_USAGE_STATS": "False", "DO_NOT_TRACK": "1"}

    def get_profile_file_contents(
        self, profile_name: str, target_name: str = "cosmos_target", use_mock_values: bool = False
    ) -> str:
        """Return the text of a ``profiles.yml`` for this mapping."""
        output = self.mock_profile if use_mock_values else self.profile
        return RenderedProfile(profile_name, target_name, output).text

    def get_connection(self) -> Any:
        """
        Return the Airflow connection.

        Raises:
            ProfileError: It does not exist or is of a type this mapping cannot use.
        """
        from airflow.exceptions import AirflowNotFoundException

        from cosmos_async.airflow.compat import BaseHook

        try:
            connection = BaseHook.get_connection(self.conn_id)
        except AirflowNotFoundException as error:
            raise ProfileError(
                f"Airflow has no connection {self.conn_id!r}, which {type(self).__name__} needs. Create it with type "
                f"{self.airflow_connection_types[0]}, or name an existing one in conn_id."
            ) from error
        if connection.conn_type not in self.airflow_connection_types:
            raise ProfileError(
                f"Airflow connection {self.conn_id!r} is of type {connection.conn_type!r}, but {type(self).__name__} "
                f"needs one of type {self.airflow_connection_types[0]!r}. Change the connection's type, or name "
                "another connection in conn_id."
            )
        return connection

    def __repr__(self) -> str:
        return f"{type(self).__name__}(conn_id={self.conn_id!r})"
