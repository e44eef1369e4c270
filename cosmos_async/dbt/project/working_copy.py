"""
A working copy of a dbt project for one task, gone when the task ends.

The user's folder is never written to: the copy has real folders and files, but for what is large or not dbt's, which are
links; a target and a log folder of its own, and a ``profiles.yml`` that only this user can read and that holds no secret.
Around it is what is around the project (``tree.py``), so that paths which look upwards find what they find there.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cosmos_async.dbt.command import SECRET_PREFIX
from cosmos_async.dbt.options import anchored_variables
from cosmos_async.dbt.project.project_file import ENV_FILE, PROJECT_FILE, Project
from cosmos_async.dbt.project.tree import Tree
from cosmos_async.exceptions import ProjectError
from cosmos_async.plan.ids import digest
from cosmos_async.profiles import RenderedProfile

logger = logging.getLogger(__name__)

PARTIAL_PARSE = "partial_parse.msgpack"
_LOCK_FILE = "package-lock.yml"
_SUFFIXES = (".sql", ".yml", ".yaml", ".md", ".csv", ".py")  # of what dbt reads
_LARGEST = 16 << 20  # bytes of a file that is copied for a dbt that follows links
_PREFIX = "cosmos_async-dbt-"  # of each working copy's folder in the system's temporary folder


@dataclass(frozen=True)
class Workspace:
    """Where one task runs dbt."""

    source: Path  #: the user's project
    project_dir: Path  #: its working copy
    profiles_dir: Path
    target_path: Path
    log_path: Path
    packages_dir: Path  #: where dbt looks for installed packages
    tree: Path  #: what is around the working copy, from the file system's root on
    env: dict[str, str] = field(repr=False)  #: everything dbt's process sees; secrets included
    kept_parse: Path | None = None  #: where the parsed project is kept for the next task
    written: tuple[str, ...] = field(default=(), repr=False)  #: secrets that the user's profile spells out
    own_target: str = "target"  #: dbt's target folder in the user's project, as dbt itself would call it
    own_logs: str = "logs"  #: its log folder there
    says_target: bool = False  #: whether the user's environment names the target folder

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must not be seen in a log: those dbt itself treats as secret, and those in the profile."""
        named = (value for name, value in self.env.items() if name.startswith(SECRET_PREFIX))
        return (*named, *self.written)

    def original(self, text: str) -> str:
        """Return *text*, in which dbt names files of the working copy, with the user's own files in their places."""
        return text.replace(str(self.project_dir), str(self.source)).replace(str(self.tree), "")

    def own_artifact(self, data: bytes) -> bytes:
        """Return an artifact of dbt with the user's own folders where it names those of the working copy."""
        # What was parsed in an earlier copy names that one.
        copies = re.escape(_in_json(Path(tempfile.gettempdir()) / _PREFIX)) + rb"\w+/tree"
        data = re.sub(copies, lambda _: _in_json(self.tree), data)
        folders = {
            self.project_dir: str(self.source),
            self.tree: "",
            self.target_path: self.own_target,
            self.log_path: self.own_logs,
        }
        for folder, own in folders.items():
            data = data.replace(_in_json(folder), _in_json(own))
        return data

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
    source: Path,
    profile: RenderedProfile,
    env: Mapping[str, str],
    *,
    cache_dir: Path | None = None,
    variant: str = "",
    file_links: bool = True,
) -> Iterator[Workspace]:
    """
    Make a working copy of the project in *source* and delete it at the end.

    Args:
        source: The user's project.
        profile: The profile to write beside it.
        env: What dbt's process shall see; the profile's own variables and the copy's paths are added.
        cache_dir: Where parsed projects are kept; None has dbt parse anew each time.
        variant: Tells apart users of the cache that would push each other out, such as two versions of dbt.
        file_links: Whether this dbt reads files that are links. dbt 2 passes by them, so large ones are copied as well.

    Raises:
        ProjectError: There is no readable dbt project, or a folder that it names cannot be shown to dbt.
    """
    source = source.absolute()
    project = Project.read(source, env)
    linked = project.written.union((".git",))
    copied = partial(_is_copied, largest=_LARGEST if file_links else None)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        # dbt 1.12 looks upwards for one, and would go on to that of the temporary folder, where anybody may put it.
        (folder / ENV_FILE).touch()
        tree = Tree(folder / "tree")
        project_dir = tree.mirror(
            project.root,
            # Large, and dbt writes nothing there: the copy has a target and a log folder of its own, elsewhere.
            linked=lambda path: (
                str(path.relative_to(project.root)) in linked
                or path.name == "__pycache__"
                or (path / "pyvenv.cfg").exists()
            ),
            copied=copied,
        )
        packages_dir = _own_packages(tree, project, copied)
        for path in project.outside():
            tree.bring(path)
        refuse_lost_paths(project, project_dir)
        workspace = Workspace(
            source=source,
            project_dir=project_dir,
            profiles_dir=_folder(folder / "profiles"),
            # As deep as the project: for a file that lies above it, dbt writes into folders above this one.
            target_path=_folder(
                folder / "written" / project.root.relative_to(project.root.anchor) / "target"
            ),
            log_path=_folder(folder / "logs"),
            packages_dir=packages_dir,
            tree=tree.root,
            env=dict(env),
            kept_parse=_kept_parse(source, profile, cache_dir, variant),
            written=profile.written_secrets,
            own_target=_named(env, "target") or project.path("target-path") or "target",
            own_logs=str(source / (_named(env, "log") or project.path("log-path") or "logs")),
            says_target=bool(_named(env, "target")),
        )
        workspace.env.update(profile.write(workspace.profiles_dir))
        workspace.env.update(anchored_variables(env, source))
        if not _says_colors(workspace.env, project, profile):
            workspace.env["DBT_USE_COLORS"] = (
                "False"  # nobody asked for them, and Airflow's log shows their codes
            )
        workspace.env.update(by_both_names(_ours(workspace)))
        _bring_partial_parse(workspace)
        yield workspace
        workspace.keep_partial_parse()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():  # the task's own result matters more than temporary files
            logger.warning("The temporary folder %s could not be deleted; please delete it.", folder)


