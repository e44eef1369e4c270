"""
How long planning takes with dbt 2, beside `dbt compile` of dbt 2 and beside planning with dbt 1: ``make bench-dbt2``.

All three take the same project, one after the other, again and again, against the local warehouse that has the Storage
API, as dbt 2 reads results there. Nothing is built yet. What is measured is the whole process: its wall time, and the
processor time of all its processes; the warehouse's own is not in it. How many requests reach the warehouse is told as
well, as each has BigQuery's latency there. A table goes to stdout and everything measured to a JSON file; nothing is judged.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.planning import Series, Timed, print_table
from tests.bench.project import SOURCES, write_project
from tests.dbt.recording import ROOT, clean_environment
from tests.dbt_versions import NEWEST
from tests.forked_dbt import real_dbt
from tests.warehouse.dbt2 import DBT, Bench, missing, running_bench

GOAL = 2.0  # planning, in times of dbt 2's compile, beside the latency of what is read
GOAL_BESIDE_1 = 1 / 3  # of the processor time of planning with dbt 1


@dataclass
class Planning:
    """One project, and the commands that are compared."""

    bench: Bench
    folder: Path

    @property
    def project(self) -> Path:
        """Where the project is."""
        return self.folder / "project"

    def compile(self) -> Timed:
        """Run dbt 2's `compile`."""
        return self._run([DBT, "compile", "--target-path", self.folder / "target"])

    def plan(self, dbt: Path) -> tuple[Timed, dict[str, int]]:
        """Plan as setup does, and return how many nodes are at which level as well."""
        command = [sys.executable, "-m", "cosmos_async", "plan", "--dbt", dbt, "--json"]
        took = self._run(command)
        levels: dict[str, int] = json.loads((self.folder / "out").read_text())["levels"]
        return took, levels

    def requests(self) -> int:
        """Return how many requests the warehouse has had."""
        return self.bench.warehouse.asked(since=1 << 60)[0]

    def _run(self, command: Sequence[str | Path]) -> Timed:
        env = {**clean_environment(), **self._environment()}
        began = time.perf_counter()
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            process = subprocess.Popen(
                list(map(str, command)), cwd=self.project, env=env, stdout=out, stderr=err
            )
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(
                f"{command} failed:\n{(self.folder / 'out').read_text()}{(self.folder / 'err').read_text()}"
            )
        return Timed(time.perf_counter() - began, used.ru_utime + used.ru_stime)

    def _environment(self) -> Mapping[str, str]:
        warehouse = self.bench.warehouse
        return {
            **self.bench.environment,
            "BENCH_KEY_FILE": str(warehouse.key_file),
            "BENCH_PROJECT": warehouse.project,
            "AIRFLOW__COSMOS_ASYNC__CACHE_DIR": str(self.folder / "cache"),
            "AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT": warehouse.endpoint,
            "PYTHONPATH": str(ROOT),
        }


def main() -> None:
    """Measure, print, write."""
    options = _options()
    if missing():
        sys.exit(missing())
    with tempfile.TemporaryDirectory(prefix="cosmos-async-bench-") as name:
        folder = Path(name)
        with running_bench(folder / "warehouse") as bench:
            bench.warehouse.query("create schema raw")
            for number in range(SOURCES):
                columns = "id int64, label string, day date"
                bench.warehouse.query(f"create table raw.events_{number} ({columns})")
            planning = Planning(bench, folder)
            write_project(
                planning.project, options.models, database=bench.warehouse.project, tests=options.tests
            )
            measured = measure(planning, options)
    report(*measured, options)


def measure(
    planning: Planning, options: argparse.Namespace
) -> tuple[list[Series], dict[str, dict[str, int]], dict[str, int]]:
    """Return the times of all rounds, the levels, and how many requests there were, the latter two by dbt."""
    ways = {"2": DBT, NEWEST: real_dbt(NEWEST)}
    compiling = Series("dbt 2, compile")
    series = {version: Series(f"dbt {version}, plan") for version in ways}
    beside = Series("dbt 2, plan, x dbt 1's")
    levels, requests = {}, {}
    for dbt in ways.values():  # so that dbt 1 has parsed the project
        planning.plan(dbt)
    planning.compile()
    for _ in range(options.rounds):
        compiling.add(planning.compile())
        for version, dbt in ways.items():
            before = planning.requests()
            took, levels[version] = planning.plan(dbt)
            requests[version] = planning.requests() - before
            series[version].add(took, beside=compiling)
        beside.ratios.append(series["2"].seconds[-1] / series[NEWEST].seconds[-1])
        beside.cpu_ratios.append(series["2"].cpu[-1] / series[NEWEST].cpu[-1])
    return [compiling, *series.values(), beside], levels, requests


def report(
    series: list[Series],
    levels: dict[str, dict[str, int]],
    requests: dict[str, int],
    options: argparse.Namespace,
) -> None:
    """Print the table and write the JSON."""
    print(
        f"\n{options.models} models and {options.models * options.tests} tests, {os.cpu_count()} cores, "
        f"{platform.python_implementation()} {platform.python_version()}; {options.rounds} rounds, interleaved."
    )
    for version, counts in levels.items():
        told = ", ".join(f"{count} {level}" for level, count in counts.items() if count)
        print(f"dbt {version}: {told}; {requests[version]} requests reach the warehouse.")
    print()
    print_table(series, beside="compile")
    print(
        f"\nThe goals are {GOAL:g}x dbt 2's compile at most, beside the latency of what is read, and {GOAL_BESIDE_1:.2f} of "
        "planning with dbt 1."
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "models": options.models,
        "tests": options.models * options.tests,
        "cores": os.cpu_count(),
        "levels": levels,
        "requests": requests,
        "series": [asdict(one) for one in series],
    }
    options.out.write_text(json.dumps(document, indent=2) + "\n")
    print(f"All measurements are in {options.out}.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure planning with dbt 2.")
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--tests", type=int, choices=(0, 1, 2), default=1, help="for each model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / ".bench" / "planning_dbt2.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
