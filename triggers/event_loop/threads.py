"""
Run synchronous code in a thread, for a coroutine: the one place.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

T = TypeVar("T")

BIG = 64 * 1024  # bytes; parsing less takes a millisecond or two


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """
    Call Airflow's synchronous code in a thread.

    Through asgiref, because in Airflow 3.0 such code finds its way back to this event loop only if asgiref knows it;
    not thread-sensitive, because that would be one thread for all triggers.
    """
    return await sync_to_async(function, thread_sensitive=False)(*args, **kwargs)


async def parse(loader: Callable[..., T], data: bytes, **kwargs: Any) -> T:
    """Call *loader* on *data*, in a thread where that takes a while."""
    if len(data) < BIG:
        return loader(data, **kwargs)
    return await asyncio.to_thread(loader, data, **kwargs)


async def parse_json(data: bytes) -> Any:
    """Return the document in *data*."""
    return await parse(json.loads, data)
