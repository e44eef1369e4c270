"""
How long planning takes, beside ``dbt compile`` of the same project: ``make bench``.

Both run as a person would start them, one after the other, again and again, on the same stand-in for BigQuery, each
with the project parsed before (dbt's partial parse), and once without. What is compared is the whole process: its
wall time, and the processor time of all its processes, which others on the machine disturb less. Then the setup task is
run, as a worker does it, with a plan that it has to record and with one that it uses again; and one node is planned late.
A table goes to stdout and everything measured to a JSON file. Nothing is judged: machines differ, and a ratio near its
goal may fall on either side.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.planner.late import plan_late
from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.dbt.process import Processes
from cosmos_async.dbt.session import open_dbt
from cosmos_async.plan.model import Level
from cosmos_async.testing import FakeGoogle
from tests.bench.project import DATASET, PROJECT_ID, TESTS_EACH, fill_models, fill_sources, write_project
from tests.dbt.recording import ROOT, clean_environment
from tests.dbt_versions import NEWEST
from tests.forked_dbt import real_dbt
from tests.served import served_google

GOAL = 1.5  # planning, in times of `dbt compile`
LATE_GOAL = 3.0  # seconds of dbt for one node that is planned late
LATE = "model.bench.model_0030"  # one that reads two others


@dataclass(frozen=True)
class Timed:
    """What one command took."""

    seconds: float
    cpu: float


@dataclass
class Series:
    """What one command took, round by round."""

    name: str
    seconds: list[float] = field(default_factory=list)  #: of wall time
    cpu: list[float] = field(default_factory=list)  #: seconds of processor time, of all its processes
    ratios: list[float] = field(default_factory=list)  #: of wall times, to the compile of the same round
    cpu_ratios: list[float] = field(default_factory=list)  #: of processor times, likewise

    def add(self, took: Timed, *, beside: Series | None = None) -> None:
        """Add one measurement, and its ratio to the last one of *beside*."""
        self.seconds.append(took.seconds)
        self.cpu.append(took.cpu)
        if beside is not None:
            self.ratios.append(took.seconds / beside.seconds[-1])
            self.cpu_ratios.append(took.cpu / beside.cpu[-1])
        print(f"  {self.name}: {took.seconds:.1f} s", file=sys.stderr, flush=True)


@dataclass
class Bench:
    """One project on one stand-in, and the commands that are compared."""

    google: FakeGoogle
    folder: Path
    dbt: Path
    latency_ms: float

    @property
    def project(self) -> Path:
        """Where the project is."""
        return self.folder / "project"

    def compile(self, *, parsed: bool = True) -> float:
        """Run `dbt compile` and return its processor time."""
        more = [] if parsed else ["--no-partial-parse"]
        return self._run([self.dbt, "compile", "--target-path", self.folder / "target", *more])

    def plan(self, *, parsed: bool = True) -> float:
        """Run `cosmos-async plan`, which plans as setup does, and return its processor time."""
        more = [] if parsed else ["--no-partial-parse"]
        return self._run([sys.executable, "-m", "cosmos_async", "plan", "--dbt", self.dbt, "--json", *more])

    def start(self) -> float:
        """Import dbt and what it imports for BigQuery, which nobody can save, and return the processor time."""
        return self._run([self.dbt.with_name("python"), "-c", "import dbt.cli.main, dbt.adapters.bigquery"])

    def set_up(self, series: Series, *, recorded: bool, beside: Series) -> None:
        """Run the setup task and add what it took; where it has to record, nothing is left of the run before."""
        xcoms = self.folder / "xcoms.json"
        if recorded:
            xcoms.unlink(missing_ok=True)
        self._run([sys.executable, "-m", "tests.bench.setup_task", self.project, self.dbt, xcoms])
        told = json.loads((self.folder / "out").read_text().splitlines()[-1])
        if told["recorded"] is not recorded:
            sys.exit(f"the plan was {'used again' if recorded else 'recorded'} where it should not have been")
        took = Timed(told["seconds"], told["cpu"])
        series.add(took, beside=beside)

    def _run(self, command: Sequence[str | Path]) -> float:
        env = clean_environment(
            BENCH_KEY_FILE=str(self.folder / "key.json"),
            BIGQUERY_EMULATOR_HOST=self.google.bigquery_endpoint,
            AIRFLOW__COSMOS_ASYNC__CACHE_DIR=str(self.folder / "cache"),
            AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT=self.google.bigquery_endpoint,
            AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH=str(self.folder / "store"),
            AIRFLOW__COSMOS_ASYNC__REUSE_PLANS="True",
            PYTHONPATH=str(ROOT),
        )
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            process = subprocess.Popen(
                list(map(str, command)), cwd=self.project, env=env, stdout=out, stderr=err
            )
            # Unlike Popen.wait, it tells what the process and its own children have used.
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(
                f"{command} failed:\n{(self.folder / 'out').read_text()}{(self.folder / 'err').read_text()}"
            )
        return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure, print, write."""
    options = _options()
    dbt = real_dbt(options.dbt)
    with (
        tempfile.TemporaryDirectory(prefix="cosmos-async-bench-") as folder,
        served_google(PROJECT_ID) as google,
    ):
        google.latency = options.latency_ms / 1000
        bench = Bench(google, Path(folder), dbt, options.latency_ms)
        (bench.folder / "key.json").write_text(json.dumps(google.key_file))
        write_project(bench.project, options.models)
        fill_sources(google)
        series = measure(bench, options)
        bench.plan()
        levels = json.loads((bench.folder / "out").read_text())["levels"]
    report(series, options, levels)


