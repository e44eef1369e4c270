"""
What packages that keep run results insert: rows of literals, some of them facts of one build.
"""

from __future__ import annotations

from collections.abc import Callable

from cosmos_async.dbt.scripts.recording import sql

OF_THE_BUILD = "<of the build>"


def comparable(text: str, *, volatile: Callable[[str], bool], any_order: bool) -> str:
    """
    Return a statement as two builds have it in common.

    Args:
        text: The statement; anything but ``insert into t (columns) values (...), ...`` is returned as it is.
        volatile: Tells the columns whose values belong to one build.
        any_order: Whether the order of the rows is of no meaning, as it is that of the run's nodes.
    """
    statements = sql.statements(text)
    if len(statements) != 1 or statements[0].words[0] != "insert" or "values" not in statements[0].words:
        return text
    tokens = statements[0].tokens
    values = statements[0].words.index("values")
    opening = next((at for at in range(values) if tokens[at].text == "("), values)
    columns = [each[0].path[-1] for each in _pieces(tokens[opening + 1 : values]) if each]
    rows = []
    for at in range(values + 1, len(tokens)):
        if tokens[at].text == "(" and tokens[at].depth == 0:
            cells = _pieces(tokens[at + 1 :])
            if len(cells) != len(columns):
                return text
            told = [
                OF_THE_BUILD if volatile(column) else text[cell[0].start : cell[-1].end]
                for column, cell in zip(columns, cells)
            ]
            rows.append(f"({', '.join(told)})")
    return text[: tokens[values].end] + "\n" + ",\n".join(sorted(rows) if any_order else rows)


def _pieces(tokens: tuple[sql.Token, ...]) -> list[list[sql.Token]]:
    """Return what stands between commas, up to the parenthesis that closes."""
    pieces: list[list[sql.Token]] = [[]]
    for token in tokens:
        if token.depth < 1:
            break
        if token.text == "," and token.depth == 1:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return pieces
