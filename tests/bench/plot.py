"""
How whole runs grow with the project, as a picture: `python -m tests.bench.plot a.json b.json --svg growth.svg`, or `make bench-plot`.

It reads what `--json` of `tests.bench.whole` has written. There is a panel for each number of tests, a line through the medians
for each who was measured, and a dashed one for the critical path. The SVG is written by hand: five kinds of elements are all.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from xml.sax.saxutils import escape

from tests.bench.contenders import NAMES
from tests.bench.figures import Figures, read
from tests.bench.runs import Took

WHAT = {
    "wall": "seconds of a run",
    "first_job": "seconds to the first job",
    "tail": "seconds from the last job to the end",
    "worker": "seconds of workers",
    "cpu": "CPU seconds",
}
#: By Okabe and Ito, to be told apart by everybody.
COLOURS = {
    "dbt-16": "#999999",
    "dbt-64": "#555555",
    "watcher": "#d55e00",
    "unchanged": "#0072b2",
    "changed": "#56b4e9",
    "no-reuse": "#009e73",
    "no-ahead": "#cc79a7",
    "neither": "#e69f00",
    "no-assume": "#f0e442",
}
PATH, PATH_COLOUR = "critical path", "#000000"
WIDTH, HEIGHT = 340, 240  # of a panel's axes, in pixels
LEFT, TOP, BOTTOM, LEGEND = 60, 54, 48, 200
Line = list[tuple[int, float]]  #: models and seconds, from few models to many


def merged(found: Iterable[Figures]) -> list[Figures]:
    """
    Return one for each project, with all runs of it.

    Raises:
        ValueError: They differ in more than their width and their tests, so no line can be drawn through them.
    """
    by_case: dict[object, Figures] = {}
    for figures in found:
        into = by_case.setdefault(figures.case, Figures(figures.case))
        for word, runs in figures.runs.items():
            into.runs.setdefault(word, []).extend(runs)
    if len({(figures.case.layers, figures.case.job_ms) for figures in by_case.values()}) > 1:
        raise ValueError("the files differ in their layers, or in what a job takes")
    return list(by_case.values())


def lines(found: Iterable[Figures], tests: int, what: str) -> dict[str, Line]:
    """Return the points of each line of the panel for so many tests, by the words of ``NAMES`` and ``PATH``."""
    points: dict[str, Line] = {}
    for figures in sorted(found, key=lambda figures: figures.case.models):
        if figures.case.tests == tests:
            for word, took in figures.medians().items():
                points.setdefault(word, []).append((figures.case.models, getattr(took, what)))
            if what == "wall":
                points.setdefault(PATH, []).append((figures.case.models, figures.case.critical_path()))
    return points


def ticks(highest: float) -> list[float]:
    """Return some round numbers from 0 up to the first that is not below *highest*."""
    least = highest / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
    return [number * step for number in range(math.ceil(highest / step) + 1)] if highest else [0.0, 1.0]


def svg(found: Sequence[Figures], what: str) -> str:
    """Return the picture."""
    panels = {tests: lines(found, tests, what) for tests in sorted({figures.case.tests for figures in found})}
    everything = [point for panel in panels.values() for line in panel.values() for point in line]
    across = ticks(max(models for models, _ in everything))
    up = ticks(max(value for _, value in everything))
    width = len(panels) * (LEFT + WIDTH) + LEGEND
    height = TOP + HEIGHT + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (tests, panel) in enumerate(panels.items()):
        left = LEFT + number * (LEFT + WIDTH)
        title = f"{tests or 'no'} test{'' if tests == 1 else 's'} per model"
        parts += [_text(left + WIDTH / 2, TOP - 14, title, "middle"), *_axes(left, across, up)]
        for word, line in panel.items():
            parts += _line(word, [(left + _x(models, across), _y(value, up)) for models, value in line])
    parts.append(_text(12, 18, WHAT[what], "start"))
    words = [word for word in (*NAMES, PATH) if any(word in panel for panel in panels.values())]
    for number, word in enumerate(words):
        x, y = width - LEGEND + 20, TOP + 10 + 20 * number
        parts += [*_line(word, [(x, y), (x + 20, y)]), _text(x + 28, y + 4, NAMES.get(word, word), "start")]
    return "\n".join([*parts, "</svg>", ""])


def _x(models: float, across: Sequence[float]) -> float:
    return WIDTH * models / across[-1]


def _y(value: float, up: Sequence[float]) -> float:
    return TOP + HEIGHT * (1 - value / up[-1])


def _axes(left: float, across: Sequence[float], up: Sequence[float]) -> list[str]:
    bottom = TOP + HEIGHT
    parts = [_text(left + WIDTH / 2, bottom + 36, "models", "middle")]
    for value in up:
        y = _y(value, up)
        parts.append(f'<path d="M{left} {y:.1f} H{left + WIDTH}" stroke="#dddddd"/>')
        parts.append(_text(left - 6, y + 4, f"{value:g}", "end"))
    below = (_text(left + _x(models, across), bottom + 18, f"{models:g}", "middle") for models in across)
    return [*parts, *below]


def _line(word: str, points: Sequence[tuple[float, float]]) -> list[str]:
    colour, dashed = COLOURS.get(word, PATH_COLOUR), ' stroke-dasharray="5 4"' if word == PATH else ""
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    drawn = f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'
    return [drawn, *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points)]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("json", type=Path, nargs="+", help="what --json of tests.bench.whole has written")
    parser.add_argument("--svg", type=Path, required=True, help="where to draw")
    parser.add_argument("--what", choices=[each.name for each in fields(Took)], default="wall")
    options = parser.parse_args()
    options.svg.write_text(
        svg(merged(figures for path in options.json for figures in read(path)), options.what)
    )


if __name__ == "__main__":
    main()
