"""
A working copy of a dbt project for one task, gone when the task ends.

The user's folder is never written to: the copy has real folders and links to the project's files, a target and a log
folder of its own, and a ``profiles.yml`` that only this user can read and that holds no secret.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosmos_async.dbt.command import SECRET_PREFIX
from cosmos_async.dbt.options import anchored_variables
from cosmos_async.exceptions import ProjectError
from cosmos_async.names import digest
from cosmos_async.profiles.base import RenderedProfile

logger = logging.getLogger(__name__)

PARTIAL_PARSE = "partial_parse.msgpack"
PACKAGE_FILES = ("packages.yml", "dependencies.yml")
_LOCK_FILE = "package-lock.yml"
# dbt writes them, so the copy gets its own.
_NEVER_COPIED = frozenset({".git", "target", "logs"})


@dataclass(frozen=True)
class Workspace:
    """Where one task runs dbt."""

    source: Path  #: the user's project
    project_dir: Path  #: its working copy
    profiles_dir: Path
    target_path: Path
    log_path: Path
    packages_dir: Path  #: where dbt looks for installed packages
    env: dict[str, str] = field(repr=False)  #: everything dbt's process sees; secrets included
    kept_parse: Path | None = None  #: where the parsed project is kept for the next task
    written: tuple[str, ...] = field(default=(), repr=False)  #: secrets that the user's profile spells out

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must not be seen in a log: those dbt itself treats as secret, and those in the profile."""
        named = (value for name, value in self.env.items() if name.startswith(SECRET_PREFIX))
        return (*named, *self.written)

    def keep_partial_parse(self) -> None:
        """Keep what dbt parsed for the next task on this machine. dbt itself finds out whether it still fits."""
        parsed = self.target_path / PARTIAL_PARSE
        if self.kept_parse is None or not parsed.is_file():
            return
        self.kept_parse.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Another task may be reading it: never change it in place.
        descriptor, beside = tempfile.mkstemp(dir=self.kept_parse.parent, prefix=".parse-")
        os.close(descriptor)
        shutil.copyfile(parsed, beside)
        os.replace(beside, self.kept_parse)


@contextmanager
def open_workspace(
    project: Path,
    profile: RenderedProfile,
    env: Mapping[str, str],
    *,
    cache_dir: Path | None = None,
    variant: str = "",
) -> Iterator[Workspace]:
    """
    Make a working copy of the project in *project* and delete it at the end.

    Args:
        project: The user's project.
        profile: The profile to write beside it.
        env: What dbt's process shall see; the profile's own variables and the copy's paths are added.
        cache_dir: Where parsed projects are kept; None has dbt parse anew each time.
        variant: Tells apart users of the cache that would push each other out, such as two versions of dbt.

    Raises:
        ProjectError: There is no readable dbt project.
    """
    project = project.absolute()
    settings = read_project(project)
    folder = Path(tempfile.mkdtemp(prefix="cosmos_async-dbt-"))
    try:
        # At the same depth as the original, so that packages such as `local: ../common` can be found beside it.
        project_dir = folder / "tree" / project.relative_to(project.anchor)
        packages_path = _plain(settings.get("packages-install-path")) or "dbt_packages"
        _link_tree(project, project_dir, skip=_own_folders(settings))
        _link_local_packages(project, project_dir)
        workspace = Workspace(
            source=project,
            project_dir=project_dir,
            profiles_dir=_folder(folder / "profiles"),
            target_path=_folder(folder / "target"),
            log_path=_folder(folder / "logs"),
            packages_dir=project_dir / packages_path,
            env=dict(env),
            kept_parse=_kept_parse(project, profile, cache_dir, variant),
            written=profile.written_secrets,
        )
        workspace.env.update(profile.write(workspace.profiles_dir))
        workspace.env.update(anchored_variables(env, project))
        for name, value in _ours(workspace).items():
            workspace.env[name] = value
            workspace.env.pop(name.replace("DBT_", "DBT_ENGINE_", 1), None)  # dbt 1.11 would prefer it
        _bring_partial_parse(workspace)
        yield workspace
        workspace.keep_partial_parse()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():  # the task's own result matters more than temporary files
            logger.warning("The temporary folder %s could not be deleted; please delete it.", folder)


