"""
A process is heard line by line, shows no secret, and does not outlive its task.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cosmos_async.dbt.process import Finished, Processes, masker, to_log
from cosmos_async.dbt.scripts import common
from cosmos_async.exceptions import DbtError


class Task:
    """A task that runs Python programs and listens."""

    def __init__(self, *, grace: float = 5.0) -> None:
        self.lines: list[str] = []
        self.processes = Processes(self.hear, grace=grace)
        self.kill_at: str | None = None

    def hear(self, line: str) -> None:
        self.lines.append(line)
        if line == self.kill_at:
            self.processes.terminate()

    def run(
        self, program: str, *, env: dict[str, str] | None = None, secrets: tuple[str, ...] = ()
    ) -> Finished:
        command = [sys.executable, "-u", "-c", textwrap.dedent(program)]
        return self.processes.run(command, cwd=Path("/"), env=env or {}, secrets=secrets)


def test_lines_of_both_streams_arrive_without_colours_and_line_ends():
    """
    Airflow's log shows what dbt says, wherever dbt says it.
    """
    task = Task()

    finished = task.run(
        r"""
        import sys
        print("\033[32mOK\033[0m created")
        print("oh", file=sys.stderr)
        """
    )

    assert finished.exit_code == 0
    assert task.lines == ["OK created", "oh"]


def test_bytes_that_are_no_text_do_no_harm():
    """
    A broken character of a user's data must not fail the task.
    """
    task = Task()

    task.run(r"import sys; sys.stdout.buffer.write(b'caf\xe9\n')")

    assert task.lines == ["caf\ufffd"]


def test_the_process_sees_the_given_environment_only():
    """
    What the task keeps from dbt is not there.
    """
    task = Task()

    task.run("import os; print(os.environ.get('GIVEN'), os.environ.get('HOME'))", env={"GIVEN": "yes"})

    assert task.lines == ["yes None"]


def test_secrets_are_hidden_from_the_log_and_from_the_error():
    """
    A private key is recognised in each of its lines, and as JSON writes it.
    """
    key = "-----BEGIN-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END-----\n"
    task = Task()

    finished = task.run(
        r"""
        import json, os
        key = os.environ["KEY"]
        print(key)
        print("as json:", json.dumps(key))
        """,
        env={"KEY": key},
        secrets=(key,),
    )

    assert "MIIEvQ" not in "\n".join([*task.lines, finished.words])
    assert "Bgkqhk" not in "\n".join([*task.lines, finished.words])
    assert task.lines[-1] == 'as json: "***"'


def test_without_secrets_a_line_stays_as_it_is():
    """
    Empty and very short values would hide half of every line.
    """
    assert masker(["", "a"])("a banana") == "a banana"


def test_the_longest_secret_is_hidden_first():
    """
    A secret that contains another one leaves no rest.
    """
    assert masker(["hunter", "hunter2"])("pw: hunter2") == "pw: ***"


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        pytest.param(
            [
                "12:00:01  Running with dbt=1.11.16",
                "12:00:02  Encountered an error:",
                "Runtime Error",
                "  Could not find profile named 'shop'",
            ],
            "Encountered an error:\nRuntime Error\n  Could not find profile named 'shop'",
            id="dbt-begins-its-error",
        ),
        pytest.param(["Usage: dbt build [OPTIONS]", "Error: No such option: --foo"], None, id="click"),
        pytest.param(["one", "two"], "one\ntwo", id="nothing-known"),
        pytest.param([], "it said nothing", id="silence"),
    ],
)
def test_the_error_is_told_in_the_process_own_words(tail: list[str], words: str | None):
    """
    A person reads dbt's message, not everything dbt did before.
    """
    assert Finished(2, tuple(tail)).words == (words or "\n".join(tail))


def test_a_program_that_is_not_there_is_named():
    """
    The message says which program and where it was looked for.
    """
    with pytest.raises(DbtError, match=r"/no/such/python cannot be started in /: No such file or directory"):
        Task().processes.run(["/no/such/python"], cwd=Path("/"), env={})


def test_killing_the_task_interrupts_dbt_first():
    """
    On SIGINT dbt cancels its queries in BigQuery.
    """
    task = Task()
    task.kill_at = "ready"

    with pytest.raises(DbtError, match="The task was killed"):
        task.run(
            """
            import signal
            signal.signal(signal.SIGINT, signal.default_int_handler)  # as our programs do
            try:
                print("ready")
                signal.pause()
            except KeyboardInterrupt:
                print("cancelled the queries")
            """
        )

    assert task.lines == ["ready", "cancelled the queries"]


def test_a_process_that_will_not_end_is_ended():
    """
    The task ends although the process, and one that it started, ignore all polite signals.
    """
    task = Task(grace=0.05)
    task.kill_at = "ready"

    with pytest.raises(DbtError, match="The task was killed"):
        task.run(
            """
            import os, signal
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            if os.fork():
                print("ready")
            while True:
                signal.pause()
            """
        )

    assert task.lines == ["ready"]


def test_a_killed_task_starts_nothing_more():
    """
    Between two processes of one task, a kill is not forgotten.
    """
    task = Task()
    task.processes.terminate()

    with pytest.raises(DbtError, match="The task was killed"):
        task.run("print('never')")

    assert task.lines == []


def test_an_error_in_the_task_ends_the_process():
    """
    Airflow raises its own exceptions into a task, for a timeout as an example.
    """

    class TimedOut(BaseException):
        pass

    found: list[int] = []

    def hear(line: str) -> None:
        found.append(int(line))
        raise TimedOut

    program = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    with pytest.raises(TimedOut):
        Processes(hear).run([sys.executable, "-c", program], cwd=Path("/"), env={})

    with pytest.raises(ProcessLookupError):
        os.kill(found[0], 0)


def test_dbt_is_interrupted_when_its_parent_vanishes():
    """
    A worker that was killed with SIGKILL cannot say goodbye; its end of the pipe does.
    """
    program = f"""
        import importlib.util, signal
        spec = importlib.util.spec_from_file_location("common", {common.__file__!r})
        common = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(common)
        common.follow_parent()
        try:
            print("ready", flush=True)
            signal.pause()
        except KeyboardInterrupt:
            print("cancelled the queries", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

        process.stdin.close()

        assert process.stdout.read() == b"cancelled the queries\n"


def test_lines_have_one_time_in_airflow_s_log(caplog: pytest.LogCaptureFixture) -> None:
    """Airflow's; dbt's empty lines say nothing, and its warnings are warnings."""
    log = logging.getLogger("a task")
    with caplog.at_level(logging.INFO):
        for line in (
            "12:00:01  Running with dbt=1.12.6",
            "12:00:01",
            "",
            "12:00:02  [WARNING]: Deprecated",
            "  more",
        ):
            to_log(log)(line)

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "Running with dbt=1.12.6"),
        ("WARNING", "[WARNING]: Deprecated"),
        ("INFO", "  more"),
    ]
