"""A dbt profile, ready to be written: a document without secrets beside the environment that holds them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# dbt hides the values of variables with this prefix from its own logs and artifacts.
SECRET_PREFIX = "DBT_ENV_SECRET_COSMOS_"

#: What a profile has for credentials.
SECRET_KEYS = ("private_key", "private_key_id", "token", "refresh_token", "client_secret")

#: What dbt-bigquery needs to reach the warehouse, and nothing else does; a mock of these would be no credential.
CREDENTIAL_KEYS = frozenset(
    {"keyfile", "keyfile_json", "token", "refresh_token", "client_id", "client_secret", "token_uri"}
)

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
        from cosmos_async.dbt_rules.yaml_text import dump

        outputs = {self.target: self.output}
        document = {self.name: {**self.others, "target": self.target, "outputs": outputs}}
        if self.flags:
            document["config"] = self.flags
        return dump(document)

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


def without_secrets(output: dict[str, Any], names: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """
    Replace secrets that a profile spells out by variables, and return it with the environment that holds them.

    Args:
        output: What stands below ``outputs: <target>:``.
        names: Keys that are secret in this profile, beside :data:`SECRET_KEYS`.
    """
    secret = {*SECRET_KEYS, *names}
    env: dict[str, str] = {}

    def hidden(mapping: dict[str, Any]) -> dict[str, Any]:
        found = dict(mapping)
        for name in secret & set(mapping):
            value = mapping[name]
            if isinstance(value, str) and "{{" not in value:
                env[SECRET_PREFIX + name.upper()] = value
                found[name] = variable(SECRET_PREFIX + name.upper())
        return found

    visible = hidden(output)
    if isinstance(output.get("keyfile_json"), dict):
        visible["keyfile_json"] = hidden(output["keyfile_json"])
    return visible, env


def variable(name: str) -> str:
    """Return the text by which a profile names an environment variable."""
    return f"{{{{ env_var('{name}') }}}}"
