"""
A dbt that is imported once and forked for each command: importing it costs more than building a few nodes.

Three roles in one file:

- `forked_dbt` starts the server and returns a `dbt` beside a `python`, as in an environment; the product takes it for one.
- As `forked_dbt.py serve SOCKET`, in dbt's own interpreter, it imports dbt and forks a process for each request.
- As that `python`, it hands its arguments, its environment and its three files to the server, passes signals on, and ends
  as the fork did.

What is run is the same code in a process of its own; what was imported before knows nothing of any project. Where modules
are put before dbt's (PYTHONPATH), it is the real interpreter that is started.
"""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import array
import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_FILES = 3  # standard input, output and error
_LONGEST = 1 << 20  # bytes of one message


def real_dbt(version: str) -> Path:
    """Return dbt's script in one of the checkout's environments."""
    return ROOT / ".venvs" / f"dbt-{version}" / "bin" / "dbt"


@functools.cache
def forked_dbt(version: str) -> Path:
    """
    Start a server for the checkout's environment of a dbt version; return a script that behaves as its ``dbt`` does.

    Beside it is a ``python``. Both are there until this process ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="forked-dbt-"))
    real = real_dbt(version).with_name("python")
    address = folder / "socket"
    server = subprocess.Popen(
        [real, "-P", __file__, "serve", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={key: value for key, value in os.environ.items() if not key.startswith(("DBT_", "PYTHON"))},
        start_new_session=True,
    )
    assert server.stdout is not None
    if not server.stdout.readline():
        raise RuntimeError(f"dbt could not be imported by {real}")
    _servers.append(server)  # its input stays open as long as we live
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f"#!{sys.executable} -IS\n"
        "import runpy, sys\n"
        f"sys.argv = [{__file__!r}, 'ask', {str(address)!r}, {str(real)!r}, *sys.argv[1:]]\n"
        f"runpy.run_path({__file__!r}, run_name='__main__')\n"
    )
    python.chmod(0o755)
    script = python.with_name("dbt")
    script.write_text(f"#!{python}\nfrom dbt.cli.main import cli\ncli()\n")
    script.chmod(0o755)
    return script


_servers: list[Any] = []


def ask(address: str, real: str, arguments: list[str]) -> int:
    """Have the server run *arguments* and return the exit code."""
    if not arguments or arguments[0].startswith("-") or "PYTHONPATH" in os.environ:
        os.execv(real, [real, *arguments])
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.connect(address)
        told = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
        fd, name = tempfile.mkstemp()  # an environment may be longer than a packet
        with os.fdopen(fd, "w") as file:
            json.dump(told, file)
        files = array.array("i", range(_FILES))
        channel.sendmsg([name.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _frame: channel.send(struct.pack("i", number)))
        answer = channel.recv(16)
    return struct.unpack("i", answer)[0] if answer else 1


def serve(address: str) -> None:
    """Import dbt, say so, and fork for each request until standard input ends."""
    for name in ("dbt.adapters.bigquery", "dbt.cli.main", "dbt.task.build", "google.cloud.bigquery"):
        importlib.import_module(name)
    # What is there by now stays: no fork need look through it for garbage, and copy its pages by that.
    gc.collect()
    gc.freeze()

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        if 0 in ready and not os.read(0, 1):
            os._exit(0)
        if listener in ready:
            channel, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _mind(channel)
            channel.close()


def _mind(channel: socket.socket) -> None:
    """Fork once more, pass signals on, tell the exit code; end the fork if nobody waits for it any more."""
    name, ancillary, _, _ = channel.recvmsg(_LONGEST, socket.CMSG_SPACE(4 * _FILES))
    files = array.array("i")
    for _, _, data in ancillary:
        files.frombytes(data)
    with open(name, encoding="utf-8") as file:
        told = json.load(file)
    os.unlink(name)
    child = os.fork()
    if child == 0:
        channel.close()
        for target, source in enumerate(files):
            os.dup2(source, target)
            os.close(source)
        _run(told)
    for each in files:
        os.close(each)
    for target in range(_FILES):
        os.close(target)
    ended = os.pidfd_open(child)
    while ended not in select.select([channel, ended], [], [])[0]:
        told = channel.recv(16)
        os.kill(child, struct.unpack("i", told)[0] if told else signal.SIGKILL)
        if not told:
            break
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(BrokenPipeError):
        channel.send(struct.pack("i", os.waitstatus_to_exitcode(status) & 0xFF))
    os._exit(0)


def _run(told: dict[str, Any]) -> None:
    """Be the process that was asked for."""
    code = 1
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(told["environment"])
        _begin_invocation()
        os.chdir(told["folder"])
        arguments = told["arguments"]
        sys.argv = list(arguments)
        script = os.path.abspath(arguments[0])
        sys.path.insert(0, script if os.path.isdir(script) else os.path.dirname(script))
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(io.FileIO(number, "w", closefd=False), encoding="utf-8", line_buffering=True)
            for number in (1, 2)
        )
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
        runpy.run_path(arguments[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        else:
            code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _begin_invocation() -> None:
    """Forget what importing dbt has settled for its process: the invocation's id and its beginning."""
    import datetime
    import uuid

    import dbt_common.invocation as invocation

    invocation._INVOCATION_ID = str(uuid.uuid4())
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    invocation._INVOCATION_STARTED_AT = now


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(ask(sys.argv[2], sys.argv[3], sys.argv[4:]))
