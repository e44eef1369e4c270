"""
What is broken: Airflow 3.3 with two triggerers on PostgreSQL, and the stand-in; components that die are started again.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras

from tests.airflow.guardian import _descendants as descendants
from tests.airflow.harness import ROOT, _run_airflow, _settings
from tests.airflow.processes import Processes, TimedOut, free_port, plain_environment
from tests.airflow.rest import Rest, RestError, segment
from tests.chaos.postgres import Postgres, start_postgres
from tests.chaos.warehouse import BUCKET

TRIGGERERS = ("triggerer-a", "triggerer-b")
COMPONENTS = ("api-server", "scheduler", "dag-processor", *TRIGGERERS)
Row = dict[str, Any]


@dataclass
class World:
    """Everything that runs."""

    folder: Path
    env: dict[str, str]
    processes: Processes
    postgres: Postgres
    rest: Rest
    control: str  #: where the stand-in takes orders
    say: Callable[[str], None]
    down: set[str] = field(default_factory=set)  #: components that are not to be started again yet
    restarts: list[tuple[float, str]] = field(default_factory=list)

    # -- components ---------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start a component."""
        command = "triggerer" if name in TRIGGERERS else name
        extra = {"api-server": ["--workers", "1"], "scheduler": ["--skip-serve-logs"]}
        words = [sys.executable, "-W", "ignore", "-m", "airflow", command, *extra.get(command, [])]
        if command == "triggerer":
            words.append("--skip-serve-logs")
        self.down.discard(name)
        self.processes.start(name, words, self.env, self.folder)

    def signal(self, name: str, number: int, *, tree: bool = False) -> None:
        """
        Send a component a signal; one that is gone is left alone.

        Args:
            name: Which.
            number: The signal.
            tree: To everything below it as well, as when a whole machine freezes or dies.
        """
        pid = self.processes.pids[name]
        for each in [*(descendants(pid) if tree else ()), pid]:
            with suppress(ProcessLookupError):
                os.kill(each, number)

    def revive(self) -> None:
        """Start again what has ended by itself, as a supervisor would."""
        for name in COMPONENTS:
            if name in self.processes.exited and name not in self.down:
                self.restarts.append((time.time(), name))
                self.start(name)

    # -- Airflow ------------------------------------------------------------------------------------------------------

    def rows(self, query: str, *values: Any) -> list[Row]:
        """Return what the metadata database answers."""
        connection = psycopg2.connect(self.postgres.dsn)
        try:
            with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                cursor.execute(query, values)
                return [dict(row) for row in cursor.fetchall()]
        finally:
            connection.close()

    def tasks(self, dag_id: str, run_id: str) -> dict[str, Row]:
        """Return a run's task instances by id: their state, their try, who has their trigger and whether that one lives."""
        rows = self.rows(
            "select task_instance.task_id, task_instance.state, try_number, triggerer_id, "
            "coalesce(job.state = 'running' and job.latest_heartbeat > now() - interval '8 seconds', false) as beats "
            "from task_instance left join trigger on trigger.id = trigger_id "
            "left join job on job.id = trigger.triggerer_id "
            "where task_instance.dag_id = %s and run_id = %s",
            dag_id,
            run_id,
        )
        return {row["task_id"]: row for row in rows}

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        """Return a run's state."""
        rows = self.rows("select state from dag_run where dag_id = %s and run_id = %s", dag_id, run_id)
        return rows[0]["state"] if rows else None

    def trigger(self, dag_id: str, run_id: str, *, mark: str = "", ahead: bool = False) -> None:
        """Start a run; *mark* is written into all of its SQL, and with *ahead* tasks begin ahead of Airflow."""
        conf = {**({"mark": mark} if mark else {}), **({"ahead": True} if ahead else {})}
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        self.rest.post(f"dags/{segment(dag_id)}/dagRuns", body)

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Set a task's state, as the button in the UI does."""
        path = f"dags/{segment(dag_id)}/dagRuns/{segment(run_id)}/taskInstances/{segment(task_id)}"
        self.rest.patch(path, {"new_state": state})

    def mark_run(self, dag_id: str, run_id: str, state: str) -> None:
        """Set a run's state."""
        self.rest.patch(f"dags/{segment(dag_id)}/dagRuns/{segment(run_id)}", {"state": state})

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Delete a run."""
        self.rest.delete(f"dags/{segment(dag_id)}/dagRuns/{segment(run_id)}")

    def clear(self, dag_id: str, run_id: str, task_ids: list[str], *, downstream: bool = False) -> None:
        """Clear tasks of a run, as the button in the UI does."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": task_ids,
            "only_failed": False,
            "include_downstream": downstream,
        }
        self.rest.post(f"dags/{segment(dag_id)}/clearTaskInstances", body)

    def wait(self, what: str, look: Callable[[], Any], seconds: float, every: float = 0.3) -> Any:
        """
        Look until there is something to see, reviving what dies; a database that is down is waited for.

        Raises:
            TimedOut: There was nothing for *seconds*.
        """
        deadline = time.monotonic() + seconds
        while True:
            self.revive()
            try:
                found = look()
            except (psycopg2.OperationalError, RestError, OSError):
                found = None
            if found:
                return found
            if time.monotonic() > deadline:
                raise TimedOut(f"{what}: not within {seconds:.0f} s")
            time.sleep(every)

    # -- the stand-in -------------------------------------------------------------------------------------------------

    def faults(self, *, lost: float = 0.0, errors: float = 0.0) -> None:
        """Lose this share of replies, and answer this share of requests with errors."""
        self._control("POST", "/faults", {"lost": lost, "errors": errors})

    def running(self) -> dict[str, float]:
        """Return the jobs that run now, and how many seconds each would go on."""
        found: dict[str, float] = self._control("GET", "/running")
        return found

    def report(self) -> dict[str, Any]:
        """Return all jobs, and all requests that spoke of one."""
        found: dict[str, Any] = self._control("GET", "/report")
        return found

    def outcomes(self, prefix: str) -> dict[str, Any]:
        """Return the outcomes in the store."""
        found: dict[str, Any] = self._control("GET", f"/outcomes?prefix={prefix}")
        return found

    def nonce(self, dag_id: str, run_id: str, setup: str = "plan") -> str:
        """Return what tells the planned run from others, which is part of its jobs' ids; nothing before it is planned."""
        found: dict[str, str] = self._control("GET", f"/nonces?prefix=dbt/{dag_id}/{setup}/{run_id}/")
        return next(iter(found.values()), "")

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.control + path, data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())


