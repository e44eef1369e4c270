"""
Make dbt's environment in the background of a DAG file's import, which has less time than an installer needs.

The builder is a process of its own: it goes on where Airflow gives up the import, and the next import finds what it
has made. ``python -m cosmos_async.dbt.environment.background '{"parent": ..., "requirements": [...], ...}'`` is that process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from cosmos_async.dbt.environment.virtualenv import Environment
from cosmos_async.dbt.process import Processes, is_locked
from cosmos_async.exceptions import ConfigError, DbtError

LOOK_EVERY = 0.2  # seconds
TAIL = 20  # lines of the builder's log in an error


def wait_for_environment(environment: Environment, parent: Path, patience: float) -> Path:
    """
    Return the environment's Python; have it made in the background unless it is there or being made.

    Args:
        environment: What to make.
        parent: Where environments are kept.
        patience: Seconds to wait for it.

    Raises:
        ConfigError: It is not ready yet.
        DbtError: It cannot be made; the installer's own words are in the message.
    """
    python = environment.python(parent)
    if python.exists():
        return python
    log = environment.folder(parent).with_suffix(".log")
    builder = None if is_locked(environment.lock_file(parent)) else _start_builder(environment, parent, log)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if python.exists():
            if builder is not None:
                builder.wait()  # it has one line left to write
            return python
        if builder is not None and builder.poll() not in (None, 0):
            raise DbtError("\n".join(log.read_text(errors="replace").splitlines()[-TAIL:]))
        time.sleep(LOOK_EVERY)
    raise ConfigError(
        f"dbt's environment with {', '.join(environment.requirements)} is being made in the background; {log} tells how "
        "far it is. Airflow reads this DAG file again in a moment, and the DAG is there when the environment is ready. "
        "To do without the wait, install dbt beside Airflow or set ExecutionConfig(dbt_executable_path=...)."
    )


def _start_builder(environment: Environment, parent: Path, log: Path) -> subprocess.Popen[bytes]:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        output = log.open("wb")
    except OSError as error:
        raise ConfigError(
            f"The folder {parent} for dbt's environment cannot be written to: {error.strerror}. Set virtualenv_dir to "
            "a folder this machine's Airflow may write to."
        ) from error
    order = {
        "parent": str(parent),
        "requirements": environment.requirements,
        "system_site_packages": environment.system_site_packages,
        "options": environment.options,
    }
    with output:
        return subprocess.Popen(
            [sys.executable, "-m", "cosmos_async.dbt.environment.background", json.dumps(order)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Whatever ends the import does not end the builder.
            start_new_session=True,
        )


def main(arguments: list[str]) -> int:
    """Make the environment that the command line describes."""
    order = json.loads(arguments[0])
    environment = Environment(
        requirements=tuple(order["requirements"]),
        system_site_packages=order["system_site_packages"],
        options=tuple(order["options"]),
    )

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    try:
        environment.ensure(Path(order["parent"]), Processes(say))
    except (ConfigError, DbtError) as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
