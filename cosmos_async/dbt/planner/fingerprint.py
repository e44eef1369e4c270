"""
The fingerprint of an invocation: all that dbt is given, so that two runs can tell whether they would plan the same.

What is not part of it is either asked again by the plan's guards (the warehouse) or noticed while dbt is recorded
(``scripts/recorder/moments.py``). Contents count, not times: a deployment that copies the project anew changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cosmos_async._version import __version__
from cosmos_async.dbt.command import SECRET_PREFIX
from cosmos_async.dbt.environment.interpreter import installed_packages
from cosmos_async.dbt.project.project_file import Project
from cosmos_async.dbt.session import Dbt
from cosmos_async.plan.model import FORMAT, Json

#: Folders that dbt writes or never reads; those that a project names itself are left out of it as well.
_SKIPPED = frozenset((".git", "__pycache__"))
_PIECE = 1 << 20  # bytes
_STATE_FILES = ("manifest.json", "run_results.json", "sources.json")
_STATE_OPTIONS = ("--state", "--defer-state")
_STATE_VARIABLES = ("DBT_STATE", "DBT_DEFER_STATE", "DBT_ENGINE_STATE", "DBT_ENGINE_DEFER_STATE")
#: dbt's own variables, and those by which Google's libraries find a project or credentials.
_READ_BY_LIBRARIES = ("DBT_", "GOOGLE_", "GCLOUD_", "CLOUDSDK_")
#: Folders of the working copy; their names are of this process.
_OF_THE_COPY = frozenset(("DBT_PROJECT_DIR", "DBT_PROFILES_DIR", "DBT_TARGET_PATH", "DBT_LOG_PATH"))


class Fingerprint:
    """
    What dbt is given in one run.

    Args:
        dbt: Opened, before its packages are installed: they are told by what pins them.
        question: What else the plan depends on; JSON-able.
        salt: Keeps whoever reads the fingerprint from finding out short secrets by trying.
    """

    def __init__(self, dbt: Dbt, question: Json, *, salt: bytes) -> None:
        self._dbt = dbt
        self._salt = salt
        arguments = dbt.arguments()
        self._parts: Json = {
            "the version of cosmos-async": f"{__version__}/{FORMAT}",
            "the packages of dbt's environment": {
                str(dbt.python): "its Python",
                **installed_packages(dbt.python),
            },
            "the options": self._digest([arguments, question, dbt.endpoint]),
            "the profile": self._digest(
                _contents(dbt.workspace.profiles_dir / "profiles.yml", dbt.workspace.secrets)
            ),
            "the project's files": {name: _digest(path) for name, path in self._files(arguments)},
        }

    def with_environment(self, names: Iterable[str]) -> Json:
        """
        Return the whole fingerprint.

        Args:
            names: The environment variables that dbt asks for.
        """
        env = self._dbt.workspace.env
        library = (name for name in env if name.startswith(_READ_BY_LIBRARIES))
        read = {
            name: env.get(name)
            for name in sorted({*names, *library} - _OF_THE_COPY)
            # They are for credentials alone: dbt gives them to profiles and packages, and to no model.
            if not name.startswith(SECRET_PREFIX)
        }
        return {**self._parts, "the environment variables that dbt reads": self._digest(read)}

    def _digest(self, value: Any) -> str:
        return hmac.new(self._salt, json.dumps(value, default=str).encode(), hashlib.sha256).hexdigest()

    def _files(self, arguments: list[str]) -> Iterator[tuple[str, Path]]:
        workspace = self._dbt.workspace
        project = Project.read(workspace.source, workspace.env)
        yield from _walk(project.root, "", project.written)
        for path in project.outside():
            written = frozenset(("target", "logs"))
            yield from _walk(path, f"{path}/", written) if path.is_dir() else [(str(path), path)]
        for folder in _state_folders(arguments, workspace.env):
            for name in _STATE_FILES:
                if (folder / name).is_file():
                    yield str(folder / name), folder / name


def why_no_fingerprint(dbt: Dbt) -> str | None:
    """Return why not all that dbt is given can be told beforehand, None where it can."""
    if not dbt.invocation.project_config.partial_parse:
        return "partial_parse is off, so dbt reads the project anew in each run"
    if dbt.missing_packages() and not (dbt.workspace.project_dir / "package-lock.yml").is_file():
        return "packages are installed in each run, and no package-lock.yml pins them"
    return None


def _walk(root: Path, prefix: str, written: frozenset[str]) -> Iterator[tuple[str, Path]]:
    """Yield the files below *root* by their names; dbt follows links to folders, and so do we, but never in a circle."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in seen or "pyvenv.cfg" in files:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        below = os.path.relpath(folder, root)
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED and os.path.normpath(os.path.join(below, name)) not in written
        )
        for name in sorted(files):
            path = Path(folder, name)
            if path.is_file():  # not a link to nowhere
                yield prefix + os.path.normpath(os.path.join(below, name)), path


def _digest(path: Path) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            hashed.update(piece)
    return hashed.hexdigest()


def _state_folders(arguments: list[str], env: dict[str, str]) -> list[Path]:
    found = {env[name] for name in _STATE_VARIABLES if env.get(name)}
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in _STATE_OPTIONS and equals:
            found.add(value)
        elif position and arguments[position - 1] in _STATE_OPTIONS:
            found.add(word)
    return sorted(Path(folder) for folder in found)


def _contents(path: Path, secrets: Iterable[str]) -> str:
    text = path.read_text(encoding="utf-8")
    for secret in secrets:  # a key that is rotated changes nothing of the plan
        text = text.replace(secret, "")
    return text
