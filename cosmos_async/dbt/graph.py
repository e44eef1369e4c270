"""Cosmos' place for ``DbtNode``, what functions in ``RenderConfig`` are given; it is :class:`cosmos_async.graph.DbtNode` here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosmos_async.graph import DbtNode

__all__ = ["DbtNode"]

__path__: list[str] = []  # see cosmos_names


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module("cosmos_async.graph").DbtNode
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
