"""A program that is none of ours ends with the process that has started it, and as it would end alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cosmos_async.dbt import follow

OBEYS = """
    import signal
    try:
        print("ready", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""
REFUSES = """
    import os, signal, time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


@contextmanager
def followed(program: str, *, patience: float = 10.0) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program of Python in the care of ours."""
    start = f"import runpy, sys; m = runpy.run_path({follow.__file__!r}); m['main'].__globals__['SECONDS_TO_CANCEL'] = {patience}"
    command = [sys.executable, "-c", f"{start}; sys.exit(m['main'](sys.argv[1:]))", sys.executable]
    with subprocess.Popen(
        [*command, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        yield process


def test_a_program_is_interrupted_when_whoever_started_it_vanishes() -> None:
    """A worker that was killed with SIGKILL cannot say goodbye; its end of the pipe does."""
    with followed(OBEYS) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

        process.stdin.close()

        assert process.stdout.read() == b"interrupted\n"


def test_a_program_that_goes_on_is_killed_then() -> None:
    """Its pipe is closed by nothing but its end."""
    with followed(REFUSES, patience=0.1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()

        process.stdin.close()

        assert process.stdout.read() == b""
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("code", [0, 3])
def test_its_exit_code_is_the_programs(code: int) -> None:
    with followed(f"import sys; print('said'); sys.exit({code})") as process:
        assert process.stdout is not None
        said = process.stdout.read()
        process.wait()

    assert (said, process.returncode) == (b"said\n", code)


def test_a_signal_that_ends_the_program_is_told() -> None:
    """Whoever kills both with their group sees the program's end."""
    with followed("import os, signal; os.kill(os.getpid(), signal.SIGTERM)") as process:
        process.wait()

    assert process.returncode == -signal.SIGTERM


def test_a_program_that_is_not_there_is_named() -> None:
    done = subprocess.run(
        [sys.executable, follow.__file__, "/nowhere/dbt"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 127
    assert "/nowhere/dbt cannot be started: No such file" in done.stderr
