"""
Partitions and clusters: what BigQuery refuses about them, and integer ranges as partitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import duckdb
from local_bigquery.catalog import ddl, metadata, names, tables
from local_bigquery.engine import database, types
from local_bigquery.engine.database import quote
from local_bigquery.errors import BigQueryError
from local_bigquery.jobs import query
from local_bigquery.models import Table
from local_bigquery.sql.dialect import BigQueryDialect
from local_bigquery.sql.rules import information_schema
from local_bigquery.sql.rules import tables as table_rules
from local_bigquery.sql.translate import translate
from sqlglot import exp

PSEUDO = {"_partitiontime", "_partitiondate"}
#: As the emulator's parser writes it, too.
_RANGE = re.compile(
    r"(?:bq\.main\.)?range_bucket\(\s*`?(?P<field>\w+)`?\s*,\s*"
    r"(?:bq\.main\.)?generate_array\(\s*(?P<start>-?\d+)\s*,\s*(?P<end>-?\d+)\s*,\s*(?P<interval>\d+)\s*\)\s*\)",
    re.IGNORECASE,
)
#: How the emulator calls a column that has no name.
_UNNAMED = re.compile(r"f\d+_")
UNCLUSTERED = {"FLOAT", "RECORD", "BYTES", "JSON", "INTERVAL"}
BARE = "PARTITION BY expression must be a DATE column or a function of one, of a TIMESTAMP or of a DATETIME column"


def mend() -> None:
    """Wrap what runs a statement, what checks a table's use, and what lists partitions."""
    query._run = checked(query._run)
    table_rules._check = filtered(table_rules._check)
    information_schema._partitions = listed(information_schema._partitions)


def checked(shipped: Any) -> Any:
    """Return a replacement for `query._run` that refuses what BigQuery would refuse of a CREATE TABLE."""

    def run(cur: Any, tree: exp.Expression, context: Any, *rest: Any) -> Any:
        if isinstance(tree, exp.Create) and tree.args.get("kind") in ("TABLE", "VIEW"):
            _check_create(cur, tree, context)
        return shipped(cur, tree, context, *rest)

    return run


def _check_create(cur: Any, tree: exp.Create, context: Any) -> None:
    if isinstance(tree.expression, exp.Query):
        _check_names(tree)
    if tree.args["kind"] != "TABLE":
        return
    properties = tree.args.get("properties")
    nodes = properties.expressions if properties else []
    partitioned = next((each.this for each in nodes if isinstance(each, exp.PartitionedByProperty)), None)
    clustered = [e for each in nodes if isinstance(each, exp.ClusterProperty) for e in each.expressions]
    columns = _columns(cur, tree, context) if partitioned is not None or clustered else None
    if columns is not None:
        _check_layout(columns, partitioned, clustered)
    if tree.args.get("replace") and not tree.find(exp.TemporaryProperty):
        _check_replaceable(tree, context, _spec(partitioned, clustered))


def _check_names(tree: exp.Create) -> None:
    if isinstance(tree.this, exp.Schema):
        return  # names them itself
    select = tree.expression
    while isinstance(select, (exp.SetOperation, exp.Subquery)):
        select = select.this
    for number, column in enumerate(select.expressions, 1):
        named = isinstance(column, (exp.Column, exp.Dot)) or column.is_star or column.alias
        if not named or _UNNAMED.fullmatch(column.alias):
            what = f"CREATE {tree.args['kind']} columns must be named, but column {number} has no name"
            raise BigQueryError("invalidQuery", what)


def _columns(cur: Any, tree: exp.Create, context: Any) -> dict[str, str] | None:
    """Return the types of the table's columns by their names; None where they cannot be told."""
    if isinstance(tree.this, exp.Schema) or not isinstance(tree.expression, exp.Query):
        return None
    try:
        sql, bound = translate(tree.expression, context)
        relation = cur.sql(sql, params=bound)
        fields = [types.field(name, t) for name, t in zip(relation.columns, relation.types)]
    except (duckdb.Error, BigQueryError):
        return None  # the statement itself tells
    return {field.name.casefold(): _kind(field) for field in fields}


def _kind(field: Any) -> str:
    return "ARRAY" if field.mode == "REPEATED" else field.type


