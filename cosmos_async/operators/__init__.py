"""
The operators: thin tasks around a plan, and single commands of real dbt under Cosmos' names.

They also work without ``DbtDag``, by hand in a plain DAG, and may be subclassed.
"""

from __future__ import annotations

from cosmos_async.operators.local import DbtBuildLocalOperator as DbtBuildOperator
from cosmos_async.operators.local import DbtDocsGCSLocalOperator as DbtDocsGCSOperator
from cosmos_async.operators.local import DbtDocsLocalOperator as DbtDocsOperator
from cosmos_async.operators.local import DbtLSLocalOperator as DbtLSOperator
from cosmos_async.operators.local import DbtRunLocalOperator as DbtRunOperator
from cosmos_async.operators.local import DbtRunOperationLocalOperator as DbtRunOperationOperator
from cosmos_async.operators.local import DbtSeedLocalOperator as DbtSeedOperator
from cosmos_async.operators.local import DbtSnapshotLocalOperator as DbtSnapshotOperator
from cosmos_async.operators.local import DbtTestLocalOperator as DbtTestOperator
from cosmos_async.operators.node import (
    DbtBuildAsyncOperator,
    DbtNodeAsyncOperator,
    DbtRunAsyncOperator,
    DbtSeedAsyncOperator,
    DbtSnapshotAsyncOperator,
    DbtSourceAsyncOperator,
    DbtTestAsyncOperator,
)
from cosmos_async.operators.results import ResultsAsyncOperator
from cosmos_async.operators.setup import SetupAsyncOperator
from cosmos_async.operators.teardown import TeardownAsyncOperator

__all__ = [
    "DbtBuildAsyncOperator",
    "DbtBuildOperator",
    "DbtDocsGCSOperator",
    "DbtDocsOperator",
    "DbtLSOperator",
    "DbtNodeAsyncOperator",
    "DbtRunAsyncOperator",
    "DbtRunOperationOperator",
    "DbtRunOperator",
    "DbtSeedAsyncOperator",
    "DbtSeedOperator",
    "DbtSnapshotAsyncOperator",
    "DbtSnapshotOperator",
    "DbtSourceAsyncOperator",
    "DbtTestAsyncOperator",
    "DbtTestOperator",
    "ResultsAsyncOperator",
    "SetupAsyncOperator",
    "TeardownAsyncOperator",
]
