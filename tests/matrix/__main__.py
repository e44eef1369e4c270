"""
Tell what holds on which Airflow: the unit tests and the story with real processes, version by version, as a table.

``make matrix`` runs this in Airflow 3.3's environment; each version has one of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.matrix.conftest import AIRFLOW

ROOT = Path(__file__).resolve().parents[2]
STORY = ("run", "ahead", "clear", "retry", "kill", "again")
CELERY = "celery"
UNIT = ["tests/unit", "-m", "not dbt and not warehouse and not airflow"]
# A file's tests stay together, as they share what is dear to make.
SPREAD = ["--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile"]


@dataclass(frozen=True)
class Results:
    """How each test of one pytest ended: "passed", "failed" or "skipped", by its name."""

    ends: dict[str, str]
    well: bool  #: pytest itself said so

    def count(self, end: str) -> int:
        """Return how many ended so."""
        return sum(1 for found in self.ends.values() if found == end)


def interpreter(version: str) -> Path:
    """Return the interpreter of a version's environment."""
    return ROOT / f".venvs/airflow-{version}/bin/python"


def run_pytest(python: Path, words: list[str], env: dict[str, str]) -> Results:
    """Run pytest, showing what it prints, and return how each test ended."""
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        done = subprocess.run(
            [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *words],
            cwd=ROOT,
            env={**os.environ, **env},
            check=False,
        )
        ends: dict[str, str] = {}
        if report.exists():
            for case in ElementTree.parse(report).iter("testcase"):
                kinds = {child.tag for child in case}
                end = (
                    "failed"
                    if kinds & {"failure", "error"}
                    else "skipped"
                    if "skipped" in kinds
                    else "passed"
                )
                ends[f"{case.get('classname')}.{case.get('name')}"] = end
        return Results(ends, done.returncode == 0)


def facts(version: str) -> tuple[str, str]:
    """Return the exact versions of Airflow and Python in an environment."""
    code = (
        "import platform; from importlib.metadata import version; "
        "print(version('apache-airflow'), platform.python_version())"
    )
    words = subprocess.run(
        [interpreter(version), "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    return words[0], words[1]


def row(version: str, *, unit: bool) -> tuple[list[str], bool]:
    """Try one version; return its row of the table and whether all went well."""
    began = time.monotonic()
    airflow, python = facts(version)
    well = True
    units = "-"
    if unit and version != CELERY:
        home = {"AIRFLOW_HOME": str(ROOT / f".venvs/airflow-home-{version}")}
        results = run_pytest(interpreter(version), [*UNIT, *SPREAD], home)
        well = results.well
        units = f"{results.count('passed')} passed"
        units += "".join(
            f", {results.count(end)} {end}" for end in ("failed", "skipped") if results.count(end)
        )
    file = "tests/matrix/test_celery.py" if version == CELERY else "tests/matrix/test_processes.py"
    results = run_pytest(Path(sys.executable), [file], {AIRFLOW: version})
    well = well and results.well
    story = {name.rpartition(".test_")[2]: end for name, end in results.ends.items()}
    cells = [story.get(name, "-") for name in STORY]
    name = f"{airflow}, {version}" if version == CELERY else airflow
    return [name, python, units, *cells, f"{time.monotonic() - began:.0f} s"], well


def main() -> int:
    """Try the versions, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", nargs="+", help="such as 2.8 or 3.3, or celery")
    parser.add_argument("--no-unit", dest="unit", action="store_false", help="without the unit tests")
    options = parser.parse_args()
    table = [["Airflow", "Python", "unit tests", *STORY, "took"]]
    all_well = True
    for version in options.versions:
        cells, well = row(version, unit=options.unit)
        table.append(cells)
        all_well = all_well and well
        print(f"\n=== Airflow {version}: {'all is well' if well else 'NOT well'} ===\n", flush=True)
    table.insert(1, ["---"] * len(table[0]))
    for cells in table:
        print("| " + " | ".join(cells) + " |")
    return 0 if all_well else 1


if __name__ == "__main__":
    sys.exit(main())
