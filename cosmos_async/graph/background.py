"""
``dbt ls`` in the background of a DAG file's import, which Airflow ends after a while.

``dbt ls`` of a large project may take longer than Airflow gives the import (``dagbag_import_timeout``). So it is a
process of its own that puts the answer where the next import finds it, whatever becomes of this one.
``python -m cosmos_async.graph.background`` is that process; its input is the question.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cosmos_async.config import ProfileConfig
from cosmos_async.dbt.environment.interpreter import find_dbt
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.process import Processes, is_locked
from cosmos_async.exceptions import ConfigError, CosmosAsyncError, DbtError
from cosmos_async.graph.cache import GraphCache, locked
from cosmos_async.graph.dbt_ls import ask
from cosmos_async.graph.document import graph_from_json, graph_to_json
from cosmos_async.graph.manifest import graph_of, read_manifest
from cosmos_async.graph.model import Graph
from cosmos_async.plan.ids import digest
from cosmos_async.profiles import RenderedProfile

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.2  # seconds
TO_SAY_IT = 5.0  # seconds kept of the import's time, in which our word comes before Airflow's


@dataclass(frozen=True)
class Question:
    """What to ask dbt, and where the answer is kept; plain values, for another process."""

    invocation: DbtInvocation
    project_dir: Path
    profile: RenderedProfile
    environ: dict[str, str]
    requirements: list[str] | None
    manifest: Path | None  #: the graph is made of it instead of dbt's own
    directory: Path  #: of the kept graphs
    key: str

    def kept(self) -> Graph | None:
        """Return the answer, if it is known."""
        document = GraphCache(self.directory).get(self.key)
        return None if document is None else graph_from_json(document)

    def answer(self, ask_dbt: Callable[..., Any] = ask) -> Graph:
        """
        Ask dbt, unless another process has asked meanwhile, keep the answer and return it.

        Raises:
            CosmosAsyncError: There is no answer; dbt's own words are in the message.
        """
        # One for all selections of a project: the groups of a DAG build on what the first one had parsed.
        with locked(self.directory / f"{digest(self.project_dir)[:32]}.lock"):
            kept = self.kept()
            if kept is not None:
                return kept
            answer = ask_dbt(
                self.invocation,
                project_dir=self.project_dir,
                profile=self.profile,
                environ=self.environ,
                requirements=self.requirements,
                cache_dir=self.directory.parent,
            )
            graph = graph_of(
                read_manifest(self.manifest) if self.manifest else answer.manifest, answer.selected
            )
            if not answer.selected:
                logger.warning("nothing in %s is selected by %s", self.project_dir, self.invocation.select)
            GraphCache(self.directory).put(self.key, graph_to_json(graph))
        return graph

    @property
    def going_on(self) -> Path:
        """The file that whoever asks in the background holds a lock on."""
        return self.directory / f"{self.key}.asked"

    @property
    def failure(self) -> Path:
        """The file that tells why there is no answer."""
        return self.directory / f"{self.key}.failed"

    def portable(self) -> bytes:
        """Return the question for another process: of the profile's configuration dbt is only told the names."""
        profile = self.invocation.profile_config
        names = ProfileConfig(profile.profile_name, profile.target_name, profiles_yml_filepath="profiles.yml")
        return pickle.dumps(replace(self, invocation=replace(self.invocation, profile_config=names)))


def time_left() -> float | None:
    """Return how many seconds Airflow still gives this import, None where nobody limits it."""
    left = signal.getitimer(signal.ITIMER_REAL)[0]  # Airflow's own limit is this timer
    return left or None


def answer_beside(question: Question, left: float) -> Graph:
    """
    Return the answer to *question* if dbt gives it in time; otherwise let it go on in the background.

    Args:
        question: What to ask.
        left: Seconds until the import is ended.

    Raises:
        ConfigError: There is no answer yet.
        DbtError: There will be none; dbt's own words are in the message.
    """
    began = time.monotonic()
    execution = question.invocation.execution_config
    if question.requirements and not execution.dbt_executable_path:
        find_dbt(  # which says in words of its own that it takes a while
            None,
            question.requirements,
            execution.virtualenv_dir,
            processes=Processes(logger.info),
            cache_dir=question.directory.parent,
            patience=left / 2,
        )
    process = _start(question)
    while True:
        graph = question.kept()
        if graph is not None:
            if process is not None:
                process.wait()  # it has nothing left to do
            return graph
        if question.failure.is_file():  # of this process, or of one that an earlier import has started
            words = question.failure.read_text(encoding="utf-8")
            question.failure.unlink(missing_ok=True)  # the next import asks again
            if process is not None:
                process.wait()
            raise DbtError(words)
        if process is not None and process.poll() not in (None, 0):
            raise DbtError(f"The process that was to run `dbt ls` ended with exit code {process.returncode}.")
        waited = time.monotonic() - began
        if waited >= max(left - TO_SAY_IT, left / 2):
            break
        time.sleep(LOOK_EVERY)
    raise ConfigError(
        f"`dbt ls` of {question.project_dir} takes longer than the {left:.0f} s that Airflow gives the import of this "
        "DAG file. It goes on in the background and its answer is kept: Airflow reads the file again in a moment, and "
        "the DAG is there when dbt has ended. To do without the wait, raise AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT, or "
        "deploy the project's manifest.json and set ProjectConfig(manifest_path=...)."
    )


def _start(question: Question) -> subprocess.Popen[bytes] | None:
    """Start a process for the question, unless one is at it or has failed."""
    if question.failure.is_file() or is_locked(question.going_on):
        return None
    process = subprocess.Popen(
        [sys.executable, "-m", "cosmos_async.graph.background"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # whatever ends the import does not end it
    )
    assert process.stdin is not None
    # Not as an argument or in a file: the environment and the profile may hold secrets.
    with process.stdin as pipe:
        pipe.write(question.portable())
    return process


def main(question: Question) -> int:
    """Answer the question, or tell why not."""
    with question.going_on.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0  # another one was faster
        try:
            question.answer()
        except CosmosAsyncError as error:
            _tell(question, str(error))
        except Exception as error:
            _tell(question, f"`dbt ls` of {question.project_dir} could not be run: {error!r}")
            raise
    return 0


def _tell(question: Question, words: str) -> None:
    aside = question.failure.with_suffix(f".failed-{os.getpid()}")
    aside.write_text(words, encoding="utf-8")
    os.replace(aside, question.failure)


if __name__ == "__main__":
    raise SystemExit(main(pickle.loads(sys.stdin.buffer.read())))
