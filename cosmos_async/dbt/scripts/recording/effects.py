"""
What a statement does by its text: what it creates, alters, drops or fills, and BigQuery's ``statementType`` of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .sql import CHANGES, Path, Statement, Token, statements

_OBJECTS = {
    ("table",): "TABLE",
    ("view",): "VIEW",
    ("materialized", "view"): "MATERIALIZED_VIEW",
    ("external", "table"): "EXTERNAL",
    ("snapshot", "table"): "SNAPSHOT",
    ("table", "function"): "TABLE_FUNCTION",
    ("aggregate", "function"): "FUNCTION",
    ("function",): "FUNCTION",
    ("procedure",): "PROCEDURE",
    ("schema",): "SCHEMA",
}


_OPENS_BLOCK = frozenset(("begin", "then", "else", "do", "loop", "repeat"))
#: What may stand before the first statement of a block.
_BEFORE_BLOCK = frozenset((*_OPENS_BLOCK, "if", "elseif", "while", "for", "case", "when", "exception"))


@dataclass(frozen=True)
class Effect:
    """What one statement does to one object."""

    verb: str  #: create, drop, alter, write, or other
    kind: str = ""  #: TABLE, VIEW, SCHEMA, ...; empty where the statement does not say
    path: Path = ()
    body: str | None = None  #: the query that a created table or view is made of
    shape: str | None = (
        None  #: a query with the columns that a table then has: the body, or one made for them
    )
    if_not_exists: bool = False
    temporary: bool = False
    columns: bool = False  #: an alter that changes columns


def effect(statement: Statement) -> Effect:
    """Return what *statement* does."""
    statement = _in_block(statement)
    verb = statement.words[0]
    if verb in ("create", "drop", "alter"):
        return _definition(statement, verb)
    if verb in ("insert", "merge", "delete", "update", "truncate"):
        for token in statement.tokens[1:]:
            if token.kind == "path" and token.word not in ("into", "from", "table"):
                return Effect("write", path=token.path)
    if statement.words[:2] == ["load", "data"]:
        return _loaded(statement)
    return Effect("read" if verb in ("select", "with", "from", "(") else "other")


def _in_block(statement: Statement) -> Statement:
    """Return the first statement of a block, where one begins: ``if x then insert …``, ``label: begin insert …``."""
    words = statement.words
    begin = 2 if words[1:2] == [":"] else 0  # behind a label
    if words[begin : begin + 1] and words[begin] not in _BEFORE_BLOCK:
        return statement
    for at in range(begin + 1, len(words)):
        opener, depth = words[at - 1], statement.tokens[at - 1].depth
        if opener in _OPENS_BLOCK and depth == 0 and words[at] in (*CHANGES, "load", "select", "with"):
            return Statement(statement.sql, statement.tokens[at:])
    return statement


def _loaded(statement: Statement) -> Effect:
    """Return what ``load data`` does: it adds rows, or makes the table anew."""
    words = statement.words
    temporary = words[3:4] in (["temp"], ["temporary"])
    at = 5 if temporary else 3
    if at >= len(words) or statement.tokens[at].kind != "path":
        return Effect("other")
    path = statement.tokens[at].path
    if words[2] == "overwrite" or temporary:
        return Effect("create", "TABLE", path, temporary=temporary)
    return Effect("write", path=path)


def _definition(statement: Statement, verb: str) -> Effect:
    at, temporary = 1, False
    words = statement.words
    while at < len(words) and words[at] in ("or", "replace", "temp", "temporary"):
        temporary = temporary or words[at].startswith("temp")
        at += 1
    for size in (2, 1):
        kind = _OBJECTS.get(tuple(words[at : at + size]))
        if kind:
            at += size
            break
    else:
        return Effect("other")
    if_not_exists = words[at : at + 3] == ["if", "not", "exists"]
    at += 3 if if_not_exists else 2 if words[at : at + 2] == ["if", "exists"] else 0
    if at >= len(words) or statement.tokens[at].kind != "path":
        return Effect("other")
    path = statement.tokens[at].path
    rest = words[at + 1 :]
    columns = verb == "alter" and any(word in ("column", "rename") for word in rest)
    body = (
        _body(statement, at + 1)
        if verb == "create" and kind in ("TABLE", "VIEW", "MATERIALIZED_VIEW")
        else None
    )
    shape = body
    if body is None and verb == "create" and kind == "TABLE":
        shape = _declared(statement, at + 1)
    if columns:
        shape = _altered(statement, at)
    return Effect(verb, kind, path, body, shape, if_not_exists, temporary, columns)


def _body(statement: Statement, begin: int) -> str | None:
    for at in range(begin, len(statement.tokens) - 1):
        token = statement.tokens[at]
        if token.word == "as" and token.depth == 0:
            return statement.sql[statement.tokens[at + 1].start : statement.tokens[-1].end]
    return None


_NOT_A_TYPE = frozenset(
    ("if", "not", "options", "default", "primary", "constraint", "references", "collate", "generated")
)


def _declared(statement: Statement, begin: int) -> str | None:
    """Return a query with the columns that a statement declares: names and types, and nothing else."""
    tokens = statement.tokens
    if begin >= len(tokens) or tokens[begin].text != "(":
        return None
    columns = []
    for piece in _pieces(tokens[begin + 1 :], depth=1):
        column = _column(statement, piece)
        if column is None:
            return None
        columns.append(column)
    return f"select {', '.join(columns)}"


def _altered(statement: Statement, at: int) -> str | None:
    """Return a query with the columns that a table has after columns were added to it or dropped, and nothing else."""
    added, dropped = [], []
    for piece in _pieces(statement.tokens[at + 1 :], depth=0):
        words = [token.word for token in piece]
        column = _column(statement, piece[2:]) if words[:2] == ["add", "column"] else None
        if column is not None:
            added.append(column)
        elif words[:2] == ["drop", "column"] and len(piece) == 3:
            dropped.append(f"`{piece[2].path[-1]}`")
        else:
            return None
    less = f" except ({', '.join(dropped)})" if dropped else ""
    return f"select {', '.join([f'*{less}', *added])} from {statement.tokens[at].text}"


def _pieces(tokens: tuple[Token, ...], *, depth: int) -> Iterator[list[Token]]:
    """Yield what stands between commas at *depth*, up to where it ends."""
    piece: list[Token] = []
    angles = 0
    for token in tokens:
        if token.depth < depth:
            break
        angles += {"<": 1, ">": -1}.get(token.text, 0)
        if token.text == "," and token.depth == depth and angles == 0:
            yield piece
            piece = []
        else:
            piece.append(token)
    yield piece


def _column(statement: Statement, piece: list[Token]) -> str | None:
    """Return a select item for a name and a type; None where there is more or less."""
    if len(piece) < 2 or piece[0].kind != "path" or any(token.word in _NOT_A_TYPE for token in piece):
        return None
    return f"cast(null as {statement.sql[piece[1].start : piece[-1].end]}) as `{piece[0].path[-1]}`"


def statement_type(sql: str) -> str:
    """Return BigQuery's ``statementType`` of *sql*, as far as dbt looks at it."""
    found = statements(sql)
    if len(found) != 1:
        return "SCRIPT"
    words, what = found[0].words, effect(found[0])
    if what.verb == "create":
        if what.kind == "TABLE":
            return "CREATE_TABLE_AS_SELECT" if what.body else "CREATE_TABLE"
        return "CREATE_" + what.kind
    if what.verb in ("drop", "alter"):
        return what.verb.upper() + "_" + what.kind
    if what.verb == "read":
        return "SELECT"
    return str(words[0]).upper()
