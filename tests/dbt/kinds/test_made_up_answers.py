"""
What uses an answer that nobody knows before the run ends as real dbt leaves it, and so does what only hands it on.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.dbt.made_up_shapes import FILES, PLANNED, models

pytestmark = [pytest.mark.warehouse, pytest.mark.dbt]
USING = (
    "rows_affected",
    "branching",
    "immediate",
)  # all others are at the same level: see ../test_made_up_answers.py


def test_the_warehouse_ends_as_dbt_leaves_it_whoever_uses_what_is_not_known(pair: Any) -> None:
    """Three rows are written down as three, and the table that has them is not dropped."""
    both = pair({**FILES, **models(*USING, *PLANNED)})

    ours, theirs = both.ours("once"), both.theirs("once")

    assert sorted(unique_id.split(".")[-1] for unique_id in ours.by_dbt) == sorted(USING)
    assert {each["status"] for each in theirs.results.values()} == {"success"}
    mine, dbts = both.dumps()
    assert mine == dbts
