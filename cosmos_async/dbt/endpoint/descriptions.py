"""
What dbt 2's driver is told to say of a table's columns, as far as its requests show that.

The driver reads the table, puts descriptions into its columns, and writes all of them back (``statement.go`` of
dbt-labs/arrow-adbc, ``executeUpdateTableColumnsDescription``). So each column is given to it with a mark in the place of its
description; whichever comes back without it, dbt has a description for. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

MARK = "cosmos-async: as it is"
#: What the driver writes back of a column; anything else is lost there.
WRITTEN = frozenset(("name", "type", "mode", "description", "fields"))


def why_not(fields: Iterable[Json]) -> str | None:
    """Return why it is not known what the driver makes of some columns; None where it is."""
    for field in fields:
        tags = (field.get("policyTags") or {}).get("names")
        more = sorted(field.keys() - WRITTEN - (set() if tags else {"policyTags"}))
        if more:
            return f"What dbt 2's driver makes of {more[0]} of the column {field['name']} is not known."
    return None


def marked(fields: Iterable[Json]) -> list[Json]:
    """Return columns with the mark."""
    return [{**field, "description": MARK} for field in fields]


def told(fields: Iterable[Json]) -> dict[str, str]:
    """
    Return the descriptions that dbt has, by column.

    Args:
        fields: What the driver writes back. An empty description is left out there.
    """
    return {
        field["name"]: field.get("description") or "" for field in fields if field.get("description") != MARK
    }


def lost(columns: Mapping[str, str], before: Iterable[Json]) -> list[str]:
    """
    Return the columns that have a description now and are to have an empty one.

    Args:
        columns: What :func:`told` returns.
        before: The table's columns as they are.
    """
    return [
        field["name"] for field in before if columns.get(field["name"]) == "" and field.get("description")
    ]