def measure(bench: Bench, options: argparse.Namespace) -> list[Series]:
    """Return the wall times of all rounds."""
    compiling, first, later = Series("dbt compile"), Series("plan, first run"), Series("plan, later run")
    cold_compile, cold_plan = Series("dbt compile, unparsed"), Series("plan, unparsed")
    timed(cold_compile, lambda: bench.compile(parsed=False))
    timed(cold_plan, lambda: bench.plan(parsed=False), beside=cold_compile)
    bench.compile()  # so that both have parsed the project
    bench.plan()
    for _ in range(options.rounds):
        _forget(bench)
        timed(compiling, bench.compile)
        timed(first, bench.plan, beside=compiling)
        fill_models(bench.google, options.models)
        timed(later, bench.plan, beside=compiling)
    recording, again = Series("setup task, recording"), Series("setup task, plan used again")
    for _ in range(options.rounds):
        bench.set_up(recording, recorded=True, beside=compiling)
        bench.set_up(again, recorded=False, beside=compiling)
    late = plan_one_late(bench, options.rounds)
    starting = Series("importing dbt, no more")
    for _ in range(options.rounds):
        timed(starting, bench.start)
    return [compiling, first, later, recording, again, cold_compile, cold_plan, late, starting]


def plan_one_late(bench: Bench, rounds: int) -> Series:
    """Return how long dbt takes to plan one node of a run whose project was parsed by setup."""
    series = Series("one node, late")
    invocation = DbtInvocation(
        project_config=ProjectConfig(
            bench.project, env_vars={"BENCH_KEY_FILE": str(bench.folder / "key.json")}
        ),
        profile_config=ProfileConfig("bench", "dev", profiles_yml_filepath=bench.project / "profiles.yml"),
        execution_config=ExecutionConfig(dbt_executable_path=bench.dbt),
        append_env=False,
    )
    with open_dbt(
        invocation,
        Processes(lambda line: None),
        cache_dir=bench.folder / "cache" / "cosmos_async",
        endpoint=bench.google.bigquery_endpoint,
    ) as dbt:
        plan = record_plan(dbt, dag_id="bench", run_id="run").plan
        assert plan.parsed is not None
        parsed = plan.parsed.read_bytes()

        def work() -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            late = plan_late(dbt, {LATE: "It was asked for."}, run=plan.run, parsed=parsed)
            assert late.nodes[LATE].level is not Level.DBT
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        for _ in range(rounds):
            timed(series, work)
    return series


def _forget(bench: Bench) -> None:
    # What was built is gone: the next run is a first one.
    if bench.google.catalog.dataset(PROJECT_ID, DATASET) is not None:
        bench.google.catalog.remove_dataset(PROJECT_ID, DATASET, contents=True)


def timed(series: Series, work: Callable[[], float], *, beside: Series | None = None) -> None:
    """Add one measurement to *series*, and its ratio to the last one of *beside*."""
    began = time.perf_counter()
    cpu = work()
    series.add(Timed(time.perf_counter() - began, cpu), beside=beside)


def print_table(series: Sequence[Series], *, beside: str) -> None:
    """Print what each command took, and its ratio to what it is compared with."""
    print(
        f"{'median (range)':<28}{'wall time':>26}{f'x {beside}':>22}{'processor time':>26}{f'x {beside}':>22}"
    )
    for one in series:
        columns = [
            (one.seconds, " s", 26),
            (one.ratios, "", 22),
            (one.cpu, " s", 26),
            (one.cpu_ratios, "", 22),
        ]
        print(
            f"{one.name:<28}" + "".join(f"{spread(values, unit):>{width}}" for values, unit, width in columns)
        )


def report(series: list[Series], options: argparse.Namespace, levels: dict[str, int]) -> None:
    """Print the table and write the JSON."""
    nodes = options.models * (1 + TESTS_EACH)
    print(
        f"\n{options.models} models and {options.models * TESTS_EACH} tests on dbt {options.dbt}, "
        f"{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}, "
        f"stand-in with {options.latency_ms:g} ms per request; {options.rounds} rounds, interleaved."
    )
    print(
        f"Of {nodes} nodes, by level: " + ", ".join(f"{n} {level}" for level, n in levels.items() if n) + "\n"
    )
    print_table(series, beside="dbt compile")
    print(
        f"\nThe goals are {GOAL:g}x at most, once the project is parsed, and {LATE_GOAL:g} s for a node planned late."
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "models": options.models,
        "tests": options.models * TESTS_EACH,
        "dbt": options.dbt,
        "cores": os.cpu_count(),
        "latency_ms": options.latency_ms,
        "levels": levels,
        "goal": GOAL,
        "late_goal": LATE_GOAL,
        "series": [asdict(one) for one in series],
    }
    options.out.write_text(json.dumps(document, indent=2) + "\n")
    print(f"All measurements are in {options.out}.")


def spread(values: list[float], unit: str) -> str:
    """Return the median of some values, and their range."""
    if not values:
        return "-"
    middle = f"{statistics.median(values):.2f}{unit}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.2f}-{max(values):.2f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure planning beside `dbt compile`.")
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dbt", default=NEWEST, help="one of the checkout's dbt environments")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="what every request waits")
    parser.add_argument("--out", type=Path, default=ROOT / ".bench" / "planning.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
