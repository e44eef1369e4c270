"""
The operators: thin tasks around a plan.

They also work without ``DbtDag``, by hand in a plain DAG, and may be subclassed.
"""

from __future__ import annotations

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
    "DbtNodeAsyncOperator",
    "DbtRunAsyncOperator",
    "DbtSeedAsyncOperator",
    "DbtSnapshotAsyncOperator",
    "DbtSourceAsyncOperator",
    "DbtTestAsyncOperator",
    "ResultsAsyncOperator",
    "SetupAsyncOperator",
    "TeardownAsyncOperator",
]
