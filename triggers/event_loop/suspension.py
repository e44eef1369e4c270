"""
Notice that this process was suspended: a frozen machine, or a blocked event loop.

A triggerer that is frozen for a while (a paused machine, a blocked event loop) wakes up in the middle of its work, and
Airflow may have given that to another one meanwhile. Nobody tells it so at once.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

INTERVAL = 1.0  # seconds between two beats
#: Seconds without a beat that count as standing still: well below the 30 after which Airflow gives work to others.
STILL = 15.0


class SuspensionDetector:
    """
    Beats on the event loop it was started on, in real time.

    Args:
        still: Seconds without a beat that count.
    """

    def __init__(self, still: float = STILL) -> None:
        self._still = still
        self._last = time.monotonic()
        self._count = 0
        self._beating: asyncio.Task[None] | None = None

    @property
    def stops(self) -> int:
        """How often this process has stood still so far; known at once, before anything else has noticed."""
        return self._count + (time.monotonic() - self._last > self._still)

    def start(self) -> None:
        """Begin to beat."""
        self._last = time.monotonic()
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    async def stop(self) -> None:
        """Beat no more."""
        if self._beating is not None:
            self._beating.cancel()
            with suppress(asyncio.CancelledError):
                await self._beating

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(min(INTERVAL, self._still))
            self._count = self.stops
            self._last = time.monotonic()
