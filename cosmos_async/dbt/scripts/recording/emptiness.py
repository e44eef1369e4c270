"""
Which queries have no rows, as far as their text proves it.

Packages that fill a model in its post-hook make it of a query like ``select * from (...) where 1 = 0``. What is read
from such a table after that is known before the run. Whatever is not recognised here counts as having rows.
"""

from __future__ import annotations

from collections.abc import Callable

from . import sql

#: Tells whether a table is known to be without rows.
Empty = Callable[[sql.Path], bool]

_ENDS_WHERE = frozenset(("order", "limit"))
#: What may give a row although no row comes in, or may follow a condition without being part of it.
_BEYOND = frozenset(
    (
        "union",
        "intersect",
        "group",
        "having",
        "qualify",
        "window",
        "join",
        "pivot",
        "unpivot",
        "tablesample",
        "|",
    )
)


def has_no_rows(query: str, empty: Empty) -> bool:
    """
    Tell whether *query* certainly has no rows.

    Args:
        query: One query, perhaps in parentheses.
        empty: Tells which tables are known to be without rows.
    """
    found = sql.statements(query)
    return len(found) == 1 and _has_no_rows(found[0].tokens, empty)


def changes_nothing(statement: sql.Statement, empty: Empty) -> bool:
    """Tell whether an INSERT or a MERGE certainly leaves its table as it is, as there is nothing to put into it."""
    tokens, words = statement.tokens, statement.words
    target = next((at for at, token in enumerate(tokens[1:], 1) if _is_name(token)), len(tokens))
    if words[0] == "insert":
        begin = _after_parentheses(tokens, target + 1) if _opens(tokens, target + 1) else target + 1
        if begin == len(tokens):  # what seemed to be a list of columns is the query
            begin = target + 1
        return _has_no_rows(tokens[begin:], empty)
    if words[0] != "merge" or "source" in (after for word, after in zip(words, words[1:]) if word == "by"):
        return False
    using = next(
        (at for at in range(target, len(tokens)) if words[at] == "using" and not tokens[at].depth), None
    )
    if using is None or using + 1 >= len(tokens):
        return False
    if _opens(tokens, using + 1):
        return _has_no_rows(tokens[using + 1 : _after_parentheses(tokens, using + 1)], empty)
    return empty(tokens[using + 1].path)


def _has_no_rows(tokens: tuple[sql.Token, ...], empty: Empty) -> bool:
    while tokens and _opens(tokens, 0) and _after_parentheses(tokens, 0) == len(tokens):
        tokens = tokens[1:-1]
    if not tokens:
        return False
    depth = tokens[0].depth
    top = [token for token in tokens if token.depth == depth]
    words = [token.word for token in top]
    if words[0] not in ("select", "with"):
        return False
    if words[-2:-1] == ["limit"] and top[-1].text == "0":
        return True
    begin = words.index("select") if "select" in words else len(words)
    # With anything but all columns as they are, one row could come of none: select count(*) ...
    if words[begin + 1 : begin + 3] != ["*", "from"] or _BEYOND & set(words[begin:]):
        return False
    if {"except", "select"} & set(words[begin + 3 :]) or "or" in words[begin:]:
        return False
    if "where" in words[begin:] and _is_false(top[words.index("where", begin) + 1 :]):
        return True
    source = top[begin + 3] if begin + 3 < len(top) else None
    alone = "," not in words[begin:]
    return alone and begin == 0 and source is not None and source.kind == "path" and empty(source.path)


def _is_false(condition: list[sql.Token]) -> bool:
    """Tell whether a condition, without OR, begins with something that never holds."""
    words = [token.word for token in condition]
    if words[:1] == ["false"]:
        rest = words[1:]
    elif (
        len(condition) >= 3
        and condition[0].kind == condition[2].kind == "number"
        and words[1] == "="
        and condition[0].text.isdigit()
        and condition[2].text.isdigit()
    ):
        if int(condition[0].text) == int(condition[2].text):
            return False
        rest = words[3:]
    else:
        return False
    return not rest or rest[0] == "and" or rest[0] in _ENDS_WHERE


def _is_name(token: sql.Token) -> bool:
    return token.kind == "path" and token.word not in ("into", "table")


def _opens(tokens: tuple[sql.Token, ...], at: int) -> bool:
    return at < len(tokens) and tokens[at].text == "("


def _after_parentheses(tokens: tuple[sql.Token, ...], at: int) -> int:
    """Return the position behind the parenthesis that closes the one at *at*."""
    depth = tokens[at].depth
    for later in range(at + 1, len(tokens)):
        if tokens[later].depth == depth and tokens[later].text == ")":
            return later + 1
    return len(tokens)
