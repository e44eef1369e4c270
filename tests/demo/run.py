"""
The demonstration: a dbt project on a local warehouse, run by a real Airflow without a waiting worker.

``make demo`` runs this script in Airflow's environment. Everything it keeps is in ``.demo/``; interrupting it ends
every process it started.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from tests.airflow.harness import DagNotUsable  # noqa: E402 - sys.path had to be set first
from tests.airflow.processes import ProcessEnded, TimedOut  # noqa: E402
from tests.airflow.stage import start_stage  # noqa: E402
from tests.demo.report import print_mart, print_nodes, print_worker_seconds  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.airflow.metadata import TaskState
    from tests.airflow.stage import Stage

DAG_ID = "shop"
DAYS = {
    1: "first run: everything is built from nothing",
    2: "second run, a day later: new orders, changed orders, incremental models",
}
BEGAN = time.monotonic()


def say(text: str) -> None:
    """Print one line of progress, with the seconds since the beginning."""
    print(f"{time.monotonic() - BEGAN:6.1f} s  {text}", flush=True)


class Progress:
    """Prints every task once, when it ends."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def __call__(self, tasks: list[TaskState]) -> None:
        """Look at the run's tasks."""
        ended = [task for task in tasks if task.ended and task.state and task.task_id not in self._shown]
        for task in ended:
            self._shown.add(task.task_id)
            place = "worker" if task.pid else "triggerer"
            say(f"  [{len(self._shown):>2}/{len(tasks)}] {task.task_id:<34} {task.state:<16} {place}")


def play(stage: Stage) -> bool:
    """Run the DAG once per day and report; return whether all went well."""
    for day, title in DAYS.items():
        print(f"\n=== {title} ===\n", flush=True)
        run_id = f"day-{day}"
        stage.airflow.trigger(DAG_ID, run_id, {"day": day})
        end = stage.airflow.wait_for_run(DAG_ID, run_id, 600, Progress())
        say(f"run {run_id}: {end.state}")
        print_nodes(stage, DAG_ID, end)
        print_worker_seconds(end)
        if end.state != "success":
            print_failures(stage, end.run_id, end.failed())
            return False
    print_mart(stage.warehouse)
    return True


def print_failures(stage: Stage, run_id: str, task_ids: list[str]) -> None:
    """Print the end of each failed task's log."""
    for task_id in task_ids:
        lines = stage.airflow.log(DAG_ID, run_id, task_id).splitlines()
        print(f"\n--- the end of {task_id}'s log\n" + "\n".join(lines[-25:]), flush=True)


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """
    Own the state folder, emptied.

    Raises:
        SystemExit: Another demonstration uses it.
    """
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(
                f"Another demonstration is using {state}. End it (Ctrl-C where it runs), then try again."
            )
        for old in state.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
        yield


def keep(stage: Stage) -> None:
    """Say where everything is and wait to be interrupted."""
    airflow = stage.airflow
    print(f"\nAirflow's UI:  {airflow.url}/dags/{DAG_ID}")
    print(f"login:         {airflow.user} / {airflow.password}")
    print(f"warehouse:     {stage.warehouse.endpoint} (BigQuery's and Cloud Storage's API)")
    print('Trigger the DAG "shop" with {"day": 1} or {"day": 2}. Ctrl-C ends everything.', flush=True)
    airflow.processes.wait_until("an end", lambda: False, float("inf"), every=1)


def main() -> int:
    """Run the demonstration; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument(
        "--job-ms", type=int, default=0, help="how many milliseconds each BigQuery job takes at least"
    )
    parser.add_argument(
        "--state", type=Path, default=ROOT / ".demo", help="the folder for everything it keeps"
    )
    options = parser.parse_args()
    state: Path = options.state.absolute()
    for number in (signal.SIGINT, signal.SIGTERM):
        # SIGINT too: a shell that starts us in the background lets us ignore it.
        signal.signal(number, signal.default_int_handler)
    try:
        with (
            alone(state),
            start_stage("3.3", state, ROOT / "tests/demo/dags", job_ms=options.job_ms, say=say) as stage,
        ):
            say(f"Airflow is up: {stage.airflow.url} (login {stage.airflow.user} / {stage.airflow.password})")
            stage.airflow.wait_for_dag(DAG_ID)
            say("the DAG file is imported: dbt has listed the project")
            well = play(stage)
            say("done" if well else "the run failed, see above")
            if options.keep:
                keep(stage)
            say("ending all processes")
    except KeyboardInterrupt:
        print("\ninterrupted; all processes have been ended")
        return 130
    except (DagNotUsable, ProcessEnded, TimedOut, FileNotFoundError) as error:
        print(f"\n{error}\n\nThe logs are in {state}.", file=sys.stderr)
        return 1
    say(f"everything has ended. The logs are in {state}.")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
