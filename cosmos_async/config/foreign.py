"""
Configuration objects that were made with Cosmos' classes, taken by what they say.

A module of settings that several DAGs share may import its classes from ``cosmos`` while one DAG has moved here. What
differs from the defaults of Cosmos' class is said to our class of the same name, which then takes or refuses it in its
own words. Written for astronomer-cosmos 1.10 to 1.15; what another release has beside these is refused by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from cosmos_async.config.execution import ExecutionConfig
from cosmos_async.config.profile import ProfileConfig
from cosmos_async.config.project import ProjectConfig
from cosmos_async.config.render import RenderConfig
from cosmos_async.exceptions import ConfigError

_OF_PROJECT = {
    "dbt_project_path",
    "project_name",
    "env_vars",
    "dbt_vars",
    "partial_parse",
    "install_dbt_deps",
}
#: Of Cosmos' ProjectConfig: what is told otherwise, or has no effect in our class either.
_NOT_ASKED = {"manifest_path", "models_path", "seeds_path", "snapshots_path", "copy_dbt_packages"}

Config = TypeVar("Config", ProjectConfig, ProfileConfig, ExecutionConfig, RenderConfig)


def own_config(kind: type[Config], config: object, argument: str) -> Config:
    """
    Return *config* as an instance of our class *kind*.

    Args:
        kind: One of the four classes of :mod:`cosmos_async.config`.
        config: An instance of it, or of Cosmos' class of the same name.
        argument: What the author has called it, such as ``render_config``.

    Raises:
        ConfigError: It is neither, or it says what our class does not take.
    """
    if isinstance(config, kind):
        return config
    if not is_of_cosmos(config, kind.__name__):
        raise ConfigError(f"{argument} is {_named(config)}. Give it a {kind.__name__} of cosmos_async.")
    said = _said_by_project(config) if kind is ProjectConfig else _said(config, kind)
    try:
        return kind(**said)
    except ConfigError as error:
        raise ConfigError(f"{argument} was made with Cosmos' {kind.__name__}. {error}") from error


def is_of_cosmos(value: object, name: str) -> bool:
    """Return whether *value* is an instance of Cosmos' class *name*, or of a subclass of it."""
    return any(
        cls.__name__ == name and cls.__module__.partition(".")[0] == "cosmos" for cls in type(value).__mro__
    )


def _said(config: Any, kind: Callable[..., Any]) -> dict[str, Any]:
    """Return the arguments of *kind* for a dataclass of Cosmos: what differs from the defaults there."""
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    said: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "project_path":
            if value:
                said["dbt_project_path"] = value
        elif value == _default(field):
            continue
        elif field.name not in known:
            raise ConfigError(
                f"Cosmos' {kind.__name__} has {field.name} set to {value!r}, which means nothing here. Make this object "
                f"with cosmos_async.{kind.__name__}."
            )
        else:
            said[field.name] = value
    return said


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _said_by_project(config: Any) -> dict[str, Any]:
    """Return our arguments for a ProjectConfig of Cosmos, which keeps its arguments under other names."""
    said = {name: value for name in _OF_PROJECT if (value := getattr(config, name, None)) is not None}
    unknown = [name for name, value in vars(config).items() if value and name not in _OF_PROJECT | _NOT_ASKED]
    if unknown:
        raise ConfigError(
            f"Cosmos' ProjectConfig has {unknown[0]} set to {getattr(config, unknown[0])!r}, which means nothing here. Make "
            "this object with cosmos_async.ProjectConfig."
        )
    manifest = getattr(
        config, "manifest_path", None
    )  # an ObjectStoragePath, whose text has the connection in its address
    if manifest is not None:
        conn_id = getattr(manifest, "conn_id", None)
        said["manifest_path"] = str(manifest).replace(f"://{conn_id}@", "://", 1)
        said["manifest_conn_id"] = conn_id
    return said


def _named(value: object) -> str:
    kind = type(value)
    return f"a {kind.__module__}.{kind.__qualname__}" if value is not None else "None"
