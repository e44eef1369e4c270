"""
The harness itself: it shows what Airflow did, and nothing of it survives.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.airflow.harness import ROOT, DagNotUsable, start_airflow
from tests.airflow.processes import ProcessEnded, Processes, TimedOut, plain_environment
from tests.airflow.stage import environment
from tests.airflow.tasklog import worker_log_files

PLAIN = ROOT / "tests/airflow/dags_plain"


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _printing(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.airflow
def test_a_task_that_lives_in_the_triggerer_uses_no_worker(tmp_path: Path) -> None:
    """
    The harness tells worker seconds apart, shows both kinds of logs, clears a task and names a broken DAG file.

    Here on Airflow 2.11; the acceptance tests use all of it on 3.3.
    """
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "plain.py").write_text((PLAIN / "plain.py").read_text())
    with start_airflow(environment("2.11"), tmp_path / "airflow", dags) as airflow:
        airflow.wait_for_dag("plain")
        airflow.trigger("plain", "first")
        first = airflow.wait_for_run("plain", "first")
        napped = next(task for task in first.tasks if task.task_id == "nap_1")

        assert first.state == "success"
        assert set(first.states().values()) == {"success"}
        assert napped.worker_seconds == 0
        assert worker_log_files(tmp_path / "airflow/logs", "plain", "first", "nap_1") == []
        assert "napping for 1.0 s" in airflow.log("plain", "first", "nap_1")
        assert "on a worker of Airflow" in airflow.log("plain", "first", "on_worker")

        airflow.clear("plain", "first", ["nap_1"])
        again = airflow.wait_for_run("plain", "first")
        assert {task.task_id: task.try_number for task in again.tasks}["nap_1"] == 2

        (dags / "broken.py").write_text("# an Airflow DAG\nfrom airflow import no_such_name\n")
        with pytest.raises(DagNotUsable, match=r"(?s)broken\.py.*no_such_name"):
            airflow.wait_for_dag("broken")
        pids = list(airflow.processes.pids.values())

    assert all(_gone(pid) for pid in pids)


def test_nothing_survives_when_the_harness_is_killed(tmp_path: Path) -> None:
    """A SIGKILL of the test run leaves neither the processes nor what they started, even if they ignore SIGTERM."""
    stubborn = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"open({str(tmp_path / 'pids')!r} + '.new', 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.rename({str(tmp_path / 'pids')!r} + '.new', {str(tmp_path / 'pids')!r})\n"
        "time.sleep(600)\n"
    )
    harness = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from tests.airflow.processes import Processes\n"
        f"with Processes(Path({str(tmp_path / 'logs')!r})) as processes:\n"
        f"    processes.start('stubborn', [sys.executable, '-c', {stubborn!r}], dict(os.environ), Path('/'))\n"
        "    time.sleep(600)\n"
    )
    victim = subprocess.Popen(
        _printing(harness), cwd=ROOT, env={**plain_environment(), "PYTHONPATH": str(ROOT)}
    )
    with Processes(tmp_path / "own-logs") as clock:
        clock.wait_until("the process has started", (tmp_path / "pids").exists, 30)
        pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
        assert not any(_gone(pid) for pid in pids)

        victim.send_signal(signal.SIGKILL)
        victim.wait()

        clock.wait_until("everything is gone", lambda: all(_gone(pid) for pid in pids), 20)


def test_a_process_that_ends_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    """Waiting for anything fails at once when a component has died, and shows its last words."""
    with Processes(tmp_path) as processes:
        processes.start("short", _printing("print('its last words'); exit(3)"), dict(os.environ), tmp_path)

        with pytest.raises(ProcessEnded, match=r"(?s)short has ended with 3.*its last words"):
            processes.wait_until("never", lambda: False, 30)


def test_a_wait_that_takes_too_long_says_for_what(tmp_path: Path) -> None:
    """A wait has an end, and its message says what was waited for."""
    with Processes(tmp_path) as processes, pytest.raises(TimedOut, match="the moon: not within 0 s"):
        processes.wait_until("the moon", lambda: False, 0)


def test_a_stopped_process_can_be_started_again(tmp_path: Path) -> None:
    """Stopping is no failure, and the name is free afterwards: that is how a triggerer is restarted."""
    with Processes(tmp_path) as processes:
        first = processes.start("sleeper", ["sleep", "600"], dict(os.environ), tmp_path)
        processes.stop("sleeper")
        second = processes.start("sleeper", ["sleep", "600"], dict(os.environ), tmp_path)
        processes.check()

        assert _gone(first)
        assert not _gone(second)
