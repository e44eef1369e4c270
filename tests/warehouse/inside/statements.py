"""
Statements that are valid in BigQuery and which the emulator's parser does not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import sqlglot
from local_bigquery.sql.dialect import BigQueryDialect
from local_bigquery.sql.rules import ddl
from sqlglot import exp

_ALTER_TABLE = re.compile(
    r"(alter\s+table\s+(?:if\s+exists\s+)?(?:`[^`]+`|[\w.-]+)+)\s+(.*)", re.IGNORECASE | re.DOTALL
)
_TOKEN = re.compile(r"`[^`]*`|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|.", re.DOTALL)


def mend() -> None:
    """Replace `ddl.normalise`."""
    ddl.normalise = normalised(ddl.normalise)


def normalised(shipped: Callable[[exp.Expression], exp.Expression]) -> Callable[..., exp.Expression]:
    """Return a replacement for `ddl.normalise` that reads an ALTER TABLE with actions of several kinds."""

    def normalise(tree: exp.Expression) -> exp.Expression:
        if isinstance(tree, exp.Command):
            match = _ALTER_TABLE.fullmatch(tree.sql(dialect=BigQueryDialect).strip())
            if match:
                tree = _alter(match[1], list(_actions(match[2]))) or tree
        return shipped(tree)

    return normalise


def _alter(table: str, actions: list[str]) -> exp.Expression | None:
    """`alter table t add column a int64, drop column b`, which dbt writes for `sync_all_columns`."""
    statements = [sqlglot.parse_one(f"{table} {action}", dialect=BigQueryDialect) for action in actions]
    if len(statements) < 2 or not all(isinstance(each, exp.Alter) for each in statements):
        return None
    first, *others = statements
    for each in others:
        for action in each.args["actions"]:
            first.append("actions", action)
    return first


def _actions(text: str) -> Iterator[str]:
    depth, action = 0, ""
    for token in _TOKEN.findall(text):
        depth += (token in ("(", "<", "[")) - (token in (")", ">", "]"))
        if token == "," and not depth:
            yield action
            action = ""
        else:
            action += token
    yield action
