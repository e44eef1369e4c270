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
import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from cosmos_async._version import __version__
from cosmos_async.dbt.command import SECRET_PREFIX
from cosmos_async.dbt.environment.interpreter import installed_packages
from cosmos_async.dbt.options import state_folders
from cosmos_async.dbt.project.project_file import ENV_FILE, PROJECT_FILE, Project
from cosmos_async.dbt.session import Dbt
from cosmos_async.plan.model import FORMAT, Json
from cosmos_async.profiles.rendered import SECRET_KEYS

#: Folders that dbt writes or never reads; those that a project names itself are left out of it as well.
_SKIPPED = frozenset((".git", "__pycache__"))
_PIECE = 1 << 20  # bytes
_STATE_FILES = ("manifest.json", "run_results.json", "sources.json")
#: dbt's own variables, those by which Google's libraries find a project or credentials, and Python's time zone.
_READ_BY_LIBRARIES = ("DBT_", "GOOGLE_", "GCLOUD_", "CLOUDSDK_", "TZ")
_VARIABLE = re.compile(r"env_var\(\s*['\"](\w+)")
#: Folders of the working copy; their names are of this process.
_OF_THE_COPY = frozenset(
    f"{prefix}_{name}"
    for prefix in ("DBT", "DBT_ENGINE")
    for name in ("PROJECT_DIR", "PROFILES_DIR", "TARGET_PATH", "LOG_PATH")
)
#: Where one of dbt's own files says which earlier artifacts it compares with.
_STATE = re.compile(r"(?<!\w)(?:DBT_(?:ENGINE_)?)?(?:DEFER_)?STATE\s*[=:]", re.IGNORECASE)


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
        profile = (dbt.workspace.profiles_dir / "profiles.yml").read_text(encoding="utf-8")
        self._named_in_profile = _named_besides_secrets(profile)
        arguments = dbt.arguments()
        self._parts: Json = {
            "the version of cosmos-async": f"{__version__}/{FORMAT}",
            "the packages of dbt's environment": {
                str(dbt.python): "its Python",
                # What does not tell is never the same.
                **(installed_packages(dbt.python) or {"?": uuid.uuid4().hex}),
            },
            "the options": self._digest([arguments, question, dbt.endpoint]),
            "the profile": self._digest(_without(dbt.workspace.secrets, profile)),
            "the project's files": {name: self._of_file(path) for name, path in self._files(arguments)},
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
            # dbt gives them to profiles and packages, and to no model. A key that is rotated changes nothing of a plan.
            if not name.startswith(SECRET_PREFIX) or name in self._named_in_profile
        }
        return {**self._parts, "the environment variables that dbt reads": self._digest(read)}

    def _digest(self, value: Any) -> str:
        return hmac.new(self._salt, json.dumps(value, default=str).encode(), hashlib.sha256).hexdigest()

    def _of_file(self, path: Path) -> str:
        digest = _digest(path)
        return self._digest(digest) if path.name == ENV_FILE else digest  # there may be secrets in it

    def _files(self, arguments: list[str]) -> Iterator[tuple[str, Path]]:
        workspace = self._dbt.workspace
        # The copy, as that is what dbt reads: the user's folder may be exchanged for another one at any moment.
        project, *packages = _with_packages(self._dbt)
        lists = (path for _, path in project.path_lists())
        named = {os.path.normpath(path) for path in (project.packages, *lists)}
        skipped = project.written - named
        yield from _walk(project.root, "", skipped=skipped)
        for name in sorted(named):  # what the project keeps where dbt writes
            if any(name.startswith(f"{folder}/") for folder in skipped) and (project.root / name).is_dir():
                yield from _walk(project.root / name, f"{name}/")
        made_of = {path for each in (project, *packages) for path in each.outside()}
        for path in sorted(path for path in made_of if not path.is_relative_to(project.root)):
            yield from _walk(path, f"{path}/") if path.is_dir() else [(str(path), path)]
        for path in project.read_by_dbt():
            if not path.is_relative_to(project.root):
                yield workspace.original(str(path)), path
        for folder in state_folders(arguments, workspace.env, workspace.source):
            for name in _STATE_FILES:
                if (folder / name).is_file():
                    yield str(folder / name), folder / name


