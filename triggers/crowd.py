"""
One question for all who have it at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")
Turns = dict[Any, "asyncio.Task[Any]"]


class Crowd:
    """
    Lets coroutines of one event loop share the answers to their questions.

    A triggerer carries its triggers' requests to Airflow one after the other, and all tasks of a run that begin, or are
    taken over from another triggerer, at one moment have the same question. Nobody gets an answer to a question that
    was sent before its own: those who come while one is under way share the next one.
    """

    def __init__(self) -> None:
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()
        self._asking: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()

    async def ask(self, key: Any, question: Callable[[], Awaitable[T]]) -> T:
        """
        Return the answer to *question*, or its error.

        Args:
            key: What tells the question from others.
            question: Asks it; one of those that share it is called.
        """
        loop = asyncio.get_running_loop()
        waiting, asking = (each.setdefault(loop, {}) for each in (self._waiting, self._asking))
        if key not in waiting:
            waiting[key] = loop.create_task(_take_turn(key, question, waiting, asking))
            waiting[key].add_done_callback(forget_error)
        # One who is cancelled takes nothing away from the others.
        answer: T = await asyncio.shield(waiting[key])
        return answer


async def _take_turn(key: Any, question: Callable[[], Awaitable[T]], waiting: Turns, asking: Turns) -> T:
    before = asking.get(key)
    if before is not None:
        await asyncio.wait({before})
    mine = asking[key] = waiting.pop(key)
    try:
        return await question()
    finally:
        if asking.get(key) is mine:
            del asking[key]


def forget_error(task: asyncio.Task[Any]) -> None:
    """Keep asyncio from complaining where all who asked are gone."""
    if not task.cancelled():
        task.exception()
