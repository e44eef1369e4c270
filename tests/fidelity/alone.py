"""
Runs a part of the suite from a terminal: in this process, or spread over several.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.dbt_versions import NEWEST
from tests.fidelity.choice import Choice
from tests.fidelity.driver import Bench
from tests.fidelity.rows import Row, line
from tests.warehouse.fixture import running_warehouse

Part = Callable[[Bench, Path, Choice], Iterator[Row]]


def main(part: Part, description: str | None) -> None:
    """Run *part*, print its table, and end with status 1 where anything differs."""
    options = _options(description)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # nothing stays behind
    if options.shares == 1:
        print(f"Real dbt is {NEWEST}, where a case names no other one.", flush=True)
    found = _spread(options) if options.processes > 1 else _run(part, options)
    print(summary(found))
    sys.exit(any(row["verdict"] == "different" for row in found))


def _options(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", nargs="*", default=[], help="what the names of the cases to try begin with")
    parser.add_argument("--json", type=Path, help="where to write everything that was found")
    parser.add_argument("--folder", type=Path, help="where to work, and to leave everything for a look")
    parser.add_argument("--details", action="store_true", help="tell every difference")
    parser.add_argument("--processes", type=int, default=1, help="over how many the cases are spread")
    parser.add_argument("--share", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--shares", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(part: Part, options: argparse.Namespace) -> list[dict[str, Any]]:
    choice = Choice(tuple(options.only), options.share, options.shares)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        (folder / "warehouse").mkdir(parents=True, exist_ok=True)
        with running_warehouse(folder / "warehouse", "--bucket", "plans") as warehouse:
            for row in part(Bench(warehouse, folder / "builds"), folder / "checkouts", choice):
                found.append(row.to_json())
                print(line(row), flush=True)
                if options.details and row.verdict != "same":
                    print(row.told(), flush=True)
                _keep(found, options.json)
    return found


def _spread(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run each share in a process with a warehouse of its own; their lines appear as they come."""
    module = sys.modules["__main__"].__spec__
    assert module is not None, "run as `python -m`"
    with tempfile.TemporaryDirectory() as temporary:
        files = [Path(temporary) / f"{share}.json" for share in range(options.processes)]
        children = []
        for share, file in enumerate(files):
            command = [sys.executable, "-m", module.name.removesuffix(".__main__"), "--json", str(file)]
            command += ["--share", str(share), "--shares", str(options.processes), "--only", *options.only]
            command += ["--details"] if options.details else []
            command += ["--folder", str(options.folder / str(share))] if options.folder else []
            children.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ))
        readers = [threading.Thread(target=_forward, args=(child,)) for child in children]
        try:
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
        except BaseException:
            for child in children:
                child.terminate()
            raise
        broken = [child.wait() for child in children if child.wait() not in (0, 1)]
        found = [row for file in files if file.exists() for row in json.loads(file.read_text())]
    _keep(found, options.json)
    if broken:
        sys.exit(f"a part of the suite broke (exit codes {broken}); its cases are not in the table")
    return found


def _forward(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    for text in child.stdout:
        if not text.startswith(SUMMARY):
            print(text, end="", flush=True)


def _keep(found: list[dict[str, Any]], file: Path | None) -> None:
    if file is not None:
        file.write_text(json.dumps(found, indent=1))


SUMMARY = "In all: "


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """Return the last line of the table: how many states are how, and at which levels nodes were executed."""
    verdicts = Counter(row["verdict"] for row in rows)
    levels: Counter[str] = Counter()
    for row in rows:
        levels.update(row.get("levels", {}))
    nodes = sum(levels.values())
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    if not nodes:
        return f"{SUMMARY}{told or 'nothing was tried'}"
    counts = " ".join(f"{level}:{levels[level]}" for level in "SGNLD")
    share = sum(levels[level] for level in "SGN") / nodes
    return f"{SUMMARY}{told}; {nodes} nodes executed, {counts}, {share:.1%} of them at S, G or N"