def read_project(project: Path) -> dict[str, Any]:
    """
    Return the content of *project*'s ``dbt_project.yml``.

    Raises:
        ProjectError: It is missing or not YAML.
    """
    import yaml

    path = project / "dbt_project.yml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProjectError(
            f"The dbt project's {path} cannot be read on this worker: {error.strerror}. Correct dbt_project_path, or "
            "bring the project to every worker as you do with the DAG files."
        ) from error
    except yaml.YAMLError as error:
        raise ProjectError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ProjectError(f"{path} holds no settings; a dbt project begins with `name:` there.")
    return document


def _ours(workspace: Workspace) -> dict[str, str]:
    # As variables rather than options: they must not be part of the invocation that `dbt retry` repeats.
    return {
        "DBT_PROJECT_DIR": str(workspace.project_dir),
        "DBT_PROFILES_DIR": str(workspace.profiles_dir),
        "DBT_TARGET_PATH": str(workspace.target_path),
        "DBT_LOG_PATH": str(workspace.log_path),
        "DBT_WRITE_JSON": "True",  # whatever the project says: run_results.json tells what became of a node
    }


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


def _plain(value: Any) -> str | None:
    """Return a path from ``dbt_project.yml``, if it says one without Jinja."""
    return str(value) if value and "{{" not in str(value) else None


def _own_folders(settings: Mapping[str, Any]) -> frozenset[str]:
    named = (_plain(settings.get(key)) for key in ("target-path", "log-path"))
    return _NEVER_COPIED.union(os.path.normpath(path) for path in named if path)


def _link_tree(source: Path, copy: Path, *, skip: frozenset[str]) -> None:
    """Mirror the folders of *source* in *copy*, with links to its files; leave out *skip*, relative to it."""
    for parent, folders, files in os.walk(source):
        relative = Path(parent).relative_to(source)
        into = copy / relative
        into.mkdir(parents=True, exist_ok=True)
        for name in list(folders):
            path = Path(parent, name)
            if str(relative / name) in skip or (path / "pyvenv.cfg").exists() or name == "__pycache__":
                folders.remove(name)
            elif path.is_symlink():
                folders.remove(name)
                (into / name).symlink_to(path.resolve())
        for name in files:
            path = Path(parent, name)
            if name == _LOCK_FILE and path.is_file():
                shutil.copyfile(path, into / name)  # `dbt deps` writes it
            else:
                (into / name).symlink_to(path.resolve())


def _link_local_packages(project: Path, project_dir: Path) -> None:
    """Make packages that lie beside the project reachable from its copy by the same relative path."""
    for package in declared_packages(project):
        path = _plain(package.get("local"))
        if path is None or os.path.isabs(path):
            continue
        there = Path(os.path.normpath(project_dir / path))
        source = Path(os.path.normpath(project / path))
        if source.is_dir() and not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            there.symlink_to(source)


def declared_packages(project: Path) -> list[dict[str, Any]]:
    """
    Return the entries below ``packages:`` in *project*'s package files.

    Raises:
        ProjectError: A file is not YAML.
    """
    import yaml

    found: list[dict[str, Any]] = []
    for name in PACKAGE_FILES:
        path = project / name
        if not path.is_file():
            continue
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ProjectError(f"{path} is not YAML: {error}") from error
        packages = document.get("packages") if isinstance(document, dict) else None
        found.extend(package for package in packages or [] if isinstance(package, dict))
    return found


def _kept_parse(project: Path, profile: RenderedProfile, cache_dir: Path | None, variant: str) -> Path | None:
    if cache_dir is None:
        return None
    return cache_dir / "parsed" / f"{digest(project, profile.name, profile.target, variant)[:32]}.msgpack"


def _bring_partial_parse(workspace: Workspace) -> None:
    kept = workspace.kept_parse
    if kept is None:
        return
    for path in (kept, workspace.source / "target" / PARTIAL_PARSE):
        if path.is_file():
            shutil.copyfile(path, workspace.target_path / PARTIAL_PARSE)
            return
