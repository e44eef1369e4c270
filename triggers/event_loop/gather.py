"""
Bounded gather: many awaitables at once, but not too many, and none left behind; and some that must come to their end.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")

CONCURRENCY = 32


async def gather_bounded(coroutines: Iterable[Coroutine[Any, Any, T]], *, most: int = CONCURRENCY) -> list[T]:
    """Await all, *most* at a time; the first error cancels the rest."""
    places, waiting = asyncio.Semaphore(most), list(coroutines)

    async def placed(coroutine: Coroutine[Any, Any, T]) -> T:
        async with places:
            return await coroutine

    tasks = [asyncio.ensure_future(placed(coroutine)) for coroutine in waiting]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:  # also where it is cancelled once more, as from within another one of these
            for coroutine in waiting:
                if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                    coroutine.close()  # Python warns of one that had no place yet
        raise


async def both(one: Coroutine[Any, Any, S], other: Coroutine[Any, Any, T]) -> tuple[S, T]:
    """
    Await both at once and return what they give; the first error cancels the other.

    Neither may be made of coroutines: one that is cancelled before it begins would leave those unawaited.
    """
    either: tuple[Coroutine[Any, Any, Any], ...] = (one, other)
    found = await gather_bounded(either)
    return found[0], found[1]


async def unless(work: Coroutine[Any, Any, None], stop: Coroutine[Any, Any, T]) -> T | None:
    """Await *work* and return None; or, where *stop* ends before it, cancel *work* and return what *stop* says."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop)
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return stopping.result()
        working.result()
        return None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


async def see_through(work: Coroutine[Any, Any, None], *, timeout: float) -> bool:
    """
    Await *work* to its end, however often we are cancelled meanwhile; return whether it came to it.

    Airflow cancels a trigger that is no longer wanted once per second until it has ended, its ``on_kill`` included.

    Args:
        work: What must not be left half done.
        timeout: Seconds after which it is cancelled after all.
    """
    task = asyncio.get_running_loop().create_task(work)
    deadline = time.monotonic() + timeout
    while not task.done() and time.monotonic() < deadline:
        try:
            await asyncio.wait({task}, timeout=max(0.0, deadline - time.monotonic()))
        except asyncio.CancelledError:  # noqa: PERF203
            continue
    if task.done():
        task.result()
        return True
    task.cancel()
    return False
