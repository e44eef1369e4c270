"""What persist_docs makes of columns, nested ones included."""

from __future__ import annotations

from typing import Any

from cosmos_async.dbt_rules.columns import described, split_known, with_added, with_synced

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


def test_tags_are_kept_where_they_are_not_spoken_of() -> None:
    """As by dbt 2."""
    _, address = described(FIELDS, {"address.city": {"description": "Town."}}, keep_tags=True)

    assert address["fields"] == [{**CITY, "description": "Town.", "fields": []}]


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


NEW = {"name": "new", "type": "FLOAT64", "mode": "NULLABLE"}


def test_new_columns_come_to_the_end() -> None:
    """Everything else stays; every mode is told, as Google's client does."""
    assert with_added(FIELDS, {"new": NEW}, replacing=True) == [
        {"name": "Id", "type": "INTEGER", "mode": "NULLABLE"},
        FIELDS[1],
        NEW,
    ]


def test_new_fields_of_a_record_come_to_its_end() -> None:
    """One of a record that is not there is left out, as dbt leaves it out."""
    found = with_added(FIELDS, {"address.new": NEW, "gone.new": NEW}, replacing=True)

    assert [column["name"] for column in found] == ["Id", "address"]
    assert found[1]["fields"] == [CITY, NEW]


def test_adding_columns_twice_adds_them_once() -> None:
    """A lost answer is repeated: whether the new definition wins or the old one."""
    for replacing in (True, False):
        once = with_added(FIELDS, {"new": NEW}, replacing=replacing)
        assert with_added(once, {"new": {**NEW, "type": "STRING"}}, replacing=replacing) == [
            *once[:2],
            {**NEW, "type": "STRING"} if replacing else NEW,
        ]


def test_records_take_the_shape_of_the_new_data() -> None:
    """Those that were named; order, and columns that the new data lacks, stay."""
    source = [
        {"name": "address", "type": "RECORD", "mode": "REPEATED", "fields": [CITY, NEW]},
        {"name": "Id", "type": "STRING"},
    ]

    synced = with_synced([*FIELDS, NEW], source, ["address", "new"])

    assert synced == [{"name": "Id", "type": "INTEGER", "mode": "NULLABLE"}, source[0], NEW]
    assert with_synced(synced, source, ["address", "new"]) == synced
