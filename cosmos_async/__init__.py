"""
Run dbt projects on BigQuery from Airflow's triggerer.

The public names are imported when they are first used: DAG files pay for this package on every parse.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cosmos_async._version import __version__

if TYPE_CHECKING:
    from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
    from cosmos_async.constants import (
        DbtResourceType,
        ExecutionMode,
        InvocationMode,
        LoadMode,
        SeedRenderingBehavior,
        SourceRenderingBehavior,
        TestBehavior,
        TestIndirectSelection,
    )
    from cosmos_async.dag.dbt_dag import DbtDag, DbtTaskGroup

_HOMES = {
    "DbtDag": "dag.dbt_dag",
    "DbtTaskGroup": "dag.dbt_dag",
    "ExecutionConfig": "config",
    "ProfileConfig": "config",
    "ProjectConfig": "config",
    "RenderConfig": "config",
    "DbtResourceType": "constants",
    "ExecutionMode": "constants",
    "InvocationMode": "constants",
    "LoadMode": "constants",
    "SeedRenderingBehavior": "constants",
    "SourceRenderingBehavior": "constants",
    "TestBehavior": "constants",
    "TestIndirectSelection": "constants",
}

__all__ = [
    "DbtDag",
    "DbtResourceType",
    "DbtTaskGroup",
    "ExecutionConfig",
    "ExecutionMode",
    "InvocationMode",
    "LoadMode",
    "ProfileConfig",
    "ProjectConfig",
    "RenderConfig",
    "SeedRenderingBehavior",
    "SourceRenderingBehavior",
    "TestBehavior",
    "TestIndirectSelection",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
