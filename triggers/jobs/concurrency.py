"""
Bounded concurrency: our own limits of what runs at once, and who comes first where there is a queue.

Tasks that Airflow starts in the triggerer pass no pool and no ``max_active_tasks``; this is what is left to hold them.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count


class Limit:
    """
    A bound on what is under way at once, per process and identity.

    Args:
        most: How many; 0 means no bound.
    """

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self._free = most
        self._numbers = count()
        self._queue: list[tuple[float, int, asyncio.Future[None]]] = []
        self.waiting = 0  #: how many want a place and have none

    @asynccontextmanager
    async def place(self, priority: float = 0.0) -> AsyncIterator[None]:
        """
        Take one place, for as long as the context lasts.

        Args:
            priority: The highest that waits gets the next place; of equal ones whoever came first.
        """
        if not self.most:
            yield
            return
        await self._take(priority)
        try:
            yield
        finally:
            self._give_back()

    @property
    def full(self) -> bool:
        """Whether the next one has to wait."""
        return bool(self.most) and not self._free

    async def _take(self, priority: float) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (-priority, next(self._numbers), turn))
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place was ours by then
                self._give_back()
            raise
        finally:
            self.waiting -= 1

    def _give_back(self) -> None:
        while self._queue:
            _, _, turn = heapq.heappop(self._queue)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
