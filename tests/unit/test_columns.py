"""What persist_docs makes of columns, nested ones included."""

from __future__ import annotations

from typing import Any

from cosmos_async.columns import described, split_known

CITY = {"name": "city", "type": "STRING", "mode": "NULLABLE", "policyTags": {"names": ["old"]}}
FIELDS: list[dict[str, Any]] = [
    {"name": "Id", "type": "INTEGER"},
    {"name": "address", "type": "RECORD", "mode": "REPEATED", "description": "Kept.", "fields": [CITY]},
]


def test_a_named_column_gets_its_description_and_tags() -> None:
    """A record has no tags of its own; a column that is not named keeps everything."""
    found = described(
        FIELDS, {"Id": {"description": "One.", "policy_tags": ["new"]}, "address": {"description": "Where."}}
    )

    assert found == [
        {
            "name": "Id",
            "type": "INTEGER",
            "mode": "NULLABLE",
            "description": "One.",
            "policyTags": {"names": ["new"]},
            "fields": [],
        },
        {
            "name": "address",
            "type": "RECORD",
            "mode": "REPEATED",
            "description": "Where.",
            "fields": [{**CITY, "fields": []}],
        },
    ]


def test_a_nested_column_is_named_by_its_path_and_loses_tags_that_are_not_named_again() -> None:
    """As in dbt."""
    _, address = described(FIELDS, {"address.city": {"description": "Town."}, "city": {"description": "No."}})

    assert address["description"] == "Kept."
    assert address["fields"] == [{**CITY, "description": "Town.", "policyTags": {"names": []}, "fields": []}]


def test_what_was_read_is_not_changed() -> None:
    """The same answer may be looked at again."""
    before = repr(FIELDS)

    described(FIELDS, {"Id": {"description": "One."}, "address.city": {"description": "Town."}})

    assert repr(FIELDS) == before


def test_only_a_quoted_column_is_looked_for_letter_by_letter() -> None:
    """dbt's own rule for which columns a table has; describing compares letters all the same."""
    columns: dict[str, Any] = {
        "id": {"description": "a"},
        "ID": {"quote": True},
        "Id": {"quote": True},
        "ADDRESS.city": {},
        "gone": {},
    }

    known, missing = split_known(FIELDS, columns)

    assert list(known) == ["id", "Id", "ADDRESS.city"]
    assert missing == ["ID", "gone"]
