"""
Something that happens once and is waited for: an `asyncio.Event` that may be made before there is an event loop.
"""

from __future__ import annotations

import asyncio


class Signal:
    """
    An event that is set once.

    Before Python 3.10 an `asyncio.Event` belongs to the loop of the moment when it is made, and cannot be made where there
    is none; this one makes its own when somebody first waits.
    """

    def __init__(self) -> None:
        self._given = False
        self._event: asyncio.Event | None = None

    def set(self) -> None:
        """Let all who wait go on."""
        self._given = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        """Wait until it is set."""
        if self._given:
            return
        if self._event is None:
            self._event = asyncio.Event()
        await self._event.wait()