def why_no_fingerprint(dbt: Dbt) -> str | None:
    """Return why not all that dbt is given can be told beforehand, None where it can."""
    if dbt.program is not None:
        return "dbt 2 does not tell what a plan depends on"
    if not dbt.invocation.project_config.partial_parse:
        return "partial_parse is off, so dbt reads the project anew in each run"
    project = dbt.invocation.profile_config
    if not _names_project(dbt):
        return f"the profile {project.profile_name} names no project, so Google's client finds one"
    own, *packages = _with_packages(dbt)
    for made_of in (own, *packages):
        unknown = made_of.unknown_path()
        if unknown is not None:
            return f"{dbt.workspace.original(str(made_of.root))} names {unknown}, which only dbt can read as a path"
    for path in own.read_by_dbt():
        if _STATE.search(path.read_text(encoding="utf-8", errors="replace")):
            return f"{dbt.workspace.original(str(path))} names earlier artifacts, which dbt alone reads"
    if dbt.missing_packages():
        return _why_packages_differ(dbt.workspace.project_dir / "package-lock.yml")
    return None


def _with_packages(dbt: Dbt) -> Iterator[Project]:
    """Yield the project and the packages that are installed; others are pinned, or there is no fingerprint."""
    workspace = dbt.workspace
    yield Project.read(workspace.project_dir, workspace.env)
    for file in sorted(workspace.packages_dir.glob(f"*/{PROJECT_FILE}")):
        yield Project.read(file.parent, workspace.env)


def _names_project(dbt: Dbt) -> bool:
    profile = yaml.safe_load((dbt.workspace.profiles_dir / "profiles.yml").read_text(encoding="utf-8"))
    config = dbt.invocation.profile_config
    output = profile[config.profile_name]["outputs"][config.target_name]
    return bool(output.get("project") or output.get("database"))


def _why_packages_differ(lock: Path) -> str | None:
    """Return why packages that are installed in each run may be others each time."""
    if not lock.is_file():
        return "packages are installed in each run, and no package-lock.yml pins them"
    packages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("packages") or []
    for package in packages:
        for kind in ("tarball", "local"):
            if kind in package:
                return f"the package {package[kind]} is installed in each run, and nothing pins its content"
    return None


def _named_besides_secrets(profile: str) -> frozenset[str]:
    """Return the environment variables that a profile reads for anything but a key, a token or a password."""
    found: set[str] = set()

    def look(value: object, key: str = "") -> None:
        if isinstance(value, dict):
            for name, each in value.items():
                look(each, str(name))
        elif isinstance(value, str) and key not in SECRET_KEYS:
            found.update(_VARIABLE.findall(value))

    look(yaml.safe_load(profile))
    return frozenset(found)


def _walk(
    root: Path, prefix: str, *, skipped: frozenset[str] = frozenset(), above: frozenset[str] = frozenset()
) -> Iterator[tuple[str, Path]]:
    """
    Yield the files below *root* by their names. dbt follows links to folders, and so do we, but never in a circle.

    Args:
        root: A folder.
        prefix: Of the names.
        skipped: Folders below it that dbt does not read.
        above: The folders through which we came here, without links in their paths.
    """
    above |= {os.path.realpath(root)}
    for entry in sorted(os.scandir(root), key=lambda found: found.name):
        path = Path(entry.path)
        if entry.is_file():  # not a link to nowhere
            yield prefix + entry.name, path
        elif entry.is_dir() and entry.name not in _SKIPPED and entry.name not in skipped:
            if os.path.realpath(path) in above or (path / "pyvenv.cfg").exists():
                continue
            below = frozenset(
                os.path.relpath(name, entry.name) for name in skipped if name.startswith(f"{entry.name}/")
            )
            yield from _walk(path, f"{prefix}{entry.name}/", skipped=below, above=above)


def _digest(path: Path) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            hashed.update(piece)
    return hashed.hexdigest()


def _without(secrets: Iterable[str], text: str) -> str:
    for secret in secrets:  # a key that is rotated changes nothing of the plan
        text = text.replace(secret, "")
    return text
