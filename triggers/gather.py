"""
Many things at once, but not too many, and none left behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

T = TypeVar("T")

CONCURRENCY = 32


async def gather_bounded(coroutines: Iterable[Awaitable[T]], *, most: int = CONCURRENCY) -> list[T]:
    """Await all, *most* at a time; the first error cancels the rest."""
    places = asyncio.Semaphore(most)

    async def placed(awaitable: Awaitable[T]) -> T:
        async with places:
            return await awaitable

    tasks = [asyncio.ensure_future(placed(awaitable)) for awaitable in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
