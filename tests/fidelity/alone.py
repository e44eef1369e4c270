"""
Runs one part of the suite by itself, from a terminal.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.fidelity.driver import Bench
from tests.fidelity.rows import Row, line
from tests.warehouse.fixture import running_warehouse

Part = Callable[[Bench, Path, Sequence[str]], Iterator[Row]]


def main(part: Part, description: str | None) -> None:
    """Run *part*, print its table, and end with status 1 where anything differs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", nargs="*", default=[], help="names of the cases to try")
    parser.add_argument("--json", type=Path, help="where to write everything that was found")
    parser.add_argument("--folder", type=Path, help="where to work, and to leave everything for a look")
    parser.add_argument("--details", action="store_true", help="tell every difference")
    arguments = parser.parse_args()
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        (folder / "warehouse").mkdir(parents=True, exist_ok=True)
        with running_warehouse(folder / "warehouse", "--bucket", "plans") as warehouse:
            for row in part(Bench(warehouse, folder / "builds"), folder / "checkouts", arguments.only):
                found.append(row)
                print(line(row), flush=True)
                if arguments.details and row.verdict != "same":
                    print(row.told(), flush=True)
                if arguments.json:
                    arguments.json.write_text(json.dumps([each.to_json() for each in found], indent=1))
    print(summary(found))
    sys.exit(any(row.verdict == "different" for row in found))


def summary(rows: Sequence[Row]) -> str:
    """Return the last lines of the table: how many states are how, and at which levels nodes were executed."""
    verdicts = Counter(row.verdict for row in rows)
    levels: Counter[str] = Counter()
    for row in rows:
        levels.update(row.levels)
    nodes = sum(levels.values())
    triggerer = sum(levels[level] for level in "SGN")
    told = (
        ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())) or "nothing was tried"
    )
    if not nodes:
        return told
    counts = " ".join(f"{level}:{levels[level]}" for level in "SGNLD")
    return f"{told}\n{nodes} nodes executed, {counts}; {triggerer / nodes:.1%} at S, G or N"
