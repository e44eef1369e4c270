"""
What whole runs took, as medians, as a table and as JSON.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

from tests.bench.contenders import NAMES
from tests.bench.layered import Case
from tests.bench.runs import Took

BASE = "dbt-64"


@dataclass
class Figures:
    """The runs of one project, by the word (of ``NAMES``) for who made them."""

    case: Case
    runs: dict[str, list[Took]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  #: what was said, by who said it

    def add(self, word: str, took: Took | Exception) -> None:
        """Take one more run, or what was said in its place."""
        if isinstance(took, Took):
            self.runs.setdefault(word, []).append(took)
        else:
            self.failed[word] = str(took)

    def medians(self) -> dict[str, Took]:
        """Return the median of each figure, in the order of ``NAMES``."""
        return {word: median(self.runs[word]) for word in NAMES if word in self.runs}

    def table(self) -> str:
        """Return the medians for people to read."""
        case, path, medians = self.case, self.case.critical_path(), self.medians()
        lines = [
            f"{case.models} models in {case.layers} layers, {case.tests} tests each, jobs of {case.job_ms} ms"
            f"{', all but the first layer late' if case.late else ''}; critical path {path:.1f} s. Medians, in seconds:",
            f"{'':24} {'runs':>4} {'run':>7} {'of dbt':>7} {'of path':>8} {'first job':>10} {'tail':>6} {'worker':>7} {'CPU':>6}",
        ]
        for word, took in medians.items():
            of_dbt = f"{took.wall / medians[BASE].wall:.2f}" if BASE in medians else "-"
            lines.append(
                f"{NAMES[word]:24} {len(self.runs[word]):4} {took.wall:7.1f} {of_dbt:>7} {took.wall / path:8.2f} "
                f"{took.first_job:10.1f} {took.tail:6.1f} {took.worker:7.1f} {took.cpu:6.1f}"
            )
        lines += [f"{NAMES[word]} failed: {said}" for word, said in self.failed.items()]
        return "\n".join(lines)


def median(runs: Sequence[Took]) -> Took:
    """Return the median of each figure."""
    return Took(*(statistics.median(values) for values in zip(*map(astuple, runs))))


def write(path: Path, measured: Iterable[Figures], **about: Any) -> None:
    """Write what was measured as JSON, with what else is to be known of it."""
    found = [
        {
            **asdict(figures.case),
            "critical_path": figures.case.critical_path(),
            "runs": {word: [asdict(took) for took in runs] for word, runs in figures.runs.items()},
            "failed": figures.failed,
        }
        for figures in measured
    ]
    path.write_text(json.dumps({**about, "measured": found}, indent=1) + "\n")


def read(path: Path) -> list[Figures]:
    """Read what :func:`write` has written."""
    return [
        Figures(
            Case(**{each.name: one[each.name] for each in fields(Case)}),
            {word: [Took(**took) for took in runs] for word, runs in one["runs"].items()},
            one["failed"],
        )
        for one in json.loads(path.read_text())["measured"]
    ]