def _check_layout(columns: dict[str, str], partitioned: Any, clustered: list[Any]) -> None:
    if partitioned is not None:
        field = next(partitioned.find_all(exp.Identifier)).name
        if field.casefold() not in {*columns, *PSEUDO}:
            raise BigQueryError("invalidQuery", f"Unrecognized name: {field}")
        kind = columns.get(field.casefold())
        if isinstance(partitioned, (exp.Column, exp.Identifier)) and kind not in (None, "DATE"):
            raise BigQueryError("invalidQuery", f"{BARE}, but {field} is of type {kind}")
    for each in clustered:
        kind = columns.get(each.name.casefold())
        if kind is None:
            raise BigQueryError("invalidQuery", f"Unrecognized name: {each.name}")
        if kind in {*UNCLUSTERED, "ARRAY"}:
            raise BigQueryError("invalidQuery", f"Tables are not clustered by {each.name} of type {kind}")


def _spec(partitioned: Any, clustered: list[Any]) -> str:
    resource: dict[str, Any] = {}
    ranged = _RANGE.fullmatch(partitioned.sql(dialect=BigQueryDialect)) if partitioned is not None else None
    if ranged:
        limits = {key: ranged[key] for key in ("start", "end", "interval")}
        resource["rangePartitioning"] = {"field": ranged["field"], "range": limits}
    elif partitioned is not None:
        resource |= ddl._partitioning(exp.PartitionedByProperty(this=partitioned.copy()))
    if clustered:
        resource["clustering"] = {"fields": [each.name for each in clustered]}
    return _told(Table.model_validate(resource))


def _check_replaceable(tree: exp.Create, context: Any, new: str) -> None:
    reference = names.reference(tree.find(exp.Table), context.project_id, context.dataset_id)
    found = tables._lookup(*reference)  # forgets it if it has expired
    if found is None or found[0] != "TABLE":
        return
    existing = _told(metadata.load(Table, *reference) or Table())
    if existing.casefold() != new.casefold():
        what = "Cannot replace a table with a different partitioning spec. Instead, DROP the table, and then recreate it."
        specs = f"New partitioning spec is {new} and existing spec is {existing}"
        raise BigQueryError("invalidQuery", f"{what} {specs}")


def _told(table: Table) -> str:
    """Return how a table is laid out, in BigQuery's words, such as "interval(type:day,field:at) clustering(id)"."""
    parts = list(_parts(table))
    return " ".join(parts) or "none"


def _parts(table: Table) -> Iterator[str]:
    if ranged := table.rangePartitioning:
        limits = ranged.range
        yield f"range(field:{ranged.field},start:{limits.start},end:{limits.end},interval:{limits.interval})"
    elif timed := table.timePartitioning:
        field = f",field:{timed.field}" if timed.field else ""
        yield f"interval(type:{(timed.type or 'DAY').lower()}{field})"
    if table.clustering and table.clustering.fields:
        yield f"clustering({','.join(table.clustering.fields)})"


def filtered(shipped: Any) -> Any:
    """Return a replacement for the check of `require_partition_filter` that knows integer ranges."""

    def check(tree: exp.Expression, table: exp.Table, is_target: bool) -> None:
        stored = metadata.load(Table, table.catalog, table.db, table.name)
        if stored is None or not stored.rangePartitioning or not stored.requirePartitionFilter:
            shipped(tree, table, is_target)
            return
        field = stored.rangePartitioning.field
        conditions = [*tree.find_all(exp.Where), *tree.find_all(exp.Join), *tree.find_all(exp.Merge)]
        used = {column.name.casefold() for each in conditions for column in each.find_all(exp.Column)}
        if not is_target and field.casefold() not in used:
            name = f"{table.catalog}.{table.db}.{table.name}"
            what = f"Cannot query over table '{name}' without a filter over column(s) '{field}'"
            raise BigQueryError("invalidQuery", f"{what} that can be used for partition elimination")

    return check


def listed(shipped: Any) -> Any:
    """Return a replacement for the rows of INFORMATION_SCHEMA.PARTITIONS that knows integer ranges."""

    def partitions(table: Table) -> list[tuple[str | None, int]]:
        ranged = table.rangePartitioning
        if not ranged or table.type != "TABLE":
            return shipped(table)
        start, end, width = (int(getattr(ranged.range, key)) for key in ("start", "end", "interval"))
        field = quote(ranged.field)
        sql = f"""
            SELECT CASE
                WHEN {field} IS NULL THEN '__NULL__'
                WHEN {field} < {start} OR {field} >= {end} THEN '__UNPARTITIONED__'
                ELSE CAST({field} - ({field} - {start}) % {width} AS VARCHAR)
            END, count(*)
            FROM {tables.name(*information_schema._identity(table))} GROUP BY 1 ORDER BY 1
        """
        return database.fetch(sql)

    return partitions