@contextmanager
def start_world(folder: Path, *, nodes: int, seed: int, say: Callable[[str], None]) -> Iterator[World]:
    """
    Start everything and yield it once it is well.

    Args:
        folder: For databases, logs and keys.
        nodes: How many nodes the big DAG has.
        seed: Where the stand-in's chances start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    home, logs = folder / "airflow", folder / "component-logs"
    home.mkdir(exist_ok=True)
    with ExitStack() as stack:
        postgres = stack.enter_context(start_postgres(logs / "postgres"))
        processes = stack.enter_context(Processes(logs))
        say("chaos: PostgreSQL is up; starting the stand-in")
        key_file = folder / "key.json"
        words = [sys.executable, "-m", "tests.chaos.warehouse", "--key-file", key_file, "--seed", str(seed)]
        processes.start("stand-in", words, {**plain_environment(), "PYTHONPATH": str(ROOT)}, ROOT)

        def ready() -> Row | None:
            lines = processes.tail("stand-in", 1000).splitlines()
            return next((json.loads(line) for line in lines if line.startswith('{"endpoint"')), None)

        stand_in = processes.wait_until("the stand-in answers", ready, 60)
        port = free_port()
        connection = {
            "conn_type": "google_cloud_platform",
            "extra": {"project": "p", "keyfile_dict": key_file.read_text()},
        }
        settings = _settings(home, ROOT / "tests/chaos/dags", port, "chaos", modern=True)
        env = {
            **plain_environment(),
            **settings,
            "AIRFLOW_CONN_GOOGLE_CLOUD": json.dumps(connection),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url,
            "AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH": f"gs://{BUCKET}/dbt",
            "AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT": stand_in["endpoint"],
            "AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT": stand_in["endpoint"],
            "AIRFLOW__COSMOS_ASYNC__CACHE_DIR": str(folder / "cache"),
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
            "AIRFLOW__CORE__PARALLELISM": "2",
            # Few at a time, so that both triggerers get their share.
            "AIRFLOW__TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP": "20",
            "CHAOS_NODES": str(nodes),
            "PYTHONPATH": str(ROOT),
        }
        say("chaos: migrating the metadata database")
        _run_airflow(Path(sys.executable), env, home, "db", "migrate")
        world = World(
            folder=home,
            env=env,
            processes=processes,
            postgres=postgres,
            rest=Rest(f"http://127.0.0.1:{port}", "admin", "chaos"),
            control=stand_in["control"],
            say=say,
        )
        for name in COMPONENTS:
            world.start(name)
        say(f"chaos: waiting for {', '.join(COMPONENTS)}")
        world.wait("the api-server answers", world.rest.alive, 180)
        world.wait(
            "both triggerers beat",
            lambda: (
                len(world.rows("select id from job where job_type = 'TriggererJob' and state = 'running'"))
                >= len(TRIGGERERS)
            ),
            180,
        )
        world.wait(
            "the DAGs are parsed", lambda: len(world.rows("select dag_id from serialized_dag")) >= 6, 180
        )
        yield world
