"""Messages that the page quotes are said by the code."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import cosmos_async
from tests.unit.docs.pages import DOCS

TEXT = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = [found.strip() for _, found in re.findall(r"^### (`+)(.+?)\1$", TEXT, re.MULTILINE)]
GAP = "…"  # stands for what a message fills in


def messages() -> Iterator[str]:
    """Yield every text of the code, with a gap for each value in it."""
    package = Path(cosmos_async.__file__).parent
    for folder, _, names in os.walk(package, followlinks=True):
        for name in names:
            if name.endswith(".py") and "testing" not in Path(folder).parts:
                tree = ast.parse(Path(folder, name).read_text(encoding="utf-8"))
                yield from map(told, ast.walk(tree))


def told(node: ast.AST) -> str:
    """Return the text of a string or an f-string, an empty one for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ""


ALL = [text for text in messages() if text]


def test_every_error_is_a_quotation() -> None:
    """Headlines of the third level are messages."""
    assert len(QUOTED) >= 25
    assert len(QUOTED) == len(re.findall(r"^### ", TEXT, re.MULTILINE))


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_message_is_said_somewhere(quoted: str) -> None:
    """Who searches the page for what the log says has to find it."""
    pattern = re.compile(".*?".join(map(re.escape, quoted.split(GAP))), re.DOTALL)

    assert [text for text in ALL if pattern.search(text)], quoted


def test_what_nobody_says_is_not_found() -> None:
    """Else the test above would find anything."""
    assert not [text for text in ALL if "this is not a message of ours" in text]
