"""The pages for users and developers, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
#: How a block begins that cannot be run as it stands; for readers as well as for the tests.
SKETCH = "# A sketch"

_FENCE = re.compile(
    r"^(?P<fence>```+)(?P<word>\S*)[^\n]*\n(?P<text>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int  #: of its first line of text
    word: str  #: its language, as the fence says it
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(*pages: Path) -> Iterator[Block]:
    """Yield all blocks of some pages, of all by default, README included."""
    for page in pages or (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES):
        text = page.read_text(encoding="utf-8")
        for found in _FENCE.finditer(text):
            line = text.count("\n", 0, found.start("text")) + 1
            yield Block(page, line, found["word"], found["text"])


def prose(page: Path) -> str:
    """Return a page without its blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def rows(text: str) -> list[list[str]]:
    """Return the rows of all tables in *text*, without headlines: cells without spaces around them."""
    found, table = [], False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if cells and all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            table = True
        elif not cells:
            table = False
        elif table:
            found.append(cells)
    return found


def section(page: str, heading: str) -> str:
    """Return what stands below one heading of a page, up to the next one of its level or above."""
    text = (DOCS / page).read_text(encoding="utf-8")
    level = len(heading) - len(heading.lstrip("#"))
    rest = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
