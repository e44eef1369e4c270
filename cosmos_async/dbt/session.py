"""
One task's dealings with dbt: the interpreter, the working copy and the invocation, ready to run.

Everything a task starts goes through its :class:`~cosmos_async.dbt.process.Processes`, so killing the task ends it.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cosmos_async import settings
from cosmos_async.dbt.command import dbt_arguments, dbt_environment
from cosmos_async.dbt.environment.hints import hint
from cosmos_async.dbt.environment.interpreter import FoundDbt, find_dbt
from cosmos_async.dbt.environment.program import DbtProgram
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.options import anchored
from cosmos_async.dbt.process import Finished, Processes
from cosmos_async.dbt.project.project_file import declared_packages
from cosmos_async.dbt.project.working_copy import Workspace, open_workspace
from cosmos_async.dbt.scripts.partial_invocation import UNUSABLE
from cosmos_async.exceptions import ConfigError, DbtError, ProjectError
from cosmos_async.profiles.for_dbt_2 import ignored_by_dbt_2, refuse_for_dbt_2

#: Run by dbt's interpreter, with the name of a script.
SCRIPTS = Path(__file__).parent / "scripts"
EMULATOR = "BIGQUERY_EMULATOR_HOST"  # google-cloud-bigquery's own variable
REAL_ENDPOINT = "COSMOS_ASYNC_BIGQUERY_ENDPOINT"  # tells the recorder what it hides
# Nobody listens there: a dbt that was started without its recorder ends before its first request.
NOWHERE = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Dbt:
    """The user's dbt, ready to be run in a working copy of the user's project."""

    found: FoundDbt  #: dbt 1's Python, or dbt 2
    workspace: Workspace
    processes: Processes
    invocation: DbtInvocation
    endpoint: str | None = None  #: BigQuery's, where it is not Google's public one

    @property
    def program(self) -> DbtProgram | None:
        """dbt 2, where it is one."""
        return self.found if isinstance(self.found, DbtProgram) else None

    @property
    def python(self) -> Path:
        """
        dbt 1's interpreter.

        Raises:
            ConfigError: It is dbt 2, which has none.
        """
        if isinstance(self.found, DbtProgram):
            raise ConfigError(f"{self.found.name} ({self.found.path}) has no Python.")
        return self.found

    def arguments(self, command: str = "build", extra: Sequence[str] = ()) -> list[str]:
        """Return the invocation's arguments for dbt."""
        return anchored(dbt_arguments(self.invocation, (command,), extra=extra), self.workspace.source)

    def run(self, arguments: Sequence[str]) -> Finished:
        """Run dbt itself, for real."""
        if self.program is not None:
            return self._run(self.program.command(arguments), self.program.environment(self.workspace.env))
        return self.run_python([SCRIPTS, "plain_dbt", *arguments])

    def run_script(self, script: str, options: Sequence[str], arguments: Sequence[str]) -> Finished:
        """
        Run one of our scripts in dbt's interpreter, talking to the real BigQuery.

        Args:
            script: The module's name, below ``cosmos_async/dbt/scripts``.
            options: The script's own.
            arguments: dbt's.
        """
        return self.run_python([SCRIPTS, script, *options, "--", *arguments])

    def run_python(self, command: Sequence[str | Path]) -> Finished:
        """Run dbt's interpreter with this command line, talking to the real BigQuery."""
        env = dict(self.workspace.env)
        if self.endpoint is not None:
            env[EMULATOR] = self.endpoint
        return self._run([self.python, *command], env)

    def record(self, arguments: Sequence[str], out: Path, options: Sequence[str] = ()) -> Finished:
        """
        Run dbt in recording mode: what it would do is written to *out*, and nothing is sent that changes data.

        Args:
            arguments: dbt's own.
            out: A file whose folder receives the bytes of load jobs and the parsed project, too.
            options: The recorder's further ones.
        """
        env = dict(self.workspace.env)
        env[REAL_ENDPOINT] = self.endpoint or env.get(EMULATOR, "")
        env[EMULATOR] = NOWHERE
        return self._run(
            [self.python, SCRIPTS, "recorder.main", "--out", str(out), *options, "--", *arguments], env
        )

    def with_parsed_project(self, start: Callable[[bool], Finished], *, kept: bool) -> Finished:
        """
        Run a script of ours with the project as setup kept it, and once more without if that is of no use here.

        Args:
            start: Starts the script; it is told whether to use the kept project.
            kept: Whether there is one.

        Raises:
            DbtError: The project's packages, which dbt needs to parse it, cannot be installed.
        """
        if kept:
            finished = start(True)
            if finished.exit_code != UNUSABLE:
                return finished
        self.install_packages()
        return start(False)

    def install_packages(self) -> None:
        """
        Run ``dbt deps`` if the project names packages that it does not bring along, and the author wants it.

        Raises:
            DbtError: dbt cannot install them.
        """
        if not self.invocation.install_deps:
            return
        folder = self.workspace.packages_dir
        if not self.missing_packages():
            if declared_packages(self.workspace.project_dir):
                self.processes.on_line(
                    f"Using the {len(self._installed())} packages the project brings in {folder.name}."
                )
            return
        if not folder.is_relative_to(self.workspace.tree):
            raise ProjectError(
                f"The project's packages-install-path is {folder}, where not all of its packages are installed, and "
                "`dbt deps` would change that folder under everybody's feet. Install them there before you deploy the "
                "project, or name a relative folder."
            )
        finished = self.run(["deps"])
        if finished.exit_code != 0:
            raise DbtError(
                f"`dbt deps` ended with exit code {finished.exit_code}:\n{finished.words}\n"
                "Deploy the project with its dbt_packages folder, or make the package index reachable for workers."
            )

    def missing_packages(self) -> bool:
        """Return whether packages have to be installed before dbt can run; dbt's own test for "not installed"."""
        declared = declared_packages(self.workspace.project_dir)
        return bool(self.invocation.install_deps) and len(self._installed()) < len(declared)

    def _installed(self) -> list[Path]:
        folder = self.workspace.packages_dir
        return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []

    def failure(self, arguments: Sequence[str], finished: Finished) -> DbtError:
        """Return the error for a run of dbt that failed, in dbt's own words."""
        words = self.workspace.original(finished.words)
        more = hint(self.program, words, self.workspace.env) if self.program is not None else ""
        return DbtError(
            f"`dbt {shlex.join(arguments)}` in {self.workspace.source} ended with exit code {finished.exit_code}:\n{words}"
            + (f"\n{more}" if more else "")
        )

    def _run(self, command: Sequence[str | Path], env: Mapping[str, str]) -> Finished:
        workspace = self.workspace
        return self.processes.run(command, cwd=workspace.project_dir, env=env, secrets=workspace.secrets)