def by_both_names(variables: Mapping[str, str]) -> dict[str, str]:
    """
    Return dbt's own variables by their newer names, too.

    dbt 1.11 prefers ``DBT_ENGINE_...`` to ``DBT_...``, and dbt 1.12 would take it from a file where the environment has none.
    """
    newer = {name.replace("DBT_", "DBT_ENGINE_", 1): value for name, value in variables.items()}
    return {**variables, **newer}


def _ours(workspace: Workspace) -> dict[str, str]:
    # As variables rather than options: they must not be part of the invocation that `dbt retry` repeats.
    return {
        "DBT_PROJECT_DIR": str(workspace.project_dir),
        "DBT_PROFILES_DIR": str(workspace.profiles_dir),
        "DBT_TARGET_PATH": str(workspace.target_path),
        "DBT_LOG_PATH": str(workspace.log_path),
        "DBT_WRITE_JSON": "True",  # whatever the project says: run_results.json tells what became of a node
    }


def _is_copied(path: Path, *, largest: int | None) -> bool:
    """Return whether a file is there as itself: ``dbt deps`` writes its lock, and dbt 2's parser passes by links to files."""
    if path.name == "profiles.yml":  # dbt has another one here, and this may hold a secret
        return False
    if path.name == _LOCK_FILE:
        return True
    if largest is None:
        # What is a link in the user's project dbt 2 passes by there, too.
        return path.suffix in _SUFFIXES and not path.is_symlink()
    return path.suffix in _SUFFIXES and path.stat().st_size <= largest


def _named(env: Mapping[str, str], name: str) -> str | None:
    """Return dbt's target or log folder as the user's environment names it."""
    return env.get(f"DBT_ENGINE_{name.upper()}_PATH") or env.get(f"DBT_{name.upper()}_PATH")


def _in_json(text: str | Path) -> bytes:
    return json.dumps(str(text))[1:-1].encode()


def _says_colors(env: Mapping[str, str], project: Project, profile: RenderedProfile) -> bool:
    flags = project.settings.get("flags") or profile.flags
    return (isinstance(flags, dict) and "use_colors" in flags) or any(
        name in env for name in ("DBT_USE_COLORS", "DBT_ENGINE_USE_COLORS")
    )


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True)
    return path


def _own_packages(tree: Tree, project: Project, copied: Callable[[Path], bool]) -> Path:
    """Make the folder of installed packages ours, wherever it is: `dbt deps` deletes it and makes it anew."""
    packages = project.root / project.packages
    if os.path.isabs(project.packages):
        return packages  # dbt looks there, and not in the tree
    there = tree.at(packages)
    if there.resolve().is_relative_to(tree.root.resolve()) and there.is_dir():
        return there  # a folder of the project, and as such ours
    if packages.is_dir():
        return tree.mirror(packages, copied=copied)
    tree.make_real(packages.parent)
    return there


def refuse_lost_paths(project: Project, project_dir: Path) -> None:
    """
    Make sure that whatever the project's path lists name is there for dbt as well: dbt would pass over it in silence.

    Args:
        project: The user's.
        project_dir: Its working copy.

    Raises:
        ProjectError: It is not.
    """
    for key, path in project.path_lists():
        if (project.root / path).exists() and not (project_dir / path).exists():
            raise ProjectError(
                f"{path!r} of {key} in {project.root / PROJECT_FILE} is there, but cannot be shown to dbt, which runs "
                f"in a working copy of the project. Let Airflow's user read the folders above {project.root / path}, "
                "or move it into the project."
            )


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
