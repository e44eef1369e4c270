"""
Types that BigQuery does not make equal by itself: in set operations and where a value is written into a column.

The emulator casts whatever can be cast. Here GoogleSQL's rules decide, by families of types: what sqlglot cannot tell
passes. An untyped NULL takes any type, but only where it is written in the select list of the set operation itself;
as a column of a subquery or of a CTE it is an INT64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import duckdb
from local_bigquery.catalog import names, tables
from local_bigquery.engine.types import bigquery_type
from local_bigquery.errors import BigQueryError
from local_bigquery.jobs import query
from local_bigquery.sql.rules import tables as table_rules
from local_bigquery.sql.rules import typing
from sqlglot import exp
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

Type = exp.DataType.Type
#: By the name that BigQuery's messages use. TIMESTAMP and DATETIME are not told apart, and JSON and BYTES not at all:
#: sqlglot is not sure of them.
FAMILIES: dict[str, set[Any]] = {
    "INT64": set(exp.DataType.INTEGER_TYPES),
    "FLOAT64": {Type.DOUBLE, Type.FLOAT},
    "NUMERIC": {Type.DECIMAL, Type.BIGDECIMAL},
    "STRING": set(exp.DataType.TEXT_TYPES),
    "BOOL": {Type.BOOLEAN},
    "DATE": {Type.DATE},
    "TIME": {Type.TIME},
    "TIMESTAMP": {Type.TIMESTAMP, Type.TIMESTAMPTZ, Type.DATETIME},
    "STRUCT": {Type.STRUCT},
    "ARRAY": {Type.ARRAY},
}
NUMBERS = {"INT64", "FLOAT64", "NUMERIC"}
#: What a literal becomes where it has to.
LITERALS = {"STRING": {"DATE", "TIME", "TIMESTAMP"}, "FLOAT64": {"NUMERIC"}}
#: What any expression becomes where it is written into a column.
ASSIGNED = {
    "INT64": {"FLOAT64", "NUMERIC"},
    "NUMERIC": {"FLOAT64"},
    "FLOAT64": {"NUMERIC"},
    "DATE": {"TIMESTAMP"},
}


class Value(NamedTuple):
    """What is known of an expression."""

    kind: str | None  #: one of `FAMILIES`, None where it is not known
    is_literal: bool = False
    is_null: bool = False  #: an untyped NULL, as it is written


def mend() -> None:
    """Wrap what runs a statement."""
    query._run = checked(query._run)


def checked(shipped: Any) -> Any:
    """Return a replacement for `query._run` that checks types first."""

    def run(cur: Any, tree: exp.Expression, context: Any, *rest: Any) -> Any:
        for each in _queries(tree):
            typed = _typed(each, context) if each.find(exp.SetOperation) else None
            if typed is not None:
                _check_set_operations(typed)
        if isinstance(tree, exp.Insert):
            _check_insert(tree, context)
        elif isinstance(tree, exp.Merge):
            _check_merge(tree, context)
        return shipped(cur, tree, context, *rest)

    return run


def _queries(tree: exp.Expression) -> Iterator[exp.Expression]:
    if isinstance(tree, exp.Query):
        yield tree
    elif isinstance(tree, (exp.Create, exp.Insert)) and isinstance(tree.expression, exp.Query):
        yield tree.expression
    elif isinstance(tree, exp.Merge) and isinstance(tree.args["using"], exp.Subquery):
        yield tree.args["using"].this


def _typed(tree: exp.Expression, context: Any) -> exp.Expression | None:
    """Return a copy of the query with types and without stars; None where it cannot be had."""
    try:
        copy = table_rules.qualify(tree.copy(), context)
        schema = typing._schema(copy)
        options = {"validate_qualify_columns": False, "quote_identifiers": False, "identify": False}
        qualify(copy, dialect="bigquery", schema=schema, expand_stars=True, **options)
        return annotate_types(copy, schema=schema, dialect="bigquery")
    except Exception:
        # sqlglot's optimizer has no one error for what it does not know, and what is not known passes; a statement that
        # is wrong is refused when it runs.
        return None


def _value(node: exp.Expression) -> Value:
    node = node.unalias()
    if isinstance(node, exp.Null):
        return Value("INT64", is_literal=True, is_null=True)
    kind = node.type.this if node.type is not None else None
    family = next((name for name, kinds in FAMILIES.items() if kind in kinds), None)
    bare = node.this if isinstance(node, exp.Neg) else node
    if isinstance(bare, exp.Literal) and not bare.is_string and not bare.is_int:
        family = "FLOAT64"
    return Value(family, is_literal=isinstance(bare, exp.Literal))


def _values(typed: exp.Expression | None) -> list[tuple[str, Value]] | None:
    """Return the columns of a query, None where a star is left or nothing is known."""
    if typed is None:
        return None
    if isinstance(typed, exp.Subquery):
        typed = typed.this
    if isinstance(typed, exp.SetOperation):
        branches = [_values(each) for each in _branches(typed)]
        if None in branches or len({len(each) for each in branches}) != 1:
            return None
        return [(column[0][0], Value(_common([each for _, each in column]))) for column in zip(*branches)]
    if not isinstance(typed, exp.Select) or any(each.is_star for each in typed.expressions):
        return None
    return [(each.alias_or_name, _value(each)) for each in typed.expressions]


def _branches(operation: exp.Expression) -> Iterator[exp.Expression]:
    """Yield what one set operation combines; what stands in parentheses is one query."""
    for side in (operation.this, operation.expression):
        if isinstance(side, exp.SetOperation):
            yield from _branches(side)
        else:
            yield side


def _check_set_operations(typed: exp.Expression) -> None:
    for operation in typed.find_all(exp.SetOperation):
        if isinstance(operation.parent, exp.SetOperation) or operation.args.get("by_name"):
            continue
        branches = list(_branches(operation))
        columns = [_written(each) for each in branches]
        if None in columns or len({len(each) for each in columns}) != 1:
            continue
        for number, column in enumerate(zip(*columns), 1):
            if None not in [each.kind for each in column] and _common(list(column)) is None:
                kinds = ", ".join(dict.fromkeys(each.kind for each in column if not each.is_null))
                name = type(operation).__name__.upper()
                sort = "DISTINCT" if operation.args.get("distinct") else "ALL"
                what = f"Column {number} in {name} {sort} has incompatible types: {kinds}"
                raise BigQueryError("invalidQuery", what)


def _written(branch: exp.Expression) -> list[Value] | None:
    """Return the columns of one branch; a literal is one where the branch is a plain SELECT."""
    values = _values(branch)
    if values is None:
        return None
    select = branch.this if isinstance(branch, exp.Subquery) else branch
    plain = isinstance(select, exp.Select) and not any(
        select.args.get(each) for each in ("distinct", "order", "limit", "group")
    )
    return [each if plain else Value(each.kind) for _, each in values]


def _common(values: list[Value]) -> str | None:
    """Return the common supertype's family, None where there is none or it is not known."""
    firm = {each.kind for each in values if not each.is_literal}
    loose = {each.kind for each in values if each.is_literal and not each.is_null}
    if None in firm or None in loose:
        return None
    if not firm and not loose:
        return "INT64"
    found = firm or loose
    if found <= NUMBERS:
        target = "FLOAT64" if "FLOAT64" in found else "NUMERIC" if "NUMERIC" in found else "INT64"
    elif len(found) == 1:
        (target,) = found
    elif not firm and "STRING" in found and len(found) == 2:
        (target,) = found - {"STRING"}
    else:
        return None
    fits = all(
        kind == target or {kind, target} <= NUMBERS or target in LITERALS.get(kind, ()) for kind in loose
    )
    return target if fits else None


