"""
Run dbt projects on BigQuery from Airflow's triggerer.

The public names are imported when they are first used: DAG files pay for this package on every parse. What Cosmos has and
this package has not is refused by name, see ``cosmos_names``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cosmos_async._version import __version__
from cosmos_async.cosmos_names import why_not

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
    from cosmos_async.operators.local import (
        DbtBuildLocalOperator,
        DbtCloneLocalOperator,
        DbtLSLocalOperator,
        DbtRunLocalOperator,
        DbtRunOperationLocalOperator,
        DbtSeedLocalOperator,
        DbtSnapshotLocalOperator,
        DbtTestLocalOperator,
    )

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
    "DbtBuildLocalOperator": "operators.local",
    "DbtCloneLocalOperator": "operators.local",
    "DbtLSLocalOperator": "operators.local",
    "DbtRunLocalOperator": "operators.local",
    "DbtRunOperationLocalOperator": "operators.local",
    "DbtSeedLocalOperator": "operators.local",
    "DbtSnapshotLocalOperator": "operators.local",
    "DbtTestLocalOperator": "operators.local",
}

#: Modules that are there as attributes without having been imported, as in Cosmos.
_MODULES = ("config", "constants", "exceptions", "io", "operators", "profiles", "settings")

__all__ = [
    "DbtBuildLocalOperator",
    "DbtCloneLocalOperator",
    "DbtDag",
    "DbtLSLocalOperator",
    "DbtResourceType",
    "DbtRunLocalOperator",
    "DbtRunOperationLocalOperator",
    "DbtSeedLocalOperator",
    "DbtSnapshotLocalOperator",
    "DbtTaskGroup",
    "DbtTestLocalOperator",
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
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        raise AttributeError(why_not(name) or f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
