"""What has come and gone in the datasets of a project since an earlier run."""

from __future__ import annotations

from typing import Any

from cosmos_async.testing import FakeGoogle
from cosmos_async.triggers.execution.relations import changed_relations

ID = [{"name": "id", "type": "INTEGER", "mode": "NULLABLE"}]


async def changes(
    google: FakeGoogle,
    identity: dict[str, Any],
    relations: dict[str, dict[str, str]],
    routines: dict[str, dict[str, str]] | None = None,
) -> list[str]:
    """Ask for them."""
    endpoint = google.bigquery_endpoint
    return await changed_relations(relations, routines or {}, identity=identity, endpoint=endpoint)


async def test_what_is_as_it_was_is_no_change(google: FakeGoogle, identity: dict[str, Any]) -> None:
    """Temporary tables, which come and go with every run, do not count, and neither does what is in a table."""
    google.add_dataset("acme", "empty")
    google.add_table("acme", "shop", "orders", schema=ID)
    google.add_table("acme", "shop", "grown__dbt_tmp101112131415", schema=ID)
    google.add_table("acme", "shop", "lines", schema=ID, type="VIEW")

    was = {
        "acme.shop": {"orders": "TABLE", "lines": "VIEW", "old__dbt_tmp000000000000": "TABLE"},
        "acme.empty": {},
    }

    assert await changes(google, identity, was) == []


async def test_what_came_went_or_became_something_else_is_told(
    google: FakeGoogle, identity: dict[str, Any]
) -> None:
    """By name; of a dataset that is gone, the dataset's."""
    google.add_table("acme", "shop", "new", schema=ID)
    google.add_table("acme", "shop", "lines", schema=ID, type="VIEW")

    was = {"acme.shop": {"gone": "TABLE", "lines": "TABLE"}, "acme.dropped": {}}

    assert await changes(google, identity, was) == [
        "acme.dropped",
        "acme.shop.gone",
        "acme.shop.lines",
        "acme.shop.new",
    ]


async def test_a_routine_that_came_is_told_where_dbt_lists_them(
    google: FakeGoogle, identity: dict[str, Any]
) -> None:
    """dbt 1.12 finds a function where it looks for a relation."""
    google.add_dataset("acme", "shop")
    google.catalog.add_routine("acme", "shop", "cents")
    function = {"cents": "SCALAR_FUNCTION"}

    assert await changes(google, identity, {"acme.shop": {}}) == []
    assert await changes(google, identity, {"acme.shop": {}}, {"acme.shop": {}}) == ["acme.shop.cents"]
    assert await changes(google, identity, {"acme.shop": {}}, {"acme.shop": function}) == []
