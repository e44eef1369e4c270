"""Pages are found, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.docs.pages import DOCS, PAGES, ROOT, prose

LINKED = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]


def anchors(page: Path) -> set[str]:
    """Return what can be linked to in a page: its headlines, in the way of code hosts."""
    headlines = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headlines}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """To pages and headlines that are there; `make docs` asks again, in Sphinx' way."""
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"\w+://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)

    assert lost == []


def test_every_page_is_in_the_index_and_in_the_readme() -> None:
    """What is in neither nobody reads."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^[\w-]+$", "".join(re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)), re.MULTILINE
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {page.stem for page in PAGES} - {"index"}

    assert pages - set(listed) == set()
    assert {page for page in pages if f"docs/{page}.md" not in readme} == set()
