"""
Finding a Python that can import the user's dbt.

dbt may live beside Airflow, in an environment of its own, or in one made here from requirements. That one is kept
and found again by what it was made from. An environment is only ever seen finished: it is built aside and renamed.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import logging
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cosmos_async.dbt.process import Finished, Processes
from cosmos_async.exceptions import ConfigError, DbtError
from cosmos_async.plan.names import digest

logger = logging.getLogger(__name__)

# It imports nothing of dbt, which would take seconds.
_ASK_VERSIONS = """\
import importlib.metadata as metadata, json
found = {}
for name in ("dbt-core", "dbt-bigquery"):
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""
DBT_OPTION = "dbt_executable_path"  #: what names dbt in a DAG
_SCRIPT_HEAD = 4096  # bytes in which a script names its interpreter
# How pip and uv name an interpreter whose path is too long, or relative, for a shebang.
_TRAMPOLINE = re.compile(r"^'''exec' (?P<command>.+?) \"\$0\" \"\$@\"\s*$", re.MULTILINE)
# `dbt-bigquery` alone would bring the newest dbt-core, and 2.x is a program without a Python to record in.
_CONSTRAINTS = "dbt-core<2\n"
_CONSTRAINTS_FILE = "constraints.txt"
_BINARIES = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ")


@dataclass(frozen=True)
class DbtVersions:
    """Which dbt an interpreter has."""

    core: str
    bigquery: str


def find_dbt_python(
    dbt_executable_path: str | Path | None,
    async_py_requirements: Sequence[str] | None,
    virtualenv_dir: str | Path | None,
    *,
    processes: Processes,
    cache_dir: Path,
    py_system_site_packages: bool = False,
    pip_install_options: Sequence[str] = (),
    patience: float | None = None,
) -> Path:
    """
    Return a Python that can import dbt and its BigQuery adapter.

    The first that was configured decides: *dbt_executable_path*, then *async_py_requirements*; without either it is
    this interpreter if it has dbt, else that of the ``dbt`` on the path.

    Args:
        dbt_executable_path: dbt's script, by path or by name.
        async_py_requirements: What to install into an environment for dbt, made once per set of requirements.
        virtualenv_dir: Where that environment is kept, instead of *cache_dir*.
        processes: Runs the installer; its lines go to the task's log.
        cache_dir: Where environments are kept by default.
        py_system_site_packages: Let the environment see the packages of the Python it is made from.
        pip_install_options: Further options for ``pip install``.
        patience: Seconds to wait for an environment that has to be made first; it is then made in the background, and
            goes on being made. None waits as long as it takes.

    Raises:
        ConfigError: There is no such Python, or not yet.
        DbtError: The environment cannot be made.
    """
    if dbt_executable_path:
        return python_of(dbt_executable_path)
    if async_py_requirements:
        environment = Environment(
            requirements=tuple(sorted(requirement.strip() for requirement in async_py_requirements)),
            system_site_packages=py_system_site_packages,
            options=tuple(pip_install_options),
        )
        parent = Path(virtualenv_dir) if virtualenv_dir else cache_dir / "environments"
        if patience is None:
            return _checked(environment.ensure(parent.absolute(), processes))
        from cosmos_async.dbt.environment.background import wait_for_environment

        return _checked(wait_for_environment(environment, parent.absolute(), patience))
    python = dbt_at_hand()
    if python is not None:
        return python
    raise ConfigError(
        f"There is no dbt on this worker: neither beside Airflow ({sys.executable}) nor on the path. Set "
        "ExecutionConfig(dbt_executable_path=...) to the dbt of another environment, or async_py_requirements="
        '["dbt-bigquery"] to have one made.'
    )


def dbt_at_hand() -> Path | None:
    """
    Return this interpreter if it has dbt, else that of the ``dbt`` on the path, None where there is neither.

    Raises:
        ConfigError: The ``dbt`` on the path is none that can be used.
    """
    if importlib.util.find_spec("dbt") is not None and _versions(Path(sys.executable)) is not None:
        return Path(sys.executable)
    return python_of("dbt", option="The program on the path,") if shutil.which("dbt") else None


