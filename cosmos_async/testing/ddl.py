"""
What a CREATE statement says about its table beside the columns: partitions, clusters, options.

Reads the clauses in the forms that dbt writes them; what it does not know it leaves out.
"""

from __future__ import annotations

import ast
import re

from cosmos_async.testing.engine import Json

_CLAUSE_END = r"(?=\s+(?:partition\s+by|cluster\s+by|options\s*\(|as\b)|\s*$)"
_PARTITION = re.compile(rf"\bpartition\s+by\s+(.+?){_CLAUSE_END}", re.IGNORECASE | re.DOTALL)
_CLUSTER = re.compile(rf"\bcluster\s+by\s+(.+?){_CLAUSE_END}", re.IGNORECASE | re.DOTALL)
_TRUNCATED = re.compile(
    r"(?:date|datetime|timestamp)_trunc\s*\(\s*`?(\w+)`?\s*,\s*(hour|day|month|year)\s*\)", re.IGNORECASE
)
_RANGE = re.compile(
    r"range_bucket\s*\(\s*`?(\w+)`?\s*,\s*generate_array\s*\(\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(\d+)\s*\)\s*\)",
    re.IGNORECASE,
)
_COLUMN = re.compile(r"(?:date\s*\(\s*)?`?(\w+)`?\s*\)?", re.IGNORECASE)
_DESCRIPTION = re.compile(r'\bdescription\s*=\s*("""(?:\\.|[^\\])*?"""|"(?:\\.|[^"\\])*")', re.DOTALL)
_LABELS = re.compile(r"\blabels\s*=\s*(\[.*?\])", re.DOTALL)
_LABEL = re.compile(r"""\(\s*['"]([^'"]*)['"]\s*,\s*['"]([^'"]*)['"]\s*\)""")
_FILTER = re.compile(r"\brequire_partition_filter\s*=\s*true\b", re.IGNORECASE)
_AS = re.compile(r"\bas\s*\(?\s*(?:select|with|from|\()", re.IGNORECASE)


def properties(sql: str) -> Json:
    """Return the REST fields that the clauses of a CREATE statement set."""
    query = _AS.search(sql)
    head = sql[: query.start()] if query else sql
    found: Json = {}
    partition = _PARTITION.search(head)
    if partition:
        found.update(_partitioning(partition[1].strip()))
    cluster = _CLUSTER.search(head)
    if cluster:
        found["clustering"] = {"fields": [name.strip(" `\n\t") for name in cluster[1].split(",")]}
    description = _DESCRIPTION.search(head)
    if description:
        found["description"] = ast.literal_eval(description[1])
    labels = _LABELS.search(head)
    if labels:
        found["labels"] = dict(_LABEL.findall(labels[1]))
    if _FILTER.search(head):
        found["requirePartitionFilter"] = True
    return found


def _partitioning(expression: str) -> Json:
    ranged = _RANGE.fullmatch(expression)
    if ranged:
        limits = dict(zip(("start", "end", "interval"), ranged.groups()[1:]))
        return {"rangePartitioning": {"field": ranged[1], "range": limits}}
    truncated = _TRUNCATED.fullmatch(expression)
    if truncated:
        return {"timePartitioning": _time_partitioning(truncated[1], truncated[2].upper())}
    column = _COLUMN.fullmatch(expression)
    return {"timePartitioning": _time_partitioning(column[1], "DAY")} if column else {}


def _time_partitioning(column: str, kind: str) -> Json:
    # Partitions by the time of arrival have no column of their own.
    if column.upper() in ("_PARTITIONDATE", "_PARTITIONTIME"):
        return {"type": kind}
    return {"type": kind, "field": column}
