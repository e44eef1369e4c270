"""
Real Airflow processes on one machine, for acceptance tests and the demonstration.

`start_airflow` starts the components of an Airflow 3 (api-server, scheduler, dag-processor, triggerer) or of an
Airflow 2 (scheduler, triggerer) from a given environment, with a metadata database of their own in SQLite. What they
started ends with them, and they end with us.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tests.airflow.metadata import Metadata, TaskState
from tests.airflow.processes import Processes, TimedOut, free_port, plain_environment
from tests.airflow.rest import Rest, segment
from tests.airflow.tasklog import read_task_log

ROOT = Path(__file__).resolve().parents[2]
_JOB_TYPES = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
#: What the UI of Airflow 2 does when a task is marked.
_MARK = """
import sys
from airflow.models.dagbag import DagBag
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
dag_id, run_id, task_id, state = sys.argv[1:]
dag = DagBag(read_dags_from_db=True).get_dag(dag_id)
with create_session() as session:
    dag.set_task_instance_state(
        task_id=task_id, run_id=run_id, state=TaskInstanceState(state), session=session
    )
"""
FINISHED = frozenset({"success", "failed"})
Say = Callable[[str], None]


class DagNotUsable(RuntimeError):
    """A DAG file cannot be imported; the message is its stack trace."""


@dataclass(frozen=True)
class RunEnd:
    """How a DAG run ended."""

    run_id: str
    state: str
    tasks: tuple[TaskState, ...]

    def states(self) -> dict[str, str | None]:
        """Return each task's state."""
        return {task.task_id: task.state for task in self.tasks}

    def failed(self) -> list[str]:
        """Return the tasks that failed."""
        return [task.task_id for task in self.tasks if task.state == "failed"]


