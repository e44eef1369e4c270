"""The stand-in in a thread of its own, for tests that wait for a process or enter an event loop themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cosmos_async.testing import FakeGoogle

START = 30  # seconds


@contextmanager
def served_google(project_id: str) -> Iterator[FakeGoogle]:
    """Serve a :class:`FakeGoogle` until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def started() -> FakeGoogle:
        fake = FakeGoogle(project_id=project_id)  # on its loop: Python 3.9 binds events to it at once
        await fake.start()
        return fake

    try:
        fake = asyncio.run_coroutine_threadsafe(started(), loop).result(START)
        yield fake
        asyncio.run_coroutine_threadsafe(fake.aclose(), loop).result(START)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
