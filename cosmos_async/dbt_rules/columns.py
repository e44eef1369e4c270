"""
What dbt makes of a table's columns, describing, adding or syncing them: pure.

A schema's fields are BigQuery's REST ones. The columns of a dbt project are called by their names, nested ones by their
dotted paths; of each matter ``description``, ``policy_tags`` and ``quote``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]


def described(fields: Iterable[Json], columns: Mapping[str, Json], *, keep_tags: bool = False) -> list[Json]:
    """
    Return the fields that dbt would write back, in their order.

    As in dbt, names are compared letter by letter, and a column that is named loses its policy tags unless the project
    names them again.

    Args:
        fields: The table's fields as they are.
        columns: What the project says of them.
        keep_tags: Whether policy tags are left as they are, as by dbt 2.
    """
    # BigQuery always tells the mode; its client supplies it all the same.
    return [_described({"mode": "NULLABLE", **column}, columns, "", keep_tags) for column in fields]


def _described(column: Json, columns: Mapping[str, Json], parent: str, keep_tags: bool) -> Json:
    path = f"{parent}.{column['name']}" if parent else column["name"]
    changed = dict(column)
    if path in columns:
        said = columns[path]
        changed["description"] = said.get("description")
        if column["type"] != "RECORD" and not keep_tags:
            changed["policyTags"] = {"names": said.get("policy_tags", [])}
    changed["fields"] = [_described(child, columns, path, keep_tags) for child in column.get("fields") or []]
    return changed


def with_added(fields: Iterable[Json], additions: Mapping[str, Json], *, replacing: bool) -> list[Json]:
    """
    Return the fields that dbt would write back with columns added to them, in their order.

    Args:
        fields: The table's fields as they are.
        additions: The new fields, by dotted path; one within a record goes to its end.
        replacing: A field that is there already gives way to the new one, as dbt-bigquery 1.10 and later have it; before,
            dbt knew top-level columns only and put them to the end, where one that is there is left as it is.
    """
    left = dict(additions)
    found = [_added(_complete(column), left, column["name"], replacing) for column in fields]
    # What belongs into a record that is not there is left out, as dbt does.
    return [*found, *(column for path, column in left.items() if "." not in path)]


def _added(column: Json, left: dict[str, Json], path: str, replacing: bool) -> Json:
    instead = left.pop(path, None)
    if instead is not None:
        return instead if replacing else column
    within = {name: new for name, new in left.items() if name.startswith(f"{path}.")}
    if not within or column["type"] not in ("RECORD", "STRUCT"):
        return column
    for name in within:
        del left[name]
    children = column.get("fields") or []
    inner = {name[len(path) + 1 :]: new for name, new in within.items()}
    return {**column, "fields": with_added(children, inner, replacing=replacing)}


def with_synced(fields: Iterable[Json], source: Iterable[Json], names: Iterable[str]) -> list[Json]:
    """
    Return the fields that dbt would write back where records take the shape that the new data gives them.

    Args:
        fields: The table's fields as they are.
        source: The fields of the table that holds the new data.
        names: The columns to sync.
    """
    new = {column["name"]: column for column in source}
    wanted = set(names)
    return [
        _complete(new[column["name"]] if column["name"] in wanted and column["name"] in new else column)
        for column in fields
    ]


def _complete(column: Json) -> Json:
    """Return a field with what Google's client supplies: every field's mode, and a field's list of fields."""
    complete = {"mode": "NULLABLE", **column}
    if column.get("fields"):
        complete["fields"] = [_complete(child) for child in column["fields"]]
    return complete


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
