"""
Find the user's dbt: a Python interpreter that can import dbt 1, or the program that dbt 2 is (``program.py``).

dbt may live beside Airflow, in an environment of its own, or in one made from requirements (``virtualenv.py``).
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from cosmos_async.dbt.environment.background import wait_for_environment
from cosmos_async.dbt.environment.program import DbtProgram, program_at
from cosmos_async.dbt.environment.virtualenv import Environment
from cosmos_async.dbt.process import Processes
from cosmos_async.exceptions import ConfigError, DbtError

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
_ASK_PACKAGES = """\
import importlib.metadata as metadata, json
print(json.dumps({each.metadata["Name"]: each.version for each in metadata.distributions()}))
"""
DBT_OPTION = "dbt_executable_path"  #: what names dbt in a DAG
_SCRIPT_HEAD = 4096  # bytes in which a script names its interpreter
# How pip and uv name an interpreter whose path is too long, or relative, for a shebang.
_TRAMPOLINE = re.compile(r"^'''exec' (?P<command>.+?) \"\$0\" \"\$@\"\s*$", re.MULTILINE)
_BINARIES = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ")
#: How a package calls dbt 2's program; the second is how its pre-releases came to PyPI.
_PROGRAMS = ("dbt", "dbt-core-experimental-parser")

#: Where dbt is: dbt 1's interpreter, or dbt 2.
FoundDbt = Union[Path, DbtProgram]


@dataclass(frozen=True)
class DbtVersions:
    """Which dbt an interpreter has."""

    core: str
    bigquery: str


def find_dbt(
    dbt_executable_path: str | Path | None,
    async_py_requirements: Sequence[str] | None,
    virtualenv_dir: str | Path | None,
    *,
    processes: Processes,
    cache_dir: Path,
    py_system_site_packages: bool = False,
    pip_install_options: Sequence[str] = (),
    patience: float | None = None,
) -> FoundDbt:
    """
    Return a Python that can import dbt 1 and its BigQuery adapter, or dbt 2.

    The first that was configured decides: *dbt_executable_path*, then *async_py_requirements*; without either it is
    this interpreter if it has dbt, else the ``dbt`` on the path.

    Args:
        dbt_executable_path: dbt's script or program, by path or by name.
        async_py_requirements: What to install into an environment for dbt, made once per set of requirements.
        virtualenv_dir: Where that environment is kept, instead of *cache_dir*.
        processes: Runs the installer; its lines go to the task's log.
        cache_dir: Where environments are kept by default.
        py_system_site_packages: Let the environment see the packages of the Python it is made from.
        pip_install_options: Further options for ``pip install``.
        patience: Seconds to wait for an environment that has to be made first; it is then made in the background, and
            goes on being made. None waits as long as it takes.

    Raises:
        ConfigError: There is no such dbt, or not yet.
        DbtError: The environment cannot be made.
    """
    if dbt_executable_path:
        return dbt_of(dbt_executable_path)
    if async_py_requirements:
        environment = Environment(
            requirements=tuple(sorted(requirement.strip() for requirement in async_py_requirements)),
            system_site_packages=py_system_site_packages,
            options=tuple(pip_install_options),
        )
        parent = Path(virtualenv_dir) if virtualenv_dir else cache_dir / "environments"
        if patience is None:
            return _made(environment.ensure(parent.absolute(), processes))
        return _made(wait_for_environment(environment, parent.absolute(), patience))
    found = dbt_at_hand()
    if found is not None:
        return found
    raise ConfigError(
        f"There is no dbt on this worker: neither beside Airflow ({sys.executable}) nor on the path. Set "
        "ExecutionConfig(dbt_executable_path=...) to the dbt of another environment, or async_py_requirements="
        '["dbt-bigquery"] to have one made.'
    )


def dbt_at_hand() -> FoundDbt | None:
    """
    Return this interpreter if it has dbt, else the ``dbt`` on the path, None where there is neither.

    Raises:
        ConfigError: The ``dbt`` on the path is none that can be used.
    """
    if importlib.util.find_spec("dbt") is not None and _versions(Path(sys.executable)) is not None:
        return Path(sys.executable)
    return dbt_of("dbt", option="The program on the path,") if shutil.which("dbt") else None


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


def dbt_of(dbt_executable: str | Path, *, option: str = DBT_OPTION) -> FoundDbt:
    """
    Return the Python that runs the script *dbt_executable*, or the dbt 2 that it is.

    Args:
        dbt_executable: dbt's script or program, or the Python itself.
        option: What the user sets to name it; errors begin with it.

    Raises:
        ConfigError: There is no such script, it is neither dbt 2 nor written in Python, or its Python has no dbt for
            BigQuery.
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
        program = program_at(script)
        if program is not None:
            return program
        raise ConfigError(
            f"{option} {script} is a compiled program, and `{script} --version` does not say that it is dbt 2. Name "
            "the bin/dbt of the environment dbt is installed in"
            f"{', or' if in_dag else ''}{otherwise}."
        )
    candidates = list(dict.fromkeys(_candidates(script, head.decode("utf-8", "replace"))))
    for python in candidates:
        if _versions(python) is not None:
            return python
    program = program_at(script)  # a wrapper around it
    if program is not None:
        return program
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


def installed_packages(python: Path) -> dict[str, str]:
    """Return the versions of all packages that *python* has, by name."""
    return _ask(python, _ASK_PACKAGES) or {}


def _ask(python: Path, code: str) -> dict[str, str] | None:
    """Return the JSON that *code* prints, None where that Python does not work."""
    lines: list[str] = []
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        finished = Processes(lines.append).run([python, "-c", code], cwd=Path("/"), env=env)
    except DbtError as error:
        logger.info("%s", error)
        return None
    if finished.exit_code != 0 or not lines:
        logger.info("the Python %s does not work: %s", python, finished.words)
        return None
    return json.loads(lines[-1])  # type: ignore[no-any-return]


def _versions(python: Path) -> DbtVersions | None:
    found = _ask(python, _ASK_VERSIONS)
    if found is None or len(found) != 2:
        return None
    return DbtVersions(core=found["dbt-core"], bigquery=found["dbt-bigquery"])


def _made(python: Path) -> FoundDbt:
    """Return the dbt of an environment that was made from requirements, by its *python*."""
    if _versions(python) is None:
        for name in _PROGRAMS:
            program = program_at(python.with_name(name)) if python.with_name(name).exists() else None
            if program is not None:
                return program
    dbt_versions(python)
    return python
