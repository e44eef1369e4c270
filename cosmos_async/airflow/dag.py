"""Cosmos' place for ``DbtDag``, which lives in :mod:`cosmos_async.dag.dbt_dag`; imported when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosmos_async.dag.dbt_dag import DbtDag

__all__ = ["DbtDag"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        import cosmos_async

        return getattr(cosmos_async, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