@dataclass
class Airflow:
    """
    A running Airflow.

    Everything that reads does so in the metadata database and the log files; everything that acts goes through the
    REST API (3) or the command line (2), as a user's would.
    """

    python: Path
    home: Path
    env: dict[str, str]
    processes: Processes
    metadata: Metadata
    rest: Rest | None  #: None on Airflow 2
    url: str | None
    user: str = "admin"
    password: str = field(default="", repr=False)

    def wait_for_dag(self, dag_id: str, seconds: float = 90) -> None:
        """
        Wait until a DAG has been parsed.

        Raises:
            DagNotUsable: Some DAG file cannot be imported.
            TimedOut: No file defines it.
        """

        def parsed() -> bool:
            if dag_id in self.metadata.dag_ids():
                return True
            for file, trace in self.metadata.import_errors().items():
                if "in the background" in trace:
                    continue  # dbt's environment, or its `ls`; Airflow will import the file again
                raise DagNotUsable(f"{file} cannot be imported:\n{trace}")
            return False

        self.processes.wait_until(f"DAG {dag_id} is parsed", parsed, seconds)

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run of a DAG and return its id."""
        if self.rest:
            body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
            self.rest.post(f"dags/{segment(dag_id)}/dagRuns", body)
        else:
            self.command(
                "dags", "trigger", dag_id, "--run-id", run_id, "--conf", json.dumps(dict(conf or {}))
            )
        return run_id

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        seconds: float = 180,
        watch: Callable[[list[TaskState]], None] | None = None,
    ) -> RunEnd:
        """
        Wait until a run has ended.

        Args:
            watch: Called with the task instances at every look, for showing progress.

        Raises:
            TimedOut: It has not; the message lists the tasks and their states.
        """

        def ended() -> str | None:
            if watch:
                watch(self.metadata.tasks(dag_id, run_id))
            state = self.metadata.run_state(dag_id, run_id)
            return state if state in FINISHED else None

        try:
            state = self.processes.wait_until(f"run {run_id} of {dag_id} has ended", ended, seconds)
        except TimedOut as error:
            raise TimedOut(f"{error}\n{self._states(dag_id, run_id)}") from None
        return RunEnd(run_id, state, tuple(self.metadata.tasks(dag_id, run_id)))

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, states: set[str], seconds: float = 90
    ) -> TaskState:
        """
        Wait until a task is in one of *states*, and return it.

        Raises:
            TimedOut: It is not; the message lists the tasks and their states.
        """

        def look() -> TaskState | None:
            found = (task for task in self.metadata.tasks(dag_id, run_id) if task.task_id == task_id)
            return next((task for task in found if task.state in states), None)

        try:
            return self.processes.wait_until(f"{task_id} is {' or '.join(sorted(states))}", look, seconds)
        except TimedOut as error:
            raise TimedOut(f"{error}\n{self._states(dag_id, run_id)}") from None

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int | None = None) -> str:
        """Return a task's log, all tries or one of them, as lines a person reads."""
        return read_task_log(self.home / "logs", dag_id, run_id, task_id, try_number)

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Set a task's state, as the button in the UI does."""
        if self.rest:
            self.rest.patch(
                f"dags/{segment(dag_id)}/dagRuns/{segment(run_id)}/taskInstances/{segment(task_id)}",
                {"new_state": state},
            )
        else:
            words = ["-W", "ignore", "-c", _MARK, dag_id, run_id, task_id, state]
            _run([self.python, *words], self.env, self.home)

    def clear(self, dag_id: str, run_id: str, task_ids: list[str], downstream: bool = False) -> None:
        """Clear tasks of a run, as the button in the UI does."""
        if self.rest:
            body = {
                "dry_run": False,
                "dag_run_id": run_id,
                "task_ids": task_ids,
                "only_failed": False,
                "include_downstream": downstream,
            }
            self.rest.post(f"dags/{segment(dag_id)}/clearTaskInstances", body)
        else:
            pattern = "^(" + "|".join(task_ids).replace(".", r"\.") + ")$"
            extra = ["--downstream"] if downstream else []
            self.command("tasks", "clear", dag_id, "--task-regex", pattern, "--yes", *extra)

    def clear_alone(self, dag_id: str, run_id: str, task_id: str) -> None:
        """
        Clear one task and nothing else.

        Airflow 3.1 and 3.2 do so where somebody clears a task; the others clear its setup and its teardowns along.
        """
        answer = subprocess.run(
            [self.python, "-W", "ignore", "-c", _CLEAR_ALONE, dag_id, run_id, task_id],
            env=dict(self.env), cwd=self.home, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if answer.returncode:
            raise RuntimeError(f"clearing {dag_id}.{task_id} failed:\n{answer.stderr[-3000:]}")

    def command(self, *words: str) -> str:
        """
        Run ``airflow`` with these words and return what it printed.

        Raises:
            RuntimeError: It failed; the message is what it printed.
        """
        return _run_airflow(self.python, self.env, self.home, *words)

    def _states(self, dag_id: str, run_id: str) -> str:
        tasks = self.metadata.tasks(dag_id, run_id)
        return "\n".join(f"{task.state or '-':<16} try {task.try_number} {task.task_id}" for task in tasks)


@contextmanager
def start_airflow(
    python: Path,
    home: Path,
    dags: Path,
    *,
    connections: Mapping[str, Mapping[str, Any]] | None = None,
    env: Mapping[str, str] | None = None,
    say: Say = lambda text: None,
) -> Iterator[Airflow]:
    """
    Start Airflow and yield it once all its components are well.

    Args:
        python: The interpreter of an environment with Airflow 2.8 to 3.3 in it.
        home: A folder for its database and logs; an existing database is used again.
        dags: The folder with DAG files.
        connections: Airflow connections by id, each as the fields of Airflow's JSON format.
        env: More variables of the environment, such as ``AIRFLOW__COSMOS_ASYNC__...``.
        say: Told what happens.

    Raises:
        ProcessEnded: A component ended at once.
        TimedOut: A component did not become well.
    """
    home.mkdir(parents=True, exist_ok=True)
    version = _version(python)
    modern = version >= (3,)
    port = free_port()
    password = secrets.token_urlsafe(9)
    settings = _settings(home, dags, port, password, modern)
    connected = {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in (connections or {}).items()
    }
    environment = {**plain_environment(), **settings, **connected, **(env or {})}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), (env or {}).get("PYTHONPATH")]))
    say(f"Airflow {'.'.join(map(str, version))}: metadata database")
    _run_airflow(python, environment, home, "db", "migrate")
    with closing(sqlite3.connect(home / "airflow.db")) as database:
        # Readers and one writer at a time, as several processes need it. The file remembers.
        database.execute("pragma journal_mode = wal")

    url = f"http://127.0.0.1:{port}" if modern else None
    with Processes(home / "component-logs") as processes:
        airflow = Airflow(
            python=python,
            home=home,
            env=environment,
            processes=processes,
            metadata=Metadata(home / "airflow.db"),
            rest=Rest(url, "admin", password) if url else None,
            url=url,
            password=password,
        )
        begun = datetime.now(timezone.utc) - timedelta(seconds=1)
        components = (
            ["api-server", "scheduler", "dag-processor", "triggerer"]
            if modern
            else ["scheduler", "triggerer"]
        )
        for name in components:
            start_component(airflow, name)
        say(f"Airflow {'.'.join(map(str, version))}: waiting for {', '.join(components)}")
        if airflow.rest:
            processes.wait_until("the api-server answers", airflow.rest.alive, 300)
        wanted = {_JOB_TYPES[name] for name in components if name in _JOB_TYPES}
        processes.wait_until("every component beats", lambda: wanted <= airflow.metadata.beating(begun), 300)
        yield airflow