def dbt_versions(python: Path, *, option: str = DBT_OPTION) -> DbtVersions:
    """
    Return which dbt *python* has, without importing it.

    Args:
        python: An interpreter.
        option: What the user sets to name it.

    Raises:
        ConfigError: It has none, or not the BigQuery adapter.
    """
    versions = _versions(python)
    if versions is None:
        raise ConfigError(
            f"The Python {python} has no dbt with BigQuery adapter. Install it there with "
            f"`{python} -m pip install dbt-core dbt-bigquery`, or name another dbt in "
            f"{'ExecutionConfig(dbt_executable_path=...)' if option == DBT_OPTION else '--dbt'}."
        )
    return versions


def python_of(dbt_executable: str | Path, *, option: str = DBT_OPTION) -> Path:
    """
    Return the Python that runs the script *dbt_executable*.

    Args:
        dbt_executable: dbt's script, or the Python itself.
        option: What the user sets to name it; errors begin with it.

    Raises:
        ConfigError: There is no such script, it is not written in Python, or its Python has no dbt for BigQuery.
    """
    in_dag = option == DBT_OPTION
    otherwise = " set async_py_requirements" if in_dag else ""
    path = shutil.which(str(dbt_executable))
    if path is None:
        raise ConfigError(
            f"{option} {str(dbt_executable)!r} is not an executable on this machine. Give the path of dbt's script, such "
            f"as /opt/dbt/bin/dbt{', on every worker, or leave it out and' if in_dag else ', or leave it out'}"
            f"{otherwise}."
        )
    script = Path(path).absolute()
    if script.name.startswith("python"):
        dbt_versions(script, option=option)
        return script
    with script.open("rb") as file:
        head = file.read(_SCRIPT_HEAD)
    if head.startswith(_BINARIES):
        raise ConfigError(
            f"{option} {script} is a compiled program, as dbt Fusion is, and has no Python that dbt's plans could be "
            "recorded in. Use dbt Core 1: install 'dbt-core<2' and dbt-bigquery into an environment and name its bin/dbt"
            f"{', or' if in_dag else ''}{otherwise}."
        )
    candidates = list(dict.fromkeys(_candidates(script, head.decode("utf-8", "replace"))))
    for python in candidates:
        if _versions(python) is not None:
            return python
    tried = ", ".join(str(python) for python in candidates) or "none"
    raise ConfigError(
        f"{option} {script} leads to no Python with dbt-core and dbt-bigquery (tried: {tried}). Name the "
        "bin/dbt of the environment dbt is installed in rather than a wrapper, and make sure dbt-bigquery is there."
    )


def _candidates(script: Path, head: str) -> Iterator[Path]:
    """Yield the Pythons a script may mean, the likeliest first."""
    if head.startswith("#!"):
        words = shlex.split(head[2:].splitlines()[0])
        if words and Path(words[0]).name == "env":
            # env's own options and assignments come before the program.
            names = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
            words = [shutil.which(names[0]) or ""] if names else []
        if words and Path(words[0]).name.startswith(("python", "pypy")):
            yield Path(words[0])
    trampoline = _TRAMPOLINE.search(head)
    if trampoline is not None:
        named = shlex.split(trampoline["command"])[0]
        if os.path.isabs(named):
            yield Path(named)
    for folder in (script.parent, script.resolve().parent):
        for name in ("python", "python3"):
            if (folder / name).exists():
                yield folder / name


def _versions(python: Path) -> DbtVersions | None:
    lines: list[str] = []
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        finished = Processes(lines.append).run([python, "-c", _ASK_VERSIONS], cwd=Path("/"), env=env)
    except DbtError as error:
        logger.info("%s", error)
        return None
    if finished.exit_code != 0 or not lines:
        logger.info("the Python %s does not work: %s", python, finished.words)
        return None
    found = json.loads(lines[-1])
    if len(found) != 2:
        return None
    return DbtVersions(core=found["dbt-core"], bigquery=found["dbt-bigquery"])


def _checked(python: Path) -> Path:
    dbt_versions(python)
    return python


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
        key = digest(self.requirements, self.system_site_packages, self.options, _CONSTRAINTS, *python)
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
            (aside / _CONSTRAINTS_FILE).write_text(_CONSTRAINTS)
            for command in self._commands(aside):
                finished = processes.run(command, cwd=folder.parent, env=_installer_environment())
                self._refuse_if_failed(command, finished)
            if folder.exists():  # locks do not reach everywhere, as on some network drives
                return
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        processes.on_line("The environment for dbt is ready.")

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
