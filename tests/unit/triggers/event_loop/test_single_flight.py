"""
Many who ask the same at one moment share a question, and nobody gets an answer older than its own.
"""

from __future__ import annotations

import asyncio

import pytest

from cosmos_async.triggers.event_loop.single_flight import SingleFlight


class Oracle:
    """Counts how often it was asked; answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.let = asyncio.Event()

    async def answer(self) -> int:
        self.asked += 1
        number = self.asked
        await self.let.wait()
        return number


async def some_turns() -> None:
    """Let everybody go as far as possible."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("age", "asked"), [(60.0, 1), (0.0, 2)])
def test_who_does_not_mind_shares_the_question_that_is_under_way(age: float, asked: int) -> None:
    """An answer may be as old as that, and no older."""

    async def scenario() -> None:
        flight, oracle = SingleFlight(), Oracle()
        first = asyncio.ensure_future(flight.ask("plan", oracle.answer))
        await some_turns()
        others = [asyncio.ensure_future(flight.ask("plan", oracle.answer, age=age)) for _ in range(10)]
        await some_turns()
        oracle.let.set()

        assert await first == 1
        assert await asyncio.gather(*others) == [asked] * 10
        assert oracle.asked == asked

    asyncio.run(scenario())


def test_all_who_come_before_it_is_sent_share_a_question() -> None:
    """Those who come later share the next one, though there is an answer on its way."""

    async def scenario() -> None:
        flight, oracle = SingleFlight(), Oracle()
        first = [asyncio.ensure_future(flight.ask("plan", oracle.answer)) for _ in range(100)]
        await some_turns()
        second = [asyncio.ensure_future(flight.ask("plan", oracle.answer)) for _ in range(100)]
        await some_turns()
        assert oracle.asked == 1
        oracle.let.set()

        assert set(await asyncio.gather(*first)) == {1}
        assert set(await asyncio.gather(*second)) == {2}
        assert await flight.ask("plan", oracle.answer) == 3

    asyncio.run(scenario())


def test_other_questions_do_not_wait() -> None:
    """Each has a line of its own."""

    async def scenario() -> None:
        flight, slow, quick = SingleFlight(), Oracle(), Oracle()
        quick.let.set()
        waiting = asyncio.ensure_future(flight.ask("slow", slow.answer))
        await some_turns()

        assert await asyncio.wait_for(flight.ask("quick", quick.answer), 5) == 1
        slow.let.set()
        assert await waiting == 1

    asyncio.run(scenario())


def test_who_goes_away_takes_nothing_with_him() -> None:
    """The one whose question is asked may be cancelled; the others get its answer."""

    async def scenario() -> None:
        flight, oracle = SingleFlight(), Oracle()
        one, other = (asyncio.ensure_future(flight.ask("plan", oracle.answer)) for _ in range(2))
        await some_turns()
        one.cancel()
        oracle.let.set()

        assert await other == 1
        with pytest.raises(asyncio.CancelledError):
            await one

    asyncio.run(scenario())


def test_an_error_is_told_to_all_and_kept_for_nobody() -> None:
    """Who asks after it asks anew."""

    async def scenario() -> None:
        flight, oracle = SingleFlight(), Oracle()
        oracle.let.set()

        async def fail() -> int:
            raise ConnectionError("no Airflow")

        told = await asyncio.gather(*(flight.ask("plan", fail) for _ in range(3)), return_exceptions=True)
        assert [str(each) for each in told] == ["no Airflow"] * 3
        assert await flight.ask("plan", oracle.answer) == 1

    asyncio.run(scenario())


def test_each_event_loop_has_its_own() -> None:
    """A triggerer has one, tests have many."""
    flight = SingleFlight()

    async def ask() -> int:
        oracle = Oracle()
        oracle.let.set()
        return await flight.ask("plan", oracle.answer)

    assert [asyncio.run(ask()), asyncio.run(ask())] == [1, 1]
