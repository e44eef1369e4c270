"""
How long the results task takes without dbt, beside the same with it: `python -m tests.bench.results`, or `make bench-results`.

The kitchen project, without its on-run-end hook, is built once on the local warehouse. Then its results are told again and
again, one way after the other in one process, dbt being started as on a worker.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import yaml

from cosmos_async.airflow.compat import DAG
from cosmos_async.operators.results import ResultsAsyncOperator
from tests.fidelity.driver import Bench, Options
from tests.fidelity.ours import RESULTS, Run
from tests.fidelity.own import PROJECTS
from tests.warehouse.fixture import running_warehouse


def seconds(work: Callable[[], object]) -> float:
    """Return how long *work* takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "warehouse").mkdir()
        with running_warehouse(folder / "warehouse", "--bucket", "plans") as warehouse:
            pair = Bench(warehouse, folder / "builds", fork=False).pair("kitchen", PROJECTS / "kitchen")
            file = pair.project / "dbt_project.yml"
            config = yaml.safe_load(file.read_text())
            del config["on-run-end"]
            file.write_text(yaml.safe_dump(config))
            run = Run(pair.ours, Options())
            with run.environment():
                run.build()
                with DAG("fidelity", schedule=None):
                    task = ResultsAsyncOperator(task_id=RESULTS, setup=run._setup())
                ratios = []
                for _ in range(options.rounds):
                    without = seconds(lambda: task.execute(run._context(RESULTS)))
                    with mock.patch("cosmos_async.dbt.results.why_dbt_writes", return_value="it is measured"):
                        by_dbt = seconds(lambda: task.execute(run._context(RESULTS)))
                    ratios.append(by_dbt / without)
                    print(
                        f"without dbt {without:.2f} s, with dbt {by_dbt:.2f} s: {ratios[-1]:.0f} times",
                        flush=True,
                    )
                print(f"median: {statistics.median(ratios):.0f} times")


if __name__ == "__main__":
    main()
