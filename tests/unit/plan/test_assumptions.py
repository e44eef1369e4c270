"""With which nodes nothing is assumed any more."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from cosmos_async.plan.assumptions import DAYS, Wrong, changing, dump_wrong, load_wrong, with_wrong

TODAY = date(2026, 5, 4)


def test_once_may_happen() -> None:
    """The next run is planned anew, by what is there then."""
    known = with_wrong({}, ["model.shop.orders"], TODAY, "a")

    assert known == {"model.shop.orders": Wrong(TODAY, 1, "a")}
    assert changing(known, TODAY) == frozenset()


def test_twice_within_days_is_what_it_does() -> None:
    """Whether it is every run or every few days; the others are not touched."""
    known = with_wrong({}, ["model.shop.orders", "model.shop.lines"], TODAY, "a")
    soon = TODAY + timedelta(days=DAYS - 1)
    known = with_wrong(known, ["model.shop.orders"], soon, "b")

    assert changing(known, soon) == {"model.shop.orders"}
    assert known["model.shop.lines"] == Wrong(TODAY, 1, "a")


def test_results_that_are_told_twice_count_once() -> None:
    """A hook may fail, and the task be retried or cleared."""
    known = with_wrong({}, ["model.shop.orders"], TODAY, "a")

    assert with_wrong(known, ["model.shop.orders"], TODAY, "a") == known
    assert changing(with_wrong(known, ["model.shop.orders"], TODAY, "b"), TODAY) == {"model.shop.orders"}


def test_after_some_days_it_is_tried_again() -> None:
    """A node that is planned late gives no sign of having become another."""
    known = {"model.shop.orders": Wrong(TODAY, 2)}
    later = TODAY + timedelta(days=DAYS)

    assert changing(known, later - timedelta(days=1)) == {"model.shop.orders"}
    assert changing(known, later) == frozenset()
    assert with_wrong(known, ["model.shop.orders"], later, "b") == {"model.shop.orders": Wrong(later, 1, "b")}
    assert with_wrong(known, [], later, "b") == {}


def test_it_is_read_as_it_was_written() -> None:
    """By the next run."""
    known = {"model.shop.orders": Wrong(TODAY, 2, "b"), "model.shop.lines": Wrong(TODAY, 1, "a")}

    assert load_wrong(dump_wrong(known)) == known


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a": 1}', b'{"a": ["x", 1]}', b'{"a": ["2026-05-04", 1]}'])
def test_what_is_something_else_is_nothing(data: bytes) -> None:
    """It costs a late plan, or an assumption that is wrong."""
    assert load_wrong(data) == {}
