"""
Child processes that end with us, whatever happens to us: the asker's side of :mod:`guardian`.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class ProcessEnded(RuntimeError):
    """A process that should run has ended; the message shows the end of its log."""


class TimedOut(RuntimeError):
    """Something did not happen in time; the message says what and shows what is known."""


class Processes:
    """
    Named processes with a log each; all of them end when this object is closed or this interpreter is gone.

    Args:
        logs: The folder for their logs; made if it is missing.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.pids: dict[str, int] = {}
        self._exits: dict[str, int] = {}
        self._guardian: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Processes:
        self.logs.mkdir(parents=True, exist_ok=True)
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("guardian.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="guardian's answers", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process and wait until they are gone; a second call does nothing."""
        if self._guardian is None:
            return
        guardian, self._guardian = self._guardian, None
        assert guardian.stdin
        assert guardian.stdout
        assert self._reader
        guardian.stdin.close()
        guardian.wait()
        self._reader.join()
        guardian.stdout.close()
        self.pids.clear()

    def start(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> int:
        """
        Start a process and return its id.

        Raises:
            ProcessEnded: It could not be started.
        """
        self._exits.pop(name, None)
        answer = self._ask(
            {
                "start": name,
                "argv": [str(word) for word in argv],
                "env": dict(env),
                "cwd": str(cwd),
                "log": str(self.log_file(name)),
            }
        )
        if answer["pid"] is None:
            raise ProcessEnded(f"{name} could not be started: {answer['error']}")
        self.pids[name] = int(answer["pid"])
        return self.pids[name]

    def stop(self, name: str, grace: float = 3.0) -> None:
        """End one process and what it started: SIGTERM first, SIGKILL after *grace* seconds."""
        if self.pids.pop(name, None) is not None and name not in self._exits:
            self._ask({"stop": name, "grace": grace})

    def signal(self, name: str, number: int) -> None:
        """Send one process a signal, such as SIGKILL or SIGSTOP."""
        self._ask({"signal": name, "number": number})

    @property
    def exited(self) -> frozenset[str]:
        """The processes that have ended by themselves, or by somebody else's signal."""
        return frozenset(name for name in self._exits if name in self.pids)

    def check(self) -> None:
        """
        Make sure that everything which was started still runs.

        Raises:
            ProcessEnded: Something does not.
        """
        for name, code in self._exits.items():
            if name in self.pids:
                raise ProcessEnded(
                    f"{name} has ended with {code}. The end of {self.log_file(name)}:\n{self.tail(name)}"
                )

    def log_file(self, name: str) -> Path:
        """Return where a process writes."""
        return self.logs / f"{name}.log"

    def tail(self, name: str, lines: int = 30) -> str:
        """Return the last *lines* of a process' log."""
        path = self.log_file(name)
        if not path.exists():
            return "(no log)"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])

    def tails(self) -> str:
        """Return the ends of all logs, for an error message."""
        return "\n".join(f"--- {self.log_file(name)}\n{self.tail(name, 15)}" for name in self.pids)

    def wait_until(self, what: str, look: Callable[[], T | None], seconds: float, every: float = 0.25) -> T:
        """
        Look until there is something to see, and return it.

        Raises:
            TimedOut: There was nothing for *seconds*.
            ProcessEnded: A process ended meanwhile.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            self.check()
            if time.monotonic() > deadline:
                raise TimedOut(f"{what}: not within {seconds:.0f} s\n{self.tails()}")
            time.sleep(every)

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        if self._guardian is None or self._guardian.stdin is None:
            raise ProcessEnded("the processes have been closed")
        self._guardian.stdin.write(json.dumps(order) + "\n")
        self._guardian.stdin.flush()
        return self._answers.get(timeout=60)

    def _read(self) -> None:
        assert self._guardian
        assert self._guardian.stdout
        for line in self._guardian.stdout:
            answer = json.loads(line)
            if "exited" in answer:
                self._exits[answer["exited"]] = answer["code"]
            else:
                self._answers.put(answer)


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def plain_environment() -> dict[str, str]:
    """Return this process' environment without what could steer Airflow, dbt, Google's clients or Python."""
    steering = (
        "AIRFLOW",
        "_AIRFLOW",
        "DBT_",
        "GOOGLE_",
        "CLOUDSDK_",
        "BIGQUERY_",
        "STORAGE_",
        "PYTHON",
        "PYTEST",
    )
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(steering) and key.lower() not in proxies
    }
    return {**kept, "PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1,localhost"}
