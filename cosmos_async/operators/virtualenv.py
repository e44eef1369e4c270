"""Cosmos' names for local operators whose dbt is installed from ``py_requirements``: the same operators, which all do that."""

from __future__ import annotations

from cosmos_async.operators.local import DbtBuildLocalOperator as DbtBuildVirtualenvOperator
from cosmos_async.operators.local import DbtCloneLocalOperator as DbtCloneVirtualenvOperator
from cosmos_async.operators.local import DbtDocsLocalOperator as DbtDocsVirtualenvOperator
from cosmos_async.operators.local import DbtLocalBaseOperator as DbtVirtualenvBaseOperator
from cosmos_async.operators.local import DbtLSLocalOperator as DbtLSVirtualenvOperator
from cosmos_async.operators.local import DbtRunLocalOperator as DbtRunVirtualenvOperator
from cosmos_async.operators.local import DbtRunOperationLocalOperator as DbtRunOperationVirtualenvOperator
from cosmos_async.operators.local import DbtSeedLocalOperator as DbtSeedVirtualenvOperator
from cosmos_async.operators.local import DbtSnapshotLocalOperator as DbtSnapshotVirtualenvOperator
from cosmos_async.operators.local import DbtSourceLocalOperator as DbtSourceVirtualenvOperator
from cosmos_async.operators.local import DbtTestLocalOperator as DbtTestVirtualenvOperator

__all__ = [
    "DbtBuildVirtualenvOperator",
    "DbtCloneVirtualenvOperator",
    "DbtDocsVirtualenvOperator",
    "DbtLSVirtualenvOperator",
    "DbtRunOperationVirtualenvOperator",
    "DbtRunVirtualenvOperator",
    "DbtSeedVirtualenvOperator",
    "DbtSnapshotVirtualenvOperator",
    "DbtSourceVirtualenvOperator",
    "DbtTestVirtualenvOperator",
    "DbtVirtualenvBaseOperator",
]

__path__: list[str] = []  # see cosmos_names
