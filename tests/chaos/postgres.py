"""
A PostgreSQL of our own, from a wheel, on a loopback port.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.airflow.processes import Processes, free_port, plain_environment

NOBODY = 65534  # PostgreSQL refuses to run as root
NAME = "postgres"


@dataclass
class Postgres:
    """A running server with one database."""

    processes: Processes
    binaries: Path
    data: Path
    port: int

    @property
    def url(self) -> str:
        """The database's address for SQLAlchemy."""
        return f"postgresql+psycopg2://airflow@127.0.0.1:{self.port}/airflow"

    @property
    def dsn(self) -> str:
        """The same for psycopg2."""
        return f"host=127.0.0.1 port={self.port} user=airflow dbname=airflow connect_timeout=5"

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        words = [self.binaries / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.data]
        words += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200"]
        self.processes.start(NAME, [*_as_nobody(), *words], plain_environment(), Path("/"))
        ready = [self.binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        self.processes.wait_until(
            "PostgreSQL answers", lambda: subprocess.run(ready, check=False).returncode == 0, 60
        )

    def stop(self) -> None:
        """End the server as an operator would who is in a hurry: connections break, nothing is lost."""
        self.processes.signal(NAME, signal.SIGINT)
        self.processes.stop(NAME, grace=20)


@contextmanager
def start_postgres(logs: Path) -> Iterator[Postgres]:
    """Start a server with an empty database, and delete it at the end."""
    found = importlib.util.find_spec("pgserver")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("the wheel with PostgreSQL is missing: `make chaos` installs it")
    binaries = Path(next(iter(found.submodule_search_locations))) / "pginstall" / "bin"
    # Not below a test's own folder, which nobody else may enter.
    folder = Path(tempfile.mkdtemp(prefix="cosmos-chaos-pg-"))
    try:
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        data = folder / "data"
        words = [binaries / "initdb", "-D", data, "-U", "airflow", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*_as_nobody(), *words, "--no-locale"], check=True, capture_output=True, cwd="/")
        with Processes(logs) as processes:
            server = Postgres(processes, binaries, data, free_port())
            server.start()
            create = [
                binaries / "createdb",
                "-h",
                "127.0.0.1",
                "-p",
                str(server.port),
                "-U",
                "airflow",
                "airflow",
            ]
            subprocess.run(create, check=True, capture_output=True)
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_nobody() -> list[str]:
    if os.getuid() != 0:
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
