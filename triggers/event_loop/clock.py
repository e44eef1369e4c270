"""
Time and chance, as a collaborator: whoever waits or retries is handed one, so that tests never wait.
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import datetime, timezone


class Clock:
    """The real clock."""

    def now(self) -> float:
        """Return the monotonic time in seconds; deadlines are points on this scale."""
        return time.monotonic()

    def utc(self) -> datetime:
        """Return the wall clock's time, aware."""
        return datetime.now(timezone.utc)

    def jitter(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
