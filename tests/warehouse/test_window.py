"""What the warehouse was asked can be read by whoever started it."""

from __future__ import annotations

import base64

import pytest

from tests.warehouse.fixture import Warehouse

pytestmark = pytest.mark.warehouse


def test_what_could_change_something_is_told_in_order(warehouse: Warehouse) -> None:
    """From any point on."""
    before, _ = warehouse.asked()
    warehouse.query("select 1 as one")
    warehouse.call("GET", f"projects/{warehouse.project}/datasets")

    after, asked = warehouse.asked(before)

    assert [each["operation"] for each in asked] == ["jobs.query"]
    assert b"select 1 as one" in base64.b64decode(asked[0]["body"])
    assert warehouse.asked(after) == (after, [])
