"""
Schemas of tables: what tables.patch may change in one, and the one of a view whose table is gone.

As shipped, a field that a patch adds within a record is forgotten without a word, and so is a changed type; a view
over a dropped table is not found although it is listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
from local_bigquery.catalog import ddl, metadata, names, tables
from local_bigquery.engine import database, types
from local_bigquery.errors import BigQueryError
from local_bigquery.models import Table
from sqlglot import exp

#: Names of one type.
SAME = {
    "INT64": "INTEGER",
    "FLOAT64": "FLOAT",
    "BOOL": "BOOLEAN",
    "STRUCT": "RECORD",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}


def mend() -> None:
    """Replace `tables._alter` and `tables.columns`, and wrap `ddl.apply`."""
    tables._alter = alter
    tables.columns = columns(tables.columns)
    ddl.apply = remembering(ddl.apply)


def alter(project_id: str, dataset_id: str, table_id: str, given: list[Any]) -> None:
    """
    Change the table to the schema *given*, or refuse in BigQuery's words.

    Fields may be added, at any depth, and required ones become nullable; nothing else may change.
    """
    current = tables.columns(project_id, dataset_id, table_id)
    label = names.label(project_id, dataset_id, table_id)
    statements = list(_changes(current, given, (), label))
    for statement in statements:
        database.execute(f"ALTER TABLE {tables.name(project_id, dataset_id, table_id)} {statement}")


def _changes(current: list[Any], given: list[Any], path: tuple[str, ...], label: str) -> Iterator[str]:
    known = {field.name.casefold(): field for field in current}
    missing = known.keys() - {field.name.casefold() for field in given}
    for field in current:
        if field.name.casefold() in missing:
            raise _refused(label, f"Field {_dotted(path, field)} is missing in new schema")
    for field in given:
        existing = known.get(field.name.casefold())
        if existing is None:
            if field.mode == "REQUIRED":
                added = f"Cannot add required fields to an existing schema. (field: {_dotted(path, field)})"
                raise _refused(label, added)
            yield f"ADD COLUMN {database.quote(*path, field.name)} {types.duckdb_type(field)}"
            continue
        old, new = _type(existing), _type(field)
        if old != new:
            raise _refused(label, f"Field {_dotted(path, field)} has changed type from {old} to {new}")
        if "REPEATED" in (existing.mode, field.mode) and existing.mode != field.mode:
            modes = f"from {existing.mode} to {field.mode or 'NULLABLE'}"
            raise _refused(label, f"Field {_dotted(path, field)} has changed mode {modes}")
        if existing.mode == "REQUIRED" and field.mode != "REQUIRED" and not path:
            yield f"ALTER COLUMN {database.quote(field.name)} DROP NOT NULL"
        if new == "RECORD":
            # DuckDB calls what a list holds its element.
            within = (*path, existing.name, *(["element"] if existing.mode == "REPEATED" else []))
            yield from _changes(existing.fields or [], field.fields or [], within, label)


def _type(field: Any) -> str:
    name = (field.type or "STRING").upper()
    return SAME.get(name, name)


def _dotted(path: tuple[str, ...], field: Any) -> str:
    return ".".join([*(part for part in path if part != "element"), field.name])


def _refused(label: str, why: str) -> BigQueryError:
    return BigQueryError("invalid", f"Provided Schema does not match Table {label}. {why}")


def remembering(shipped: Any) -> Any:
    """Return a replacement for `ddl.apply` that keeps the schema a view has when it is created."""

    def apply(tree: exp.Expression, project_id: str, dataset_id: str, evaluate: Any) -> None:
        shipped(tree, project_id, dataset_id, evaluate)
        if isinstance(tree, exp.Create) and tree.args.get("kind") == "VIEW":
            reference = names.reference(tree.find(exp.Table), project_id, dataset_id)
            schema = {"fields": [field.dump() for field in tables.columns(*reference)]}
            tables.annotate(reference, Table.model_validate({"schema": schema}))

    return apply


def columns(shipped: Any) -> Any:
    """Return a replacement for `tables.columns` that knows a view's columns as long as the view is there."""

    def known(project_id: str, dataset_id: str, table_id: str) -> list[Any]:
        try:
            return shipped(project_id, dataset_id, table_id)
        except (BigQueryError, duckdb.Error):
            stored = metadata.load(Table, project_id, dataset_id, table_id)
            if stored is None or not (stored.view or stored.materializedView):
                raise
            return tables.fields(stored)

    return known
