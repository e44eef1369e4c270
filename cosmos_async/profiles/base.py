"""
How an Airflow connection becomes a dbt profile.

The connection is read when a run needs it and never while a DAG file is imported; for that there is
:attr:`BaseProfileMapping.mock_profile`, which ``dbt ls`` is content with. Secrets never stand in a profile's text:
it names environment variables, whose values travel beside it.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar, Union

from cosmos_async.airflow.google_connection import CONNECTION_TYPES, extra_of
from cosmos_async.exceptions import ProfileError
from cosmos_async.profiles.rendered import (
    CREDENTIAL_KEYS,
    DEFAULT_THREADS,
    SECRET_PREFIX,
    RenderedProfile,
    variable,
    without_secrets,
)
from cosmos_async.profiles.who import check_who

__path__: list[str] = []  # see cosmos_names


class BaseProfileMapping:
    """
    Map an Airflow connection to a dbt profile.

    A mapping of one's own is written as for Cosmos (1.15): a subclass of this or of one of the three others, with the
    class attributes below, a ``profile`` and whatever else differs. Profiles are for BigQuery.

    Args:
        conn_id: The Airflow connection.
        profile_args: Keys of the dbt profile, as dbt-bigquery names them; they win over the connection.
        disable_event_tracking: Tell dbt not to report its use to its vendor.
        dbt_config_vars: Not available; ``flags:`` in ``dbt_project.yml`` is dbt's own place for these.

    Raises:
        ProfileError: An argument contradicts the mapping, or the mapping is not for BigQuery.
    """

    airflow_connection_type: str = CONNECTION_TYPES[0]
    airflow_connection_types: tuple[str, ...] = ()  #: the types that are taken; without any, all are
    dbt_profile_type: str = "bigquery"
    dbt_profile_method: str | None = None
    is_community: bool = False
    #: Keys of the profile without which it is of no use.
    required_fields: ClassVar[list[str]] = []
    #: Keys whose values are kept in environment variables.
    secret_fields: ClassVar[list[str]] = []
    #: Keys of the profile, each with where it stands in the connection (``host``, or ``extra.project``).
    airflow_param_mapping: ClassVar[dict[str, Union[str, list[str]]]] = {}

    _conn: Any = None  # while a profile is made

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
        if self.dbt_profile_type != "bigquery":
            raise ProfileError(
                f"{type(self).__name__} for connection {conn_id!r} makes profiles of type {self.dbt_profile_type!r}. "
                "Only bigquery is run here; use Cosmos for the other warehouses."
            )
        for name, wanted in (("type", self.dbt_profile_type), ("method", self.dbt_profile_method)):
            given = self.profile_args.get(name, wanted)
            if wanted is not None and given != wanted:
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

    # What a mapping of one's own defines

    @property
    def profile(self) -> dict[str, Any]:
        """The profile's target, secrets replaced by ``env_var()``. Reads the Airflow connection."""
        secrets = {name: self.get_env_var_format(name) for name in self.secret_fields}
        return self.filter_null(
            {**self.mapped_params, "threads": DEFAULT_THREADS, **self.profile_args, **secrets}
        )

    @property
    def env_vars(self) -> dict[str, str]:
        """The environment variables that :attr:`profile` names. Reads the Airflow connection."""
        found: dict[str, str] = {}
        for name in self.secret_fields:
            value = self.get_dbt_value(name)
            if value is None:
                raise self._lacks_field(name)
            found[self.get_env_var_name(name)] = str(value)
        return {**found, **self.tracking_env}

    @property
    def mock_profile(self) -> dict[str, Any]:
        """What is known of the profile without the connection; enough for dbt to parse and list a project."""
        method = {"method": self.dbt_profile_method} if self.dbt_profile_method else {}
        needed = [
            name for name in self.required_fields if name not in CREDENTIAL_KEYS | {*self.secret_fields}
        ]
        known = {name: value for name, value in self.profile_args.items() if name not in CREDENTIAL_KEYS}
        return {
            "type": self.dbt_profile_type,
            **method,
            **({} if "database" in known else {"project": "mock-project"}),
            **({} if "schema" in known else {"dataset": "mock_dataset"}),
            "threads": DEFAULT_THREADS,
            **{name: "mock_value" for name in needed if name not in ("project", "dataset")},
            **known,
        }

    def identity(self) -> dict[str, Any]:
        """Return whose credentials the triggerer uses for this profile: names only, JSON-able."""
        return {"conn_id": self.conn_id}

    # What it can use

    @property
    def conn(self) -> Any:
        """
        The Airflow connection.

        Raises:
            ProfileError: It does not exist or is of a type this mapping cannot use.
        """
        if self._conn is None:
            self._conn = self.get_connection()
        return self._conn

    @property
    def mapped_params(self) -> dict[str, Any]:
        """The profile's type and method, and the keys of ``airflow_param_mapping`` with their values, None included."""
        method = {"method": self.dbt_profile_method} if self.dbt_profile_method else {}
        mapped = {name: self.get_dbt_value(name) for name in self.airflow_param_mapping}
        return {"type": self.dbt_profile_type, **method, **mapped}

    def get_dbt_value(self, name: str) -> Any:
        """
        Return the value of a key of the profile: that in ``profile_args``, or the first one that the connection has.

        A method ``transform_<name>`` makes of the connection's value what the profile needs.
        """
        if self.profile_args.get(name):
            return self.profile_args[name]
        places = self.airflow_param_mapping.get(name) or []
        for place in [places] if isinstance(places, str) else places:
            value = self._value_at(place)
            if value:
                transform = getattr(self, f"transform_{name}", None)
                return transform(value) if transform is not None else value
        return None

    def _value_at(self, place: str) -> Any:
        if place.startswith(("extra.", "extra__")):
            return extra_of(self.conn).get(place[len("extra.") :] if place.startswith("extra.") else place)
        return getattr(self.conn, place, None)

    @classmethod
    def filter_null(cls, args: dict[str, Any]) -> dict[str, Any]:
        """Return *args* without those that are None."""
        return {name: value for name, value in args.items() if value is not None}

    @classmethod
    def get_env_var_name(cls, field_name: str) -> str:
        """Return the environment variable for a secret; dbt hides its value from logs by the variable's name."""
        return SECRET_PREFIX + field_name.upper()

    @classmethod
    def get_env_var_format(cls, field_name: str) -> str:
        """Return the text by which a profile names that variable."""
        return variable(cls.get_env_var_name(field_name))

    # What the package asks for

    def resolve(self) -> tuple[dict[str, Any], dict[str, str]]:
        """
        Read the Airflow connection, and return the profile's target and the environment with its secrets.

        Raises:
            ProfileError: The connection does not make a profile, or one that the triggerer would not act for.
        """
        self._conn = None
        try:
            output, env = self.filter_null(self._defined("profile")), self._defined("env_vars")
            for name in self.required_fields:
                if not output.get(name) and name not in self.secret_fields:
                    raise self._lacks_field(name)
            self._check(output)
            check_who(self, output)
        finally:
            self._conn = None  # it holds secrets, and may be another one in the next run
        visible, hidden = without_secrets(output, self.secret_fields)
        return visible, {**hidden, **env}

    def _defined(self, name: str) -> dict[str, Any]:
        """Return what a property says that a subclass may define; a mistake there is named."""
        try:
            return dict(getattr(self, name))
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            NotImplementedError,
            TypeError,
            ValueError,
        ) as error:
            if isinstance(error, ProfileError):
                raise
            # Not with its text, which may hold a value of the connection.
            raise ProfileError(
                f"{type(self).__name__}.{name} failed for connection {self.conn_id!r} ({type(error).__name__}; the traceback "
                f"shows where). {name} has to return a dict, see docs/profiles.md."
            ) from error

    def _check(self, output: dict[str, Any]) -> None:
        if not (output.get("project") or output.get("database")):
            raise ProfileError(
                f"No Google Cloud project for connection {self.conn_id!r}: neither the connection nor its key names "
                'one. Set profile_args={"project": ...} or the connection\'s project.'
            )
        if not (output.get("dataset") or output.get("schema")):
            raise ProfileError(
                f'No dataset for connection {self.conn_id!r}. Set profile_args={{"dataset": ...}}: it is where dbt '
                "builds models that name no schema of their own."
            )

    def _lacks_field(self, name: str) -> ProfileError:
        places = self.airflow_param_mapping.get(name) or []
        where = " or ".join([places] if isinstance(places, str) else places)
        return ProfileError(
            f"Airflow connection {self.conn_id!r} has no value for {name!r}, which {type(self).__name__} needs"
            f"{f' (it looks for {where})' if where else ''}. Add it to the connection, or to profile_args."
        )

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
        output = self.mock_profile if use_mock_values else self.resolve()[0]
        return RenderedProfile(profile_name, target_name, output).text

    def get_connection(self) -> Any:
        """
        Ask Airflow for the connection.

        Raises:
            ProfileError: It does not exist or is of a type this mapping cannot use.
        """
        from cosmos_async.airflow.compat import BaseHook

        wanted = (self.airflow_connection_types or (self.airflow_connection_type,))[0]
        try:
            connection = BaseHook.get_connection(self.conn_id)
        except Exception as error:
            # By name: Airflow moved and renamed this error more than once.
            if "NotFound" not in type(error).__name__ and "CONNECTION_NOT_FOUND" not in str(error):
                raise
            raise ProfileError(
                f"Airflow has no connection {self.conn_id!r}, which {type(self).__name__} needs. Create it with type "
                f"{wanted}, or name an existing one in conn_id."
            ) from error
        if self.airflow_connection_types and connection.conn_type not in self.airflow_connection_types:
            raise ProfileError(
                f"Airflow connection {self.conn_id!r} is of type {connection.conn_type!r}, but {type(self).__name__} "
                f"needs one of type {wanted!r}. Change the connection's type, or name "
                "another connection in conn_id."
            )
        return connection

    def __repr__(self) -> str:
        return f"{type(self).__name__}(conn_id={self.conn_id!r})"
