"""
A whole run, side by side: `python -m tests.bench.whole`, or `make bench-run`.

A project in layers, each model with tests or without, on a real Airflow with a stand-in whose jobs take a given time and whose
requests wait for 60 ms. In one sitting it is built by whom `--only` names:

dbt-16, dbt-64   `dbt build` with so many threads
watcher          Cosmos in its mode WATCHER: one task runs `dbt build`, the others wait for what it tells
unchanged        ours as nothing has changed since the run before: its plan is used again, and tasks go ahead of Airflow
changed          ours as a model has changed, and Airflow has parsed the DAG since: setup runs dbt
no-reuse         ours without the setting `reuse_plans`, nothing changed
no-ahead         ours without the setting `run_ahead`, nothing changed
neither          ours without both
no-assume        ours without the setting `assume_unchanged`, nothing changed: with --late, workers plan nodes at their turn

What is told of each: seconds from the run's start to its end, the ratios to `dbt build --threads 64` and to the critical path
(the jobs that wait for one another), the seconds to its first job and from its last job to the end, the seconds for which tasks
held a worker, and the CPU seconds of all of Airflow, or of dbt.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from tests.bench.contenders import NAMES, QUICK, Bench, measured
from tests.bench.figures import Figures, write
from tests.bench.layered import TESTS, Case
from tests.bench.runs import Took


def main() -> None:
    """Measure, and print a table of medians for each project."""
    options = _options()
    words = list(NAMES) if "all" in options.only else options.only
    found: list[Figures] = []
    cases = (
        Case(layers=options.layers, width=width, tests=tests, job_ms=options.job_ms, late=options.late)
        for width in options.width
        for tests in options.tests
    )
    about = {"slots": options.slots, "beside": options.beside}
    for case in cases:
        figures = Figures(case)
        found.append(figures)
        with tempfile.TemporaryDirectory() as folder:
            for word, took in measured(Bench(case, options.rounds, **about), words, Path(folder)):
                figures.add(word, took)
                said = f"{took.wall:.1f} s" if isinstance(took, Took) else "failed"
                print(f"  {case.models} models, {case.tests} tests each, {NAMES[word]}: {said}", flush=True)
                if options.json is not None:  # after each, as the next one may be hours away
                    write(options.json, found, measured_at=datetime.now().astimezone().isoformat(), **about)
        print(figures.table(), flush=True)
    if any(figures.failed for figures in found):
        sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(*NAMES, "all"),
        default=QUICK,
        metavar="WHO",
        help=f"of those above, or all; {' '.join(QUICK)} without this",
    )
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument(
        "--width", type=int, nargs="+", default=[8], help="models per layer; several for growth"
    )
    parser.add_argument(
        "--tests", type=int, nargs="+", choices=range(len(TESTS) + 1), default=[1], help="per model"
    )
    parser.add_argument("--job-ms", type=int, default=3000, help="what a model's job takes on average")
    parser.add_argument(
        "--late",
        action="store_true",
        help="all models below the first layer read rows of its first model as they are compiled",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=16, help="tasks that Airflow's workers run at once")
    parser.add_argument(
        "--beside",
        action="store_true",
        help="have Cosmos installed beside ours, and OpenLineage's events written",
    )
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
