"""
Run coroutines from a worker's code, which blocks: one after the other, on one event loop and with one session and token for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Optional, TypeVar

T = TypeVar("T")

_loop: ContextVar[Optional[asyncio.AbstractEventLoop]] = ContextVar("cosmos_async_loop", default=None)


def run_until_complete(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* and return its result: on the loop of :func:`one_loop` where the caller is within one, else as ``asyncio.run``."""
    loop = _loop.get()
    return asyncio.run(work) if loop is None else loop.run_until_complete(work)


@contextmanager
def one_loop() -> Iterator[None]:
    """
    Within, each :func:`run_until_complete` has the same event loop, and a session that one has opened is open for the next.

    A token and a connection to Google cost some 100 ms each. Between two runs the loop stands still: what has timed out by then,
    aiohttp connects anew.
    """
    if _loop.get() is not None:
        yield
        return
    # This module is imported with DAG files, which pay for no client.
    from cosmos_async.triggers.google.session import close_sessions, keep_sessions

    loop = asyncio.new_event_loop()
    keep_sessions(loop)
    within = _loop.set(loop)
    try:
        yield
    finally:
        _loop.reset(within)
        try:
            _cancel_all(loop)  # left over where a signal has broken off a run
            loop.run_until_complete(close_sessions())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    left = {task for task in asyncio.all_tasks(loop) if not task.done()}
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
