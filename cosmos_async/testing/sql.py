"""
Just enough SQL to know what a statement is and which table, view or schema it is about.

No grammar: comments go, statements are cut at semicolons, and the first words decide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKENS = re.compile(
    r"(?P<comment>--[^\n]*|\#[^\n]*|/\*.*?\*/)"
    r"|(?P<text>r?'''.*?'''|r?\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`[^`]*`)"
    r"|(?P<end>;)",
    re.DOTALL,
)
_PART = r"(?:`[^`]+`|[\w-]+)"
_NAME = rf"(?P<name>{_PART}(?:\s*\.\s*{_PART})*)"
_THING = r"(?P<thing>materialized\s+view|external\s+table|snapshot\s+table|table\s+function|table|view|schema|function|procedure)"
_CREATE = re.compile(
    rf"create\s+(?P<replace>or\s+replace\s+)?(?P<temp>temp(?:orary)?\s+)?{_THING}\s+(?P<unless>if\s+not\s+exists\s+)?{_NAME}",
    re.IGNORECASE,
)
_DROP = re.compile(rf"drop\s+{_THING}\s+(?P<unless>if\s+exists\s+)?{_NAME}", re.IGNORECASE)
_ALTER = re.compile(rf"alter\s+{_THING}\s+(?P<unless>if\s+exists\s+)?{_NAME}", re.IGNORECASE)
_DML = re.compile(
    rf"(?P<verb>insert|update|delete|merge|truncate)\s+(?:into\s+|from\s+|table\s+)?{_NAME}", re.IGNORECASE
)
_AS_SELECT = re.compile(r"\bas\s*\(?\s*(?:select|with|from|\()", re.IGNORECASE)
_SCRIPT_WORDS = frozenset({"begin", "declare", "for", "if", "loop", "repeat", "set", "while"})


@dataclass(frozen=True)
class Statement:
    """One statement."""

    sql: str  #: without comments
    type: str  #: BigQuery's statementType
    target: tuple[str, ...] = ()  #: the parts of the name it creates, drops or changes
    replaces: bool = False  #: OR REPLACE
    tolerant: bool = False  #: IF EXISTS or IF NOT EXISTS
    temporary: bool = False


def statements(sql: str) -> list[Statement]:
    """Return the statements in *sql*, in their order."""
    return [classify(text) for text in _cut(sql)]


def classify(text: str) -> Statement:
    """Say what one statement without comments is."""
    created = _CREATE.match(text)
    if created:
        thing = _words(created["thing"])
        selects = thing == "TABLE" and _AS_SELECT.search(text, created.end())
        kind = "SNAPSHOT_TABLE" if thing == "SNAPSHOT_TABLE" else f"{thing}_AS_SELECT" if selects else thing
        return Statement(
            text,
            f"CREATE_{kind}",
            _parts(created["name"]),
            replaces=bool(created["replace"]),
            tolerant=bool(created["unless"]),
            temporary=bool(created["temp"]),
        )
    for verb, pattern in (("DROP", _DROP), ("ALTER", _ALTER)):
        match = pattern.match(text)
        if match:
            kind = f"{verb}_{_words(match['thing'])}"
            return Statement(text, kind, _parts(match["name"]), tolerant=bool(match["unless"]))
    changed = _DML.match(text)
    if changed:
        kind = changed["verb"].upper()
        return Statement(text, "TRUNCATE_TABLE" if kind == "TRUNCATE" else kind, _parts(changed["name"]))
    first = re.match(r"\w+", text)
    word = first[0].lower() if first else "select"
    if word in _SCRIPT_WORDS:
        return Statement(text, "SCRIPT")
    return Statement(
        text, {"with": "SELECT", "from": "SELECT", "export": "EXPORT_DATA"}.get(word, word.upper())
    )


def statement_type(found: list[Statement]) -> str:
    """Return the statementType of a job with these statements."""
    if len(found) == 1:
        return found[0].type
    return "SCRIPT" if found else "SELECT"


def _cut(sql: str) -> list[str]:
    pieces = [""]
    position = 0
    for token in _TOKENS.finditer(sql):
        pieces[-1] += sql[position : token.start()]
        if token["text"]:
            pieces[-1] += token["text"]
        elif token["comment"]:
            pieces[-1] += " "
        else:
            pieces.append("")
        position = token.end()
    pieces[-1] += sql[position:]
    return [piece.strip() for piece in pieces if piece.strip()]


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in name.replace("`", "").split("."))


def _words(thing: str) -> str:
    return "_".join(thing.upper().split())
