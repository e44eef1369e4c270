"""
As much of BigQuery's SQL as the recorder has to understand: where statements begin, what they name, what is a query.

Nothing here decides whether something is sent to BigQuery but :func:`is_read`, which errs on the side of a write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Path = tuple[str, ...]  # names, outermost first

_TOKEN = re.compile(
    r"""
    (?P<comment> /\*.*?\*/ | --[^\n]* | \#[^\n]* )
  | (?P<string>  [rRbB]{0,2} (?: \"\"\"(?:\\.|.)*?\"\"\" | '''(?:\\.|.)*?''' | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' ) )
  | (?P<path>    (?: `[^`]*` | [A-Za-z_][\w]*(?:-[\w]+)* (?=\s*\.) | [A-Za-z_@][\w$@]* )
                 (?: \s*\.\s* (?: `[^`]*` | [A-Za-z_][\w$]* | \* ) )* )
  | (?P<number>  \d[\w.]* )
  | (?P<other>   \S )
    """,
    re.VERBOSE | re.DOTALL,
)
_PART = re.compile(r"`([^`]*)`|([^\s.`]+)")


@dataclass(frozen=True)
class Token:
    """A word, name, string or sign, and where it is."""

    kind: str  #: path, string, number or other
    text: str
    start: int
    end: int
    depth: int  #: how many parentheses are open around it

    @property
    def word(self) -> str:
        """The token as a keyword: lower case, empty for strings and quoted names."""
        return self.text.lower() if self.kind in ("path", "other") else ""

    @property
    def path(self) -> Path:
        """The names of a path; a quoted one may hold several."""
        parts: list[str] = []
        for quoted, plain in _PART.findall(self.text):
            parts.extend(quoted.split(".") if quoted else [plain])
        return tuple(parts)


@dataclass(frozen=True)
class Statement:
    """One statement of a script."""

    sql: str  #: the whole script
    tokens: tuple[Token, ...]

    @property
    def text(self) -> str:
        """The statement's own text."""
        return self.sql[self.tokens[0].start : self.tokens[-1].end]

    @property
    def words(self) -> list[str]:
        """Its tokens as keywords."""
        return [token.word for token in self.tokens]


def statements(sql: str) -> list[Statement]:
    """Return the statements of *sql*, comments left out. Blocks (BEGIN ... END) are not understood as one."""
    found: list[Statement] = []
    current: list[Token] = []
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind, text = match.lastgroup, match.group()
        if kind == "comment":
            continue
        if text == ";" and depth == 0:
            if current:
                found.append(Statement(sql, tuple(current)))
            current = []
            continue
        if text == ")":
            depth = max(0, depth - 1)
        current.append(Token(kind or "other", text, match.start(), match.end(), depth))
        if text == "(":
            depth += 1
    if current:
        found.append(Statement(sql, tuple(current)))
    return found


#: The operators of pipe syntax; one that is not among them may write what comes to it.
_PIPES = frozenset(
    (
        *(
            "select",
            "extend",
            "set",
            "drop",
            "rename",
            "as",
            "where",
            "limit",
            "aggregate",
            "distinct",
            "order",
        ),
        *(
            "union",
            "intersect",
            "except",
            "join",
            "inner",
            "left",
            "right",
            "full",
            "cross",
            "call",
            "window",
        ),
        *("tablesample", "pivot", "unpivot", "match_recognize", "assert", "with"),
    )
)


def is_read(sql: str) -> bool:
    """Tell whether *sql* is one query that changes nothing."""
    found = statements(sql)
    if len(found) != 1:
        return False
    words = found[0].words
    pipes = {after for one, two, after in zip(words, words[1:], words[2:]) if (one, two) == ("|", ">")}
    first = next((word for word in words if word != "("), "")
    return first in ("select", "with", "from") and pipes <= _PIPES


#: What begins a statement that only changes something, and so has no rows.
CHANGES = frozenset(
    (
        *("create", "drop", "alter", "grant", "revoke"),
        *("insert", "update", "delete", "merge", "truncate"),
    )
)


def gives_no_rows(sql: str) -> bool:
    """Tell whether *sql* consists of nothing but statements of definition and manipulation: they have no rows."""
    found = statements(sql)
    return bool(found) and all(statement.words[0] in CHANGES for statement in found)


def paths(sql: str) -> set[Path]:
    """Return every dotted or quoted name in *sql* that could be a table's."""
    return {token.path for found in statements(sql) for token in found.tokens if token.kind == "path"}


_EMPTY_SUBQUERY = re.compile(
    r"^\s*select\s+\*\s+from\s*\(.*\)\s*as\s+__dbt_sbq\s+where\s+false(\s+and\s+current_timestamp\(\)\s*=\s*current_timestamp\(\))?(\s+limit\s+0)?\s*$",
    re.I | re.S,
)


def asks_for_columns_only(sql: str) -> bool:
    """Tell whether *sql* is dbt's ``get_empty_subquery_sql``: no rows, only names and types."""
    found = statements(sql)
    return len(found) == 1 and bool(_EMPTY_SUBQUERY.match(found[0].text))


def has_order(sql: str) -> bool:
    """Tell whether the rows of the query *sql* come in an order it asks for."""
    tokens = statements(sql)[0].tokens
    return any(
        first.word == "order" and second.word == "by" and first.depth == 0
        for first, second in zip(tokens, tokens[1:])
    )


# What may follow a table in a FROM clause without being its alias.
_NOT_AN_ALIAS = frozenset(
    {
        *(
            "where",
            "join",
            "left",
            "right",
            "inner",
            "cross",
            "full",
            "natural",
            "on",
            "using",
            "group",
            "order",
        ),
        *(
            "limit",
            "having",
            "qualify",
            "window",
            "union",
            "intersect",
            "except",
            "for",
            "tablesample",
            "pivot",
        ),
        *("unpivot", "match_recognize", "set", "when", "values", "select"),
    }
)


_CLAUSES = frozenset(
    (
        "select",
        "from",
        "join",
        "where",
        "on",
        "using",
        "group",
        "having",
        "qualify",
        "window",
        "order",
        "limit",
    )
)


def _stands_as_table(tokens: tuple[Token, ...], at: int) -> bool:
    """Tell a table from a column that happens to be called like it."""
    if at == 0 or tokens[at - 1].word not in ("from", "join", ","):
        return False
    depth = tokens[at].depth
    for token in reversed(tokens[:at]):
        if token.depth < depth:
            return False
        if token.depth == depth and token.word in _CLAUSES:
            return token.word in ("from", "join")
    return False


def substitute(sql: str, relations: dict[Path, str]) -> str:
    """
    Return *sql* with tables replaced by subqueries.

    Args:
        sql: One query.
        relations: Subqueries, in parentheses, by the full path of the table each stands for.
    """
    pieces, position = [], 0
    for found in statements(sql):
        tokens = found.tokens
        for at, token in enumerate(tokens):
            if token.kind != "path" or token.path not in relations:
                continue
            if not _stands_as_table(tokens, at):
                continue
            pieces.append(sql[position : token.start])
            pieces.append(relations[token.path])
            following = tokens[at + 1] if at + 1 < len(tokens) else None
            if following is None or following.kind != "path" or following.word in _NOT_AN_ALIAS:
                # BigQuery calls a table by its last name where the query gives it none.
                pieces.append(" as `" + token.path[-1] + "`")
            position = token.end
    pieces.append(sql[position:])
    return "".join(pieces)
