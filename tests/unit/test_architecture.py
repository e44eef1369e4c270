"""
What docs/architecture.md says of folders and functions is there.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cosmos_async"
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
#: Such as `triggers/base.py`: `EndingTrigger.end`, with more names of the same file after a comma.
STOPS = re.findall(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)", TEXT)


def names_in(path: Path) -> set[str]:
    """Return the functions and classes of a module, and the methods as Class.method."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (one for one in node.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)))
            found.update(f"{node.name}.{one.name}" for one in methods)
    return found


def test_the_walk_leads_through_functions_that_are_there() -> None:
    """A newcomer follows it with the editor's search."""
    lost = [
        f"{path}: {name}"
        for path, names in STOPS
        for name in re.findall(r"`([\w.]+)`", names)
        if not (PACKAGE / path).exists() or name not in names_in(PACKAGE / path)
    ]

    assert len(STOPS) > 15
    assert lost == []


def test_the_picture_has_every_room() -> None:
    """Folders with code in them; those of the public fakes and of the recorder are rooms as a whole."""
    picture = TEXT.split("## The rooms")[1].split("## ")[0]
    rooms = [
        path.name
        for top in (PACKAGE, PACKAGE / "dbt", PACKAGE / "triggers")
        for path in top.iterdir()
        if (path / "__init__.py").exists()
    ]

    assert len(rooms) > 15
    assert [name for name in rooms if f"{name}/" not in picture] == []


def test_files_that_are_named_are_there() -> None:
    """In all pages for developers."""
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"]
    named = {
        (page.name, path)
        for page in pages
        for path in re.findall(
            r"`((?:cosmos_async|triggers|tests|docs)/[\w/.-]+)`", page.read_text(encoding="utf-8")
        )
    }

    assert {(page, path) for page, path in named if not (ROOT / path.rstrip("/")).exists()} == set()
