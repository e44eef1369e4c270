"""
Bounded concurrency: our own limits of what runs at once.

Tasks that Airflow starts in the triggerer pass no pool and no ``max_active_tasks``; this is what is left to hold them.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Limit:
    """
    A bound on what is under way at once, per process and identity; ``async with`` takes one place.

    Args:
        most: How many; 0 means no bound.
    """

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self._places = asyncio.Semaphore(most) if most else None
        self.waiting = 0  #: how many want a place and have none

    async def __aenter__(self) -> None:
        if self._places is None:
            return
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._places is not None:
            self._places.release()

    @property
    def full(self) -> bool:
        """Whether the next one has to wait."""
        return self._places is not None and self._places.locked()
