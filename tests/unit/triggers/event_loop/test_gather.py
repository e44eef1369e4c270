"""Many awaitables at once, none left behind."""

from __future__ import annotations

import asyncio
import gc

import pytest

from cosmos_async.triggers.event_loop.gather import both


async def test_both_are_under_way_at_once() -> None:
    """Each waits for what only the other gives."""
    one, other = asyncio.Event(), asyncio.Event()

    async def give(mine: asyncio.Event, its: asyncio.Event, value: str) -> str:
        mine.set()
        await its.wait()
        return value

    assert await both(give(one, other, "a"), give(other, one, "b")) == ("a", "b")


@pytest.mark.filterwarnings("error")
async def test_one_within_another_leaves_nothing_unawaited() -> None:
    """What is cancelled before it has begun is told of twice there."""
    begun = asyncio.Event()

    async def within() -> tuple[bool, bool]:
        begun.set()
        return await both(asyncio.sleep(1, True), asyncio.sleep(1, True))

    task = asyncio.create_task(both(within(), asyncio.sleep(1)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()


async def test_an_error_of_one_ends_the_other() -> None:
    """Nothing goes on behind the back of who has the error."""
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await both(wait(), fail())
    assert ended.is_set()
