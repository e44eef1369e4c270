"""
The virtual environment that is made for dbt from ``async_py_requirements``.

It is kept and found again by what it was made from, and only ever seen finished: it is built aside and renamed.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cosmos_async.dbt.process import Finished, Processes
from cosmos_async.exceptions import ConfigError, DbtError
from cosmos_async.plan.ids import digest

# `dbt-bigquery` alone would bring the newest dbt-core: who wants dbt 2 asks for it.
_CONSTRAINTS = "dbt-core<2\n"
_CONSTRAINTS_FILE = "constraints.txt"
_NAMES_DBT_2 = re.compile(r"dbt(-core)?\s*(\[[^]]*\])?\s*(==|>=|~=|>|===)\s*([2-9]|1\d)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Environment:
    """A virtual environment, told apart from others by what goes into it."""

    requirements: tuple[str, ...]
    system_site_packages: bool
    options: tuple[str, ...]

    def ensure(self, parent: Path, processes: Processes) -> Path:
        """Return the environment's Python, after making the environment unless it is there."""
        folder, python = self.folder(parent), self.python(parent)
        if python.exists():
            return python
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"The folder {parent} for dbt's environment cannot be made: {error.strerror}. Set virtualenv_dir to a "
                "folder this worker may write to."
            ) from error
        with _lock(self.lock_file(parent), processes):
            if not python.exists():  # the one we waited for has made it
                self._build(folder, processes)
        return python

    def folder(self, parent: Path) -> Path:
        """Return where the environment is, or will be."""
        # An environment points at the Python it was made from.
        python = (sys.version, os.path.realpath(sys.executable), platform.machine())
        key = digest(self.requirements, self.system_site_packages, self.options, self._constraints(), *python)
        return parent / f"dbt-{key[:16]}"

    def python(self, parent: Path) -> Path:
        """Return its interpreter, which exists once the environment is finished."""
        return self.folder(parent) / "bin" / "python"

    def lock_file(self, parent: Path) -> Path:
        """Return the file that whoever makes the environment holds a lock on."""
        return self.folder(parent).with_suffix(".lock")

    def _build(self, folder: Path, processes: Processes) -> None:
        processes.on_line(
            f"Making an environment for dbt with {', '.join(self.requirements)} in {folder}. It is kept for all later "
            "runs; delete the folder to have it made anew."
        )
        # Aside: whoever dies here leaves a folder that nobody looks for.
        aside = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
        try:
            (aside / _CONSTRAINTS_FILE).write_text(self._constraints())
            for command in self._commands(aside):
                finished = processes.run(command, cwd=folder.parent, env=_installer_environment())
                self._refuse_if_failed(command, finished)
            if folder.exists():  # locks do not reach everywhere, as on some network drives
                return
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        processes.on_line("The environment for dbt is ready.")

    def _constraints(self) -> str:
        """Return what the installer may not bring, in pip's own words."""
        return "" if any(map(_NAMES_DBT_2.match, self.requirements)) else _CONSTRAINTS

    def _commands(self, folder: Path) -> list[list[str]]:
        uv, python = shutil.which("uv"), str(folder / "bin" / "python")
        constrained = ["--constraint", str(folder / _CONSTRAINTS_FILE)]
        system = ["--system-site-packages"] if self.system_site_packages else []
        if uv and not self.options:  # whose options are pip's
            # Unlike pip's, uv's option replaces what the environment says.
            for also in os.environ.get("UV_CONSTRAINT", "").split():
                constrained += ["--constraint", also]
            return [
                [
                    uv,
                    "venv",
                    "--quiet",
                    "--allow-existing",
                    "--relocatable",
                    "--python",
                    sys.executable,
                    *system,
                    str(folder),
                ],
                [
                    uv,
                    "pip",
                    "install",
                    "--compile-bytecode",
                    "--python",
                    python,
                    *constrained,
                    *self.requirements,
                ],
            ]
        return [
            [sys.executable, "-m", "venv", *system, str(folder)],
            [
                python,
                "-m",
                "pip",
                "install",
                "--progress-bar=off",
                *constrained,
                *self.options,
                *self.requirements,
            ],
        ]

    def _refuse_if_failed(self, command: list[str], finished: Finished) -> None:
        if finished.exit_code == 0:
            return
        raise DbtError(
            f"The environment for dbt with {', '.join(self.requirements)} cannot be made; "
            f"`{shlex.join(command[:4])} ...` ended with exit code {finished.exit_code}:\n{finished.words}\n"
            "Correct async_py_requirements, or install dbt yourself and set ExecutionConfig(dbt_executable_path=...)."
        )


def _installer_environment() -> dict[str, str]:
    # Proxies, certificates and package indexes are configured there.
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    prefixes = ("AIRFLOW__", "AIRFLOW_CONN_", "_AIRFLOW_", "__AIRFLOW_")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith(prefixes)
    }


@contextmanager
def _lock(path: Path, processes: Processes) -> Iterator[None]:
    """Hold the lock file *path*. The system lets go of it, however this process ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            processes.on_line("Another task is making the environment for dbt; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