@contextmanager
def open_dbt(
    invocation: DbtInvocation,
    processes: Processes,
    *,
    context: Mapping[str, str] | None = None,
    cache_dir: Path | None = None,
    endpoint: str | None = None,
    packages: bool = True,
) -> Iterator[Dbt]:
    """
    Find dbt, make a working copy of the project with its packages, and give both until the block ends.

    Args:
        invocation: With its templates rendered.
        processes: The task's processes.
        context: ``AIRFLOW_CTX_...`` variables of the task instance, for dbt's environment.
        cache_dir: What can be made again is kept there; None means the setting.
        endpoint: The root of the BigQuery API; None means the setting, and an empty one leaves it to dbt's environment.
        packages: Whether the project's packages are needed at once; who has the parsed project does without.

    Raises:
        ConfigError: The project, the profile or dbt cannot be found.
        DbtError: dbt's environment or the project's packages cannot be installed.
    """
    execution = invocation.execution_config
    project = execution.project_path or invocation.project_config.dbt_project_path
    if project is None:
        raise ProjectError(
            "There is no dbt project to run: dbt_project_path is missing. A manifest alone is enough for the DAG, but "
            "not for its runs; set ExecutionConfig(dbt_project_path=...) to the project's folder on the workers."
        )
    invocation.project_config.at(project).validate()
    profile = invocation.profile_config.render(overrides={"location": invocation.location})
    env = dbt_environment(invocation, os.environ, context)
    cache_dir = private_folder(cache_dir or settings.cache_dir())
    endpoint = (settings.bigquery_endpoint() if endpoint is None else endpoint) or None
    found = find_dbt(
        execution.dbt_executable_path,
        execution.async_py_requirements,
        execution.virtualenv_dir,
        processes=processes,
        cache_dir=cache_dir,
    )
    if isinstance(found, DbtProgram):
        refuse_for_dbt_2(profile)
        for warning in ignored_by_dbt_2(profile):
            processes.on_line(warning)
        untried = found.warning()
        if untried is not None:
            processes.on_line(untried)
        if endpoint is not None:  # dbt 2 knows none of Google's variables for it
            profile = replace(profile, output={**profile.output, "api_endpoint": endpoint})
    kept = cache_dir if invocation.project_config.partial_parse else None
    with open_workspace(
        project,
        profile,
        env,
        cache_dir=kept,
        variant=variant_of(found),
        file_links=isinstance(found, Path),
    ) as workspace:
        dbt = Dbt(found, workspace, processes, invocation, endpoint=endpoint)
        if packages:
            dbt.install_packages()
        yield dbt


def variant_of(found: FoundDbt) -> str:
    """Return what tells this dbt's parsed projects from those of others."""
    return str(found if isinstance(found, Path) else found.path)


def private_folder(path: Path) -> Path:
    """
    Make the folder *path* for this user alone, unless it is there, and return it.

    Raises:
        ConfigError: It cannot be made, or it lies in the system's temporary folder and belongs to somebody else, who
            could have put programs there for us to run.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        owner = path.stat().st_uid
    except OSError as error:
        raise ConfigError(
            f"The folder {path} cannot be made: {error.strerror}. Set AIRFLOW__COSMOS_ASYNC__CACHE_DIR to a folder "
            "that Airflow's user may write to."
        ) from error
    if owner not in (os.getuid(), 0) and path.is_relative_to(tempfile.gettempdir()):
        raise ConfigError(
            f"The folder {path} belongs to another user of this machine. Set AIRFLOW__COSMOS_ASYNC__CACHE_DIR to a "
            "folder of Airflow's own user."
        )
    return path
