"""
What dbt's ``persist_docs`` makes of a table's columns: pure.

A schema's fields are BigQuery's REST ones. The columns of a dbt project are called by their names, nested ones by their
dotted paths; of each matter ``description``, ``policy_tags`` and ``quote``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]


def described(fields: Iterable[Json], columns: Mapping[str, Json]) -> list[Json]:
    """
    Return the fields that dbt would write back, in their order.

    As in dbt, names are compared letter by letter, and a column that is named loses its policy tags unless the project
    names them again.

    Args:
        fields: The table's fields as they are.
        columns: What the project says of them.
    """
    # BigQuery always tells the mode; its client supplies it all the same.
    return [_described({"mode": "NULLABLE", **column}, columns, "") for column in fields]


def _described(column: Json, columns: Mapping[str, Json], parent: str) -> Json:
    path = f"{parent}.{column['name']}" if parent else column["name"]
    changed = dict(column)
    if path in columns:
        said = columns[path]
        changed["description"] = said.get("description")
        if column["type"] != "RECORD":
            changed["policyTags"] = {"names": said.get("policy_tags", [])}
    changed["fields"] = [_described(child, columns, path) for child in column.get("fields") or []]
    return changed


def split_known(fields: Iterable[Json], columns: Mapping[str, Json]) -> tuple[dict[str, Json], list[str]]:
    """
    Return the columns that the table has, and the names of those it lacks.

    Only a quoted column is looked for letter by letter.
    """
    paths = set(_paths(fields, ""))
    lower = {path.lower() for path in paths}
    known = {
        name: said
        for name, said in columns.items()
        if (name in paths if said.get("quote") else name.lower() in lower)
    }
    return known, [name for name in columns if name not in known]


def _paths(fields: Iterable[Json], parent: str) -> Iterator[str]:
    for column in fields:
        path = f"{parent}.{column['name']}" if parent else column["name"]
        yield path
        yield from _paths(column.get("fields") or [], path)
