"""
``docs/cosmos.md`` says what the probe has found, and what it says of names is so in the package as it is now.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.probe.judge import VERDICTS
from tests.probe.names import asked, statement
from tests.probe.page import FOUND, PAGE, page

DOCUMENT: dict[str, Any] = json.loads(FOUND.read_text(encoding="utf-8"))
NAMES = [row for row in DOCUMENT["rows"] if row["group"] == "Modules" or row["group"].startswith("Names of ")]


def test_the_page_is_made_from_what_was_found() -> None:
    """By ``make probe ARGS=--write``, and not by hand."""
    assert PAGE.read_text(encoding="utf-8") == page(DOCUMENT)


def test_every_verdict_is_explained() -> None:
    """At the page's top, with how often it was found."""
    assert {row["verdict"] for row in DOCUMENT["rows"]} <= set(VERDICTS)
    assert len(DOCUMENT["rows"]) > 500


@pytest.mark.parametrize("group", sorted({row["group"] for row in NAMES}))
def test_names_of_cosmos_are_as_the_page_says(group: str) -> None:
    """Without Cosmos: whether each can be imported from here, and in which words it is refused."""
    rows = [row for row in NAMES if row["group"] == group]

    told = {row["word"]: (row["verdict"], row["detail"]) for row in rows}

    assert told == {row["word"]: asked(statement(group, row["word"])) for row in rows}
