"""``ProfileConfig``: how dbt and the triggerer reach BigQuery, from an Airflow connection or a ``profiles.yml``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_async.exceptions import ProfileError

if TYPE_CHECKING:
    from cosmos_async.profiles import BaseProfileMapping, RenderedProfile


@dataclass
class ProfileConfig:
    """
    The dbt profile: a mapped Airflow connection, or a ``profiles.yml``.

    Args:
        profile_name: The profile's name; the one in ``dbt_project.yml`` is overruled.
        target_name: The target within it.
        profiles_yml_filepath: The user's own file, of any name.
        profile_mapping: One of :mod:`cosmos_async.profiles`.

    Raises:
        ProfileError: Neither a file nor a mapping is given, or both; or the mapping is not for BigQuery.
    """

    profile_name: str
    target_name: str
    profiles_yml_filepath: str | Path | None = None
    profile_mapping: BaseProfileMapping | None = None

    def __post_init__(self) -> None:
        if bool(self.profiles_yml_filepath) == bool(self.profile_mapping):
            which = (
                "both profiles_yml_filepath and"
                if self.profile_mapping
                else "neither profiles_yml_filepath nor"
            )
            raise ProfileError(
                f"ProfileConfig for profile {self.profile_name!r} has {which} profile_mapping. "
                "Give exactly one of them."
            )
        if self.profile_mapping is not None:
            from cosmos_async.profiles import own_mapping

            self.profile_mapping = own_mapping(self.profile_mapping)

    def validate(self) -> None:
        """
        Look whether a user's file has the profile and the target.

        Raises:
            ProfileError: It does not, or the target is not for BigQuery.
        """
        if self.profiles_yml_filepath:
            self._from_file()

    def render(self, *, mock: bool = False, overrides: dict[str, Any] | None = None) -> RenderedProfile:
        """
        Return the profile for dbt. With a mapping this reads the Airflow connection, unless *mock*.

        Args:
            mock: Leave connection and credentials out of it: enough for ``dbt ls``, not for running anything.
            overrides: Keys of the target that win over everything else, such as ``location`` and ``threads``.

        Raises:
            ProfileError: The file or the connection does not make a profile.
        """
        from cosmos_async.profiles import RenderedProfile
        from cosmos_async.profiles.rendered import CREDENTIAL_KEYS

        env: dict[str, str] = {}
        others: dict[str, Any] = {}
        flags: dict[str, Any] = {}
        if self.profile_mapping is None:
            output, others, flags = self._from_file()
            if mock:  # the variables with its secrets need not be there while a DAG file is imported
                output = {name: value for name, value in output.items() if name not in CREDENTIAL_KEYS}
        elif mock:
            output = self.profile_mapping.mock_profile
        else:
            output, env = self.profile_mapping.resolve()
        if self.profile_mapping is not None:
            env = {**env, **self.profile_mapping.tracking_env}
        changes = {name: value for name, value in (overrides or {}).items() if value is not None}
        return RenderedProfile(self.profile_name, self.target_name, {**output, **changes}, env, others, flags)

    @contextmanager
    def ensure_profile(
        self, desired_profile_path: Path | None = None, use_mock_values: bool = False
    ) -> Iterator[tuple[Path, dict[str, str]]]:
        """
        Write a ``profiles.yml`` for a while, for operators that a converter makes: the name is Cosmos'.

        Args:
            desired_profile_path: The folder for it, instead of one that is deleted in the end.
            use_mock_values: Do without the connection.

        Yields:
            The file, and the environment that dbt needs to read it.
        """
        if self.profiles_yml_filepath:
            yield Path(self.profiles_yml_filepath), {}
            return
        with tempfile.TemporaryDirectory(prefix="cosmos_async-") as folder:
            path = Path(desired_profile_path or folder)
            path.mkdir(parents=True, exist_ok=True)
            env = self.render(mock=use_mock_values).write(path)
            yield path / "profiles.yml", env

    def get_profile_type(self) -> str:
        """Return the kind of warehouse, as Cosmos' operators ask for it."""
        return "bigquery"

    def identity(
        self, *, gcp_conn_id: str | None = None, impersonation_chain: str | list[str] | None = None
    ) -> dict[str, Any]:
        """
        Return whose credentials the triggerer uses: a small, JSON-able dict of names, free of secrets.

        It has ``conn_id``, perhaps with ``impersonation_chain`` or ``key_path``; or, for a user's file,
        ``profiles_yml``, ``profile`` and ``target``.

        Args:
            gcp_conn_id: An Airflow connection to use instead of the profile's.
            impersonation_chain: The account to act as, instead of the connection's own choice.
        """
        if gcp_conn_id:
            identity: dict[str, Any] = {"conn_id": gcp_conn_id}
        elif self.profile_mapping is not None:
            identity = self.profile_mapping.identity()
        else:
            path = Path(str(self.profiles_yml_filepath)).absolute()
            identity = {"profiles_yml": str(path), "profile": self.profile_name, "target": self.target_name}
        if impersonation_chain:
            chain = (
                [impersonation_chain] if isinstance(impersonation_chain, str) else list(impersonation_chain)
            )
            identity["impersonation_chain"] = chain
        return identity

    def default_target(self) -> str:
        """
        Return the target that a user's file names for the profile, as it stands there; ``target_name`` is not used.

        Raises:
            ProfileError: There is no such file or profile.
        """
        return str(self._profile()[0].get("target") or "default")

    def _profile(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the profile, and the file's ``config``, where dbt looks for flags that the project does not set."""
        import yaml

        path = Path(str(self.profiles_yml_filepath))
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ProfileError(
                f"profiles_yml_filepath {path} cannot be read ({error.strerror}). Correct the path, or use a "
                "profile_mapping."
            ) from error
        except yaml.YAMLError as error:
            raise ProfileError(f"profiles_yml_filepath {path} is not YAML: {error}") from error
        profiles = document if isinstance(document, dict) else {}
        flags = profiles.get("config")
        profile = self._pick(profiles, self.profile_name, "profile", "profile_name", path)
        return profile, flags if isinstance(flags, dict) else {}

    def _from_file(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        path = Path(str(self.profiles_yml_filepath))
        profile, flags = self._profile()
        targets = profile.get("outputs")
        output = self._pick(
            targets if isinstance(targets, dict) else {}, self.target_name, "target", "target_name", path
        )
        kind = str(output.get("type"))
        if kind != "bigquery" and "{{" not in kind:
            raise ProfileError(
                f"Target {self.target_name!r} of profile {self.profile_name!r} in {path} is of type {kind!r}. Only "
                "bigquery is run here; name a BigQuery target in target_name, or use Cosmos for the other warehouses."
            )
        others = {key: value for key, value in profile.items() if key not in ("outputs", "target")}
        return dict(output), others, flags

    def _pick(
        self, mapping: dict[str, Any], name: str, what: str, argument: str, path: Path
    ) -> dict[str, Any]:
        found = mapping.get(name)
        if isinstance(found, dict):
            return found
        known = sorted(
            str(key) for key, value in mapping.items() if isinstance(value, dict) and key != "config"
        )
        where = f"profile {self.profile_name!r} of {path}" if what == "target" else str(path)
        raise ProfileError(
            f"There is no {what} {name!r} in {where}; there is {', '.join(known) or 'none at all'}. "
            f"Correct {argument} in ProfileConfig."
        )