def start_component(airflow: Airflow, name: str) -> None:
    """Start one component, such as ``triggerer``; after a stop also a second time."""
    # Logs lie on this machine; serving them would take fixed ports.
    extra = {
        "api-server": ["--workers", "1"],
        "scheduler": ["--skip-serve-logs"],
        "triggerer": ["--skip-serve-logs"],
    }
    airflow.processes.start(
        name,
        [airflow.python, "-W", "ignore", "-m", "airflow", name, *extra.get(name, [])],
        airflow.env,
        airflow.home,
    )


def _settings(home: Path, dags: Path, port: int, password: str, modern: bool) -> dict[str, str]:
    """Return Airflow's settings as variables of the environment."""
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({"admin": password}))
    passwords.chmod(0o600)
    settings = {
        "CORE__DAGS_FOLDER": dags,
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": 3,
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": 64,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": passwords,
        # A patient wait for the write lock: SQLite has one for the whole database.
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
        "LOGGING__BASE_LOG_FOLDER": home / "logs",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.5,
        "SCHEDULER__CATCHUP_BY_DEFAULT": False,
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    if modern:
        secret = secrets.token_hex(32)
        settings |= {
            "API__HOST": "127.0.0.1",
            "API__PORT": port,
            "API__BASE_URL": f"http://127.0.0.1:{port}",
            "API__SECRET_KEY": secret,
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "DAG_PROCESSOR__REFRESH_INTERVAL": 5,
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 30,
            "DAG_PROCESSOR__PARSING_PROCESSES": 1,
            "TRIGGERER__CAPACITY": 1000,
        }
    else:
        settings |= {
            "SCHEDULER__DAG_DIR_LIST_INTERVAL": 5,
            "SCHEDULER__MIN_FILE_PROCESS_INTERVAL": 30,
            "SCHEDULER__PARSING_PROCESSES": 1,
            "METRICS__TIMER_UNIT_CONSISTENCY": True,
        }
    variables = {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}
    # With write-ahead logging and patience SQLite serves a few local processes; Airflow 2 refuses it before trying.
    return {
        **variables,
        "AIRFLOW_HOME": str(home),
        "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
    }


def _version(python: Path) -> tuple[int, ...]:
    """Return the major and minor version of the Airflow that belongs to an interpreter."""
    code = "from importlib.metadata import version; print(version('apache-airflow-core'))"
    old = code.replace("-core", "")
    for source in (code, old):
        answer = subprocess.run([python, "-I", "-c", source], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return tuple(int(part) for part in answer.stdout.split(".")[:2])
    raise DagNotUsable(f"there is no Airflow beside {python}: {answer.stderr.strip()[-300:]}")


_CLEAR_ALONE = """
import sys
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.utils.session import create_session

dag_id, run_id, task_id = sys.argv[1:]
with create_session() as session:
    found = session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id, task_id=task_id).all()
    assert found, f"there is no {task_id}"
    clear_task_instances(found, session)
"""


def _run_airflow(python: Path, env: Mapping[str, str], home: Path, *words: str) -> str:
    """Run one command of Airflow to its end and return what it printed."""
    return _run([python, "-W", "ignore", "-m", "airflow", *words], env, home)


def _run(argv: list[str | Path], env: Mapping[str, str], home: Path) -> str:
    answer = subprocess.run(
        argv, env=dict(env), cwd=home, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if answer.returncode:
        raise RuntimeError(
            f"{' '.join(map(str, argv[3:]))} failed:\n{answer.stdout[-3000:]}\n{answer.stderr[-3000:]}"
        )
    return answer.stdout
