"""
A process that owns others, so that none of them outlives the one who asked for it.

Run as a script: ``python guardian.py``. It reads orders as JSON lines from its standard input and answers on its
standard output. When its input ends - the asker closed it, was interrupted or was killed - it ends every process
below it, grandchildren included, and leaves. It needs the standard library only and sits in a session of its own, so
a Ctrl-C in the terminal reaches the asker alone.

Orders::

    {"start": name, "argv": [...], "env": {...}, "cwd": "...", "log": "..."}   -> {"started": name, "pid": 1}
    {"signal": name, "number": 19}                                            -> {"signalled": name}
    {"stop": name, "grace": 5}                                                -> {"stopped": name, "code": 0}

and, whenever a process ends by itself: ``{"exited": name, "code": 1}``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

GRACE = 3.0  # seconds between asking a process to end and ending it
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    """Call Linux' prctl; other systems have none and go without."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _die_with_parent() -> None:
    """Arrange that this process is killed should the guardian itself be."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _descendants(root: int) -> list[int]:
    """Return the processes below *root*, nearest first; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            # The name in parentheses may hold anything, so count from its end: state, parent.
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.parent.name))
    found = list(children.get(root, ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


class Guardian:
    """The loop: orders in, answers out, no process left behind."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def serve(self) -> None:
        """Carry out orders until the input ends; then end everything."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        unread = b""
        while True:
            if select.select([0], [], [], 0.2)[0]:
                chunk = os.read(0, 65536)
                if not chunk:
                    break
                *lines, unread = (unread + chunk).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
            self._report_exits()
        self._end_all()

    def _obey(self, order: dict[str, Any]) -> None:
        if "start" in order:
            self._start(order)
        elif "signal" in order:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._processes[order["signal"]].pid, order["number"])
            self._say(signalled=order["signal"])
        else:
            process = self._processes.pop(order["stop"])
            self._end({order["stop"]: process}, float(order.get("grace", GRACE)))
            self._say(stopped=order["stop"], code=process.returncode)

    def _start(self, order: dict[str, Any]) -> None:
        name = order["start"]
        with open(order["log"], "ab") as log:
            try:
                self._processes[name] = subprocess.Popen(
                    order["argv"],
                    env=order["env"],
                    cwd=order["cwd"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_die_with_parent,
                )
            except OSError as error:
                self._say(started=name, pid=None, error=str(error))
                return
        self._say(started=name, pid=self._processes[name].pid)

    def _report_exits(self) -> None:
        for name, process in list(self._processes.items()):
            if process.poll() is not None:
                del self._processes[name]
                self._say(exited=name, code=process.returncode)
        # Orphans come to us as the subreaper; nobody else would collect them.
        known = {process.pid for process in self._processes.values()}
        with contextlib.suppress(ChildProcessError, AttributeError):
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None and ended.si_pid not in known:
                os.waitpid(ended.si_pid, os.WNOHANG)

    def _end_all(self) -> None:
        self._end(self._processes, GRACE)
        for pid in _descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _end(self, processes: dict[str, subprocess.Popen[bytes]], grace: float) -> None:
        """Ask, wait, insist: each process, then what it left below it or in its session's group."""
        below = {name: _descendants(process.pid) for name, process in processes.items()}
        for process in processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + grace
        for process in processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        for name, process in processes.items():
            for pid in (process.pid, *below[name], *_descendants(process.pid)):
                if pid != process.pid or process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @staticmethod
    def _say(**answer: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # A handler, for SIG_IGN would be inherited by whatever is started.
        signal.signal(ignored, lambda number, frame: None)
    Guardian().serve()
