"""
Subprocesses: start one, listen to it, end it.

A process never goes through a shell, never outlives its task and never shows a secret: its lines are masked before
anybody sees them. Nothing here knows dbt but the few words by which its error messages begin.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmos_async.exceptions import DbtError

logger = logging.getLogger(__name__)

GRACE = 10.0  # seconds between one signal and the next harder one
TAIL = 80  # lines kept for an error message
SHORTEST_SECRET = 4  # characters; hiding shorter ones would hide half of every line

OnLine = Callable[[str], None]

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TIMESTAMP = re.compile(r"^\d\d:\d\d:\d\d(\.\d+)?(\s\s?|$)")
# How dbt, dbt 2, click, pip and uv begin to say what is wrong.
_ERROR_BEGINS = re.compile(
    r"Encountered an error|^\[error\]|^\s*\w+ Error\b|^Usage: |^\s*error: |^ERROR: |^Error: |^Traceback |^\s*\u00d7 ",
    re.MULTILINE,
)
_WORDS = 25  # lines of an error message


@dataclass(frozen=True)
class Finished:
    """How a process ended."""

    exit_code: int  #: negative: the signal that ended it
    tail: tuple[str, ...]  #: its last lines, masked

    @property
    def words(self) -> str:
        """What the process itself said was wrong: its error message, or its last lines."""
        lines = [_TIMESTAMP.sub("", line) for line in self.tail]
        begins = next((at for at, line in enumerate(lines) if _ERROR_BEGINS.search(line)), None)
        picked = lines[-_WORDS // 2 :] if begins is None else lines[begins : begins + _WORDS]
        return "\n".join(picked).strip() or "it said nothing"


class Processes:
    """
    The processes of one task, one after the other.

    Args:
        on_line: Is given every line, without its line end, its colours and its secrets.
        grace: Seconds between SIGINT, SIGTERM and SIGKILL.
    """

    def __init__(self, on_line: OnLine, *, grace: float = GRACE) -> None:
        self.on_line = on_line
        self._grace = grace
        self._terminated = False
        self._current: _Child | None = None

    def run(
        self, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], secrets: Iterable[str] = ()
    ) -> Finished:
        """
        Run *command* and return once it has ended and all of its lines were seen.

        The process gets exactly *env*, a process group of its own and a standard input that ends with this process.

        Raises:
            DbtError: The program cannot be started, or the task was killed.
        """
        self._refuse_if_terminated()
        mask = masker(secrets)
        tail: deque[str] = deque(maxlen=TAIL)
        child = self._start(command, cwd=cwd, env=env)
        try:
            if self._terminated:  # killed while it was being started
                child.terminate(self._grace)
            for line in child.lines():
                line = mask(line)
                tail.append(line)
                self.on_line(line)
            exit_code = child.wait()
        except BaseException:
            # Whatever ends the task ends the process, too.
            child.kill(self._grace)
            raise
        finally:
            self._current = None
            child.close()
        self._refuse_if_terminated()
        return Finished(exit_code, tuple(tail))

    def terminate(self) -> None:
        """
        End the running process and start no other. Returns at once; may be called by a signal handler.

        SIGINT comes first: it makes dbt cancel its queries in BigQuery.
        """
        self._terminated = True
        child = self._current
        if child is not None:
            child.terminate(self._grace)

    def _start(self, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> _Child:
        try:
            self._current = _Child([str(part) for part in command], cwd=cwd, env=env)
        except OSError as error:
            raise DbtError(
                f"{command[0]} cannot be started in {cwd}: {error.strerror}. Check that it exists on this worker and "
                "may be executed."
            ) from error
        return self._current

    def _refuse_if_terminated(self) -> None:
        if self._terminated:
            raise DbtError("The task was killed, so dbt was stopped.")


def to_log(log: Any) -> OnLine:
    """Return what writes lines to Airflow's log of a task, which has a time of its own: without dbt's, and no empty ones."""

    def on_line(line: str) -> None:
        text = _TIMESTAMP.sub("", line)
        if text.strip():
            (log.warning if text.startswith("[WARNING]") else log.info)("%s", text)

    return on_line


class _Child:
    """One started process."""

    def __init__(self, command: list[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self._ended = threading.Event()
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            # Our scripts read it, and so does who looks after dbt 2 (``follow``): its end tells them that this process is
            # gone, even by SIGKILL.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def lines(self) -> Iterable[str]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield _ANSI.sub("", line.decode("utf-8", "replace")).rstrip()

    def wait(self) -> int:
        exit_code = self._process.wait()
        self._ended.set()
        return exit_code

    def terminate(self, grace: float) -> None:
        # In a thread: a signal handler must return, as the code it interrupted is what notices the end.
        threading.Thread(target=self._escalate, args=(grace,), name="end-dbt", daemon=True).start()

    def kill(self, grace: float) -> None:
        """End the process and return when it has ended."""
        self._signal(signal.SIGINT)
        for harder in (signal.SIGTERM, signal.SIGKILL):
            try:
                self._process.wait(grace)
                break
            except subprocess.TimeoutExpired:
                self._signal(harder)
        self.wait()

    def close(self) -> None:
        self._ended.set()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _escalate(self, grace: float) -> None:
        for hard in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            self._signal(hard)
            if self._ended.wait(grace):
                return

    def _signal(self, number: signal.Signals) -> None:
        if self._ended.is_set():  # its id may be another's by now
            return
        logger.info("sending %s to process %d", number.name, self._process.pid)
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            logger.debug("process %d has ended already", self._process.pid)


def masker(secrets: Iterable[str]) -> Callable[[str], str]:
    """
    Return a function that replaces *secrets* in a line by ``***``.

    A secret of several lines, such as a private key, is recognised in each of them, and as JSON writes it.
    """
    hidden: set[str] = set()
    for secret in secrets:
        hidden.update((secret, json.dumps(secret)[1:-1], *secret.splitlines(), *secret.split("\\n")))
    parts = sorted((part.strip() for part in hidden), key=len, reverse=True)
    parts = [part for part in parts if len(part) >= SHORTEST_SECRET]
    if not parts:
        return lambda line: line
    pattern = re.compile("|".join(re.escape(part) for part in parts))
    return lambda line: pattern.sub("***", line)


def is_locked(path: Path) -> bool:
    """Return whether a living process holds a lock on the file *path*; a file that is not there has none."""
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
