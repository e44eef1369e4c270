"""
A plan as a page for a person: a header, then the nodes in the order of the build, each with its tests beside it.

Pure but for the writing: text goes out through one function, line by line.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TextIO

from cosmos_async.cli.steps import Described, describe
from cosmos_async.dbt.planner.record import Planned
from cosmos_async.plan.model import Level, NodePlan, Step

WIDTH = 110  # columns of prose; SQL keeps its lines

_COLOURS = {
    Level.STATIC: "32",
    Level.GUARDED: "32",
    Level.NATIVE: "36",
    Level.LATE: "33",
    Level.DBT: "35",
}
_BOLD, _DIM = "1", "2"


@dataclass(frozen=True)
class Style:
    """Whether there are colours."""

    colours: bool

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str]) -> Style:
        """Return the style for a stream: colours on a terminal whose user does not mind (no-color.org)."""
        return cls(stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb")

    def paint(self, text: str, code: str) -> str:
        """Return *text* in a colour, or as it is."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours and text else text


@dataclass(frozen=True)
class Page:
    """Where lines go, and how they look."""

    write: Callable[[str], object]
    style: Style

    def line(self, text: str = "", *, indent: int = 0, code: str = "") -> None:
        """Write one line."""
        painted = self.style.paint(text, code) if code else text
        self.write((" " * indent + painted if text else "") + "\n")

    def prose(self, text: str, *, indent: int) -> None:
        """Write sentences, wrapped; what dbt said over several lines keeps them."""
        for paragraph in text.splitlines():
            for line in textwrap.wrap(
                paragraph, WIDTH - indent, break_long_words=False, break_on_hyphens=False
            ) or [""]:
                self.line(line, indent=indent, code=_DIM)


def show(page: Page, planned: Planned, chosen: Iterable[str], *, brief: bool, alone: bool) -> None:
    """
    Write the page.

    Args:
        page: Where it goes.
        planned: The plan.
        chosen: The nodes to show.
        brief: Leave out the steps.
        alone: Leave out the summary of the run; one node was asked for.
    """
    if not alone:
        _header(page, planned)
        if planned.plan.prelude:
            page.line()
            page.line("Before the first node", code=_BOLD)
            if not brief:
                _steps(page, planned.plan.prelude, indent=3)
    wanted = set(chosen)
    for group in _groups(planned):
        shown = [unique_id for unique_id in group if unique_id in wanted]
        if shown and not (brief or alone):
            page.line()
        for position, unique_id in enumerate(shown):
            if position and not brief:
                page.line()
            _node(page, planned.plan.nodes[unique_id], uses=planned.each_run.get(unique_id), brief=brief)


def _header(page: Page, planned: Planned) -> None:
    plan = planned.plan
    run = plan.run
    page.line(
        f"{page.style.paint(run.project_name, _BOLD)}, target {page.style.paint(run.target_name, _BOLD)}; "
        f"dbt-core {run.dbt_version}, dbt-bigquery {run.adapter_version}, cosmos-async {run.package_version}"
    )
    counts = {level: count for level, count in plan.levels().items() if count}
    told = ", ".join(
        page.style.paint(f"{count} at {level.value} ({level.word})", _COLOURS[level])
        for level, count in counts.items()
    )
    noun = "node" if len(plan.nodes) == 1 else "nodes"
    page.line(f"{len(plan.nodes)} {noun}: {told}")


def _groups(planned: Planned) -> list[list[str]]:
    """Return the nodes in the order dbt built them; a test stands with the node whose task executes it."""
    groups: dict[str, list[str]] = {}
    begins: dict[str, int] = {}
    for position, unique_id in enumerate(planned.recording["nodes"]):
        if unique_id not in planned.plan.nodes:
            continue  # an ephemeral model is a part of its children
        owner = planned.plan.owners.get(unique_id, unique_id)
        groups.setdefault(owner, []).append(unique_id)
        if unique_id == owner:
            begins[owner] = position
    return [groups[owner] for owner in sorted(groups, key=lambda owner: begins.get(owner, len(begins)))]


def _node(page: Page, node: NodePlan, *, uses: str | None, brief: bool) -> None:
    level = page.style.paint(node.level.value, _COLOURS[node.level])
    name = page.style.paint(node.unique_id, _BOLD)
    facts = [node.materialized or "", node.relation or "", node.file or ""]
    if node.resource_type in ("test", "unit_test"):
        facts = [node.file or ""]
    page.line(f"{level}  {name}  {page.style.paint('  '.join(filter(None, facts)), _DIM)}".rstrip())
    if node.reason:
        page.prose(node.reason, indent=3)
    if uses is not None and node.level is not Level.DBT:
        page.prose(f"It uses {uses}: planned in each run, also where nothing has changed.", indent=3)
    if brief:
        return
    if not (node.steps or node.batches) and node.level not in (Level.DBT, Level.LATE):
        page.line(node.message or "Nothing is sent to BigQuery.", indent=3, code=_DIM)
    _steps(page, node.steps, indent=3)
    for batch in node.batches:
        at_once = f", {batch.at_once} at once" if batch.at_once > 1 else ""
        page.line(f"batch   {batch.name}: {batch.start} to {batch.end}{at_once}", indent=3)
        _steps(page, batch.steps, indent=6)


def _steps(page: Page, steps: Iterable[Step], *, indent: int) -> None:
    for step in steps:
        described: Described = describe(step)
        page.line(f"{described.kind:<7} {described.text}", indent=indent)
        for note in described.notes:
            page.line(note, indent=indent + 8, code=_DIM)
        for line in described.sql:
            page.line(line, indent=indent + 8)
