"""When a dataset gives access already, in dbt's eyes."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.dbt_rules.access import has_entry

VIEW = {"projectId": "p", "datasetId": "d", "tableId": "v"}
WANTED = {"view": VIEW, "role": None}


@pytest.mark.parametrize(
    ("access", "there"),
    [
        ([], False),
        ([{"role": "OWNER", "userByEmail": "a@b.c"}, {"view": VIEW}], True),
        ([{"view": dict(reversed(VIEW.items()))}], True),
        ([{"view": {**VIEW, "tableId": "w"}}], False),
        ([{"view": VIEW, "role": "READER"}], False),
        ([{"view": VIEW, "condition": {"expression": "true"}}], False),
        ([{"role": None}], False),
    ],
)
def test_an_entry_that_says_no_more_and_no_less_is_there(access: list[Any], there: bool) -> None:
    """BigQuery leaves out the role of a view."""
    assert has_entry(access, WANTED) is there


def test_an_entry_for_a_person_needs_its_role() -> None:
    """As a macro of the project may want it."""
    wanted = {"userByEmail": "a@b.c", "role": "READER"}

    assert has_entry([{"role": "READER", "userByEmail": "a@b.c"}], wanted)
    assert not has_entry([{"role": "WRITER", "userByEmail": "a@b.c"}], wanted)
