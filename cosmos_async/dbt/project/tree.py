"""
Symbolic links around a working copy, which make it see the file system as the project does: the user's own, but for the folders that are ours.

At first the tree is one link to the root of the file system. A folder that dbt works in is made real, and with it
every folder above; whatever else lies in these is linked to. So ``..`` leads where it leads for the user's project, for
dbt and for plugins that nobody here knows, and what is written into a folder of ours stays in the tree.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


class Tree:
    """
    A view of the file system.

    Args:
        root: Where the tree is made; its parent holds what the task writes and is not shown in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._hidden = root.parent.resolve()

    def at(self, path: Path) -> Path:
        """Return where the absolute *path*, which may have ``..``, is in the tree."""
        path = Path(os.path.normpath(path))
        return self.root / path.relative_to(path.anchor)

    def make_real(self, path: Path) -> Path:
        """Make *path* a folder of ours, with links to what is in the user's, and return where it is."""
        path = Path(os.path.normpath(path))
        for folder in [*reversed(path.parents), path]:
            there = self.at(folder)
            if there.is_symlink():
                there.unlink()
            elif there.is_dir():
                continue
            there.mkdir(parents=True)
            for name in _names(folder):
                if folder / name != self._hidden:
                    (there / name).symlink_to(folder / name)
        return self.at(path)

    def mirror(
        self,
        path: Path,
        *,
        linked: Callable[[Path], bool] = lambda _: False,
        copied: Callable[[Path], bool] = lambda _: False,
    ) -> Path:
        """
        Give *path* real folders all the way down, with links to its files, and return where it is.

        Args:
            path: A folder of the user's.
            linked: Tells which folders below it are links all the same.
            copied: Tells which files are copies.
        """
        path = Path(os.path.normpath(path))
        there = self.make_real(path.parent) / path.name
        if there.is_symlink():
            there.unlink()
        for parent, folders, files in os.walk(path):
            into = there / Path(parent).relative_to(path)
            into.mkdir(exist_ok=True)
            for name in list(folders):
                found = Path(parent, name)
                if found == self._hidden:
                    folders.remove(name)
                elif found.is_symlink() or linked(found):
                    folders.remove(name)
                    (into / name).symlink_to(found.resolve())
            for name in files:
                found = Path(parent, name)
                if not (found.is_file() and copied(found) and _copy(found, into / name)):
                    (into / name).symlink_to(found.resolve())
        return there

    def bring(self, path: Path) -> None:
        """Link to the user's *path*, unless it is in the tree: folders above it may not tell what they hold."""
        there = self.at(path)
        if os.path.exists(path) and not os.path.lexists(there):
            self.make_real(Path(os.path.normpath(path)).parent)
            if not os.path.lexists(there):
                there.symlink_to(os.path.normpath(path))


def _copy(file: Path, to: Path) -> bool:
    """Copy a file with its times, and return whether that was possible; what cannot be read may not be asked for."""
    try:
        shutil.copy2(file, to)
    except OSError:
        to.unlink(missing_ok=True)
        return False
    return True


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # it is not there yet, or may be passed through but not read
        return []
