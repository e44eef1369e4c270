"""
Public repositories at a pinned commit, fetched with git for a run and never kept in ours.
"""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.warehouse.child import ROOT

#: Where what was fetched is kept between runs.
CACHE = ROOT / ".venvs" / "fidelity-repositories"
#: Names git directories on this machine to be used instead of GitHub, such as "/mirrors/{owner}+{name}/repo".
MIRRORS = "FIDELITY_REPOSITORIES"
FETCH_SECONDS = 300


class NotFetched(RuntimeError):
    """A repository could not be had; the message says why."""


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub."""

    path: str  #: such as "dbt-labs/dbt-utils"
    commit: str
    only: tuple[str, ...] = ()  #: files and folders that are taken; empty takes all

    def extract(self, into: Path) -> Path:
        """
        Write its files into the folder *into*, and return that.

        Raises:
            NotFetched: It cannot be had.
        """
        archive = _git(self._directory(), "archive", "--format=tar", self.commit, "--", *self.only)
        into.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(into, filter="data")
        return into

    def _directory(self) -> Path:
        owner, _, name = self.path.partition("/")
        mirrors = os.environ.get(MIRRORS)
        if mirrors:
            return Path(mirrors.format(owner=owner, name=name))
        directory = CACHE / f"{owner}+{name}"
        CACHE.mkdir(parents=True, exist_ok=True)
        with directory.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several parts of the suite may want it
            if not directory.exists():
                directory.mkdir()
                _git(directory, "init", "--quiet", "--bare")
            if not self._is_in(directory):
                address = f"https://github.com/{self.path}.git"
                _git(directory, "fetch", "--quiet", "--depth=1", address, self.commit)
        return directory

    def _is_in(self, directory: Path) -> bool:
        try:
            _git(directory, "cat-file", "-e", f"{self.commit}^{{tree}}")
        except NotFetched:
            return False
        return True


def _git(directory: Path, *words: str) -> bytes:
    # Without a prompt: nobody is there to answer one.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", f"--git-dir={directory}", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotFetched(str(error)) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise NotFetched(said[-1] if said else f"git {words[0]} ended with {done.returncode}")
    return done.stdout
