"""Which cases a process of the suite tries."""

from __future__ import annotations

import pytest

from tests.fidelity.alone import summary
from tests.fidelity.choice import ALL, Choice

NAMES = [f"area.Case{number}" for number in range(40)]


@pytest.mark.parametrize("shares", [1, 2, 3, 8])
def test_each_case_is_in_exactly_one_share(shares: int) -> None:
    """Nothing is left out and nothing tried twice, however many processes there are."""
    tried = [name for share in range(shares) for name in NAMES if Choice((), share, shares).takes(name)]

    assert sorted(tried) == sorted(NAMES)


def test_cases_are_chosen_by_how_their_names_begin() -> None:
    """An area of the adapter suite is a beginning, too."""
    assert [name for name in ("basic.One", "basics", "hooks.Two") if Choice(("basic.",)).takes(name)] == [
        "basic.One"
    ]
    assert ALL.takes("anything")


def test_the_summary_counts_states_and_levels() -> None:
    """Rows that were not compared have no levels."""
    rows = [
        {"verdict": "same", "levels": {"S": 3, "D": 1}},
        {"verdict": "not compared"},
        {"verdict": "different", "levels": {}},
    ]

    assert summary(rows) == (
        "In all: 1 different, 1 not compared, 1 same; 4 nodes executed, S:3 G:0 N:0 L:0 D:1, 75.0% of them at S, G or N"
    )
    assert summary([]) == "In all: nothing was tried"
