"""
Single flight: coroutines that have the same question at the same time send one request and share its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class _Turn(NamedTuple):
    answer: asyncio.Task[Any]
    since: float  #: on the loop's clock; of one that is under way


Turns = dict[Any, "asyncio.Task[Any]"]
UnderWay = dict[Any, _Turn]


class SingleFlight:
    """
    Lets coroutines of one event loop share the answers to their questions.

    A triggerer carries its triggers' requests to Airflow one after the other, and all tasks of a run that begin, or are
    taken over from another triggerer, at one moment have the same question. Nobody gets an answer to a question that
    was sent before its own, or not long before: those who come while one is under way share the next one.
    """

    def __init__(self) -> None:
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()
        self._asking: WeakKeyDictionary[asyncio.AbstractEventLoop, UnderWay] = WeakKeyDictionary()

    async def ask(self, key: Any, question: Callable[[], Awaitable[T]], *, age: float = 0.0) -> T:
        """
        Return the answer to *question*, or its error.

        Args:
            key: What tells the question from others.
            question: Asks it; one of those that share it is called.
            age: Seconds since which a question may be under way whose answer is as good.
        """
        loop = asyncio.get_running_loop()
        waiting, asking = self._waiting.setdefault(loop, {}), self._asking.setdefault(loop, {})
        earlier = asking.get(key)
        if earlier is not None and loop.time() - earlier.since < age:
            answer: T = await asyncio.shield(earlier.answer)
            return answer
        if key not in waiting:
            waiting[key] = loop.create_task(_take_turn(key, question, waiting, asking))
            waiting[key].add_done_callback(forget_error)
        # One who is cancelled takes nothing away from the others.
        answer = await asyncio.shield(waiting[key])
        return answer


async def _take_turn(key: Any, question: Callable[[], Awaitable[T]], waiting: Turns, asking: UnderWay) -> T:
    before = asking.get(key)
    if before is not None:
        await asyncio.wait({before.answer})
    mine = asking[key] = _Turn(waiting.pop(key), asyncio.get_running_loop().time())
    try:
        return await question()
    finally:
        if asking.get(key) is mine:
            del asking[key]


def forget_error(task: asyncio.Task[Any]) -> None:
    """Keep asyncio from complaining where all who asked are gone."""
    if not task.cancelled():
        task.exception()