def _check_insert(tree: exp.Insert, context: Any) -> None:
    target = _target(tree.this, context)
    if target is None:
        return
    listed = [each.name for each in tree.this.expressions] if isinstance(tree.this, exp.Schema) else []
    columns = listed or list(target)
    source = tree.expression
    if isinstance(source, exp.Values):
        rows = [[_value(annotate_types(each.copy(), dialect="bigquery")) for each in row.expressions]
                for row in source.expressions if isinstance(row, exp.Tuple)]  # fmt: skip
        for row in rows:
            for column, value in zip(columns, row):
                _check_assignment(
                    target,
                    column,
                    value,
                    "Value has type {kind} which cannot be inserted into column {column}",
                )
        return
    values = _values(_typed(source, context)) if isinstance(source, exp.Query) else None
    for number, (column, (_, value)) in enumerate(zip(columns, values or []), 1):
        what = f"Query column {number} has type {{kind}} which cannot be inserted into column {{column}}"
        _check_assignment(target, column, value, what)


def _check_merge(tree: exp.Merge, context: Any) -> None:
    target = _target(tree.this, context)
    using = tree.args["using"]
    if target is None:
        return
    if isinstance(using, exp.Subquery):
        found = _values(_typed(using.this, context))
    else:
        kinds = _target(using, context)
        found = [(name, Value(kind)) for name, kind in (kinds or {}).items()]
    source = {name.casefold(): Value(value.kind) for name, value in found or []}
    name = using.alias_or_name.casefold()
    for column, value in _assignments(tree):
        if isinstance(value, exp.Column):
            if value.table.casefold() not in ("", name):
                continue
            known = source.get(value.name.casefold(), Value(None))
        else:
            known = _value(annotate_types(value.copy(), dialect="bigquery"))
        _check_assignment(target, column, known, "Value of type {kind} cannot be assigned to {column}")


def _assignments(tree: exp.Merge) -> Iterator[tuple[str, exp.Expression]]:
    for when in tree.args["whens"].expressions:
        action = when.args["then"]
        if isinstance(action, exp.Update):
            for each in action.expressions:
                if isinstance(each, exp.EQ) and isinstance(each.this, exp.Column):
                    yield each.this.name, each.expression
        elif isinstance(action, exp.Insert) and action.this is not None and action.expression is not None:
            yield from (
                (column.name, value)
                for column, value in zip(action.this.expressions, action.expression.expressions)
            )


def _target(node: exp.Expression, context: Any) -> dict[str, str | None] | None:
    """Return the families of a table's columns by their names, None where it has none."""
    table = node if isinstance(node, exp.Table) else node.find(exp.Table)
    if table is None or not table.db:
        return None
    reference = names.reference(table, context.project_id, context.dataset_id)
    try:
        fields = tables.columns(*reference)
    except (BigQueryError, duckdb.Error):
        return None
    return {field.name.casefold(): _family(field) for field in fields}


def _family(field: Any) -> str | None:
    kind = exp.DataType.build(bigquery_type(field, quoted=False), dialect="bigquery").this
    return next((name for name, kinds in FAMILIES.items() if kind in kinds), None)


def _check_assignment(target: dict[str, str | None], column: str, value: Value, what: str) -> None:
    wanted = target.get(column.casefold())
    if wanted is None or value.kind in (None, wanted) or value.is_null:
        return
    if wanted in ASSIGNED.get(value.kind, ()) or (
        value.is_literal and wanted in LITERALS.get(value.kind, ())
    ):
        return
    told = what.format(kind=value.kind, column=column)
    raise BigQueryError("invalidQuery", f"{told}, which has type {wanted}")
