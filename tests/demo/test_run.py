"""
The demonstration ends cleanly whenever it is interrupted.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.airflow.harness import ROOT
from tests.airflow.processes import Processes, plain_environment


def processes_of(state: Path) -> list[str]:
    """Return the command lines of all processes that have to do with a demonstration's folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(state) in words or str(state).encode() in (folder / "environ").read_bytes():
                found.append(words)
    return found


@pytest.mark.airflow
@pytest.mark.warehouse
@pytest.mark.parametrize("line", ["metadata database", "Airflow is up"])
def test_an_interrupted_demonstration_leaves_no_process(line: str, tmp_path: Path) -> None:
    """Ctrl-C, while it starts or while it runs, ends everything and says so."""
    state, output = tmp_path / "state", tmp_path / "output"
    words = [sys.executable, ROOT / "tests/demo/run.py", "--state", state]
    with output.open("wb") as file:
        demo = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, env=plain_environment())
    try:
        with Processes(tmp_path / "clock") as clock:

            def said() -> bool:
                assert demo.poll() is None, output.read_text()
                return line in output.read_text()

            clock.wait_until(f"the demonstration says {line}", said, 120)
            assert processes_of(state) != []

            demo.send_signal(signal.SIGINT)
            demo.wait(30)

            clock.wait_until("everything is gone", lambda: processes_of(state) == [], 20)
    finally:
        demo.kill()
        demo.wait()
    assert "interrupted" in output.read_text()
    assert demo.returncode == 130


def test_a_second_demonstration_is_told_that_there_is_one(tmp_path: Path) -> None:
    """Two demonstrations would share a folder; the second one says so and touches nothing."""
    import fcntl

    (tmp_path / "airflow").mkdir()
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = [sys.executable, ROOT / "tests/demo/run.py", "--state", tmp_path]
        second = subprocess.run(words, capture_output=True, text=True, check=False, env=plain_environment())

    assert second.returncode == 1
    assert "Another demonstration is using" in second.stderr
    assert (tmp_path / "airflow").exists()
