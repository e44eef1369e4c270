"""
The version of a dbt project: a digest of its files, of which Airflow 3 makes a new version of the DAG when it changes.

It is the same wherever the project lies and whenever it was put there, so unchanged files never make a version.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from cosmos_async.dbt.project.project_file import Project
from cosmos_async.graph.cache import FileStat, open_cache, scan, stat_of


def project_files(project: Project) -> list[FileStat]:
    """Return every file that a dbt project is made of, packages and folders beside it included."""
    files = scan(project.root)
    for folder in project.outside():
        files += scan(folder) if folder.is_dir() else [stat_of(folder)]
    return files


def project_version(project_dir: Path, environ: Mapping[str, str], *, without: Collection[str] = ()) -> str:
    """
    Return the version of a dbt project: 16 hexadecimal digits.

    The files are read once after a change; between two, a look at their sizes and times is enough.

    Args:
        project_dir: The project.
        environ: The environment that dbt will see; ``dbt_project.yml`` may name paths by it.
        without: Names of folders whose files do not count, beside those that dbt writes.

    Raises:
        ProjectError: The project has no readable ``dbt_project.yml``.
    """
    project = Project.read(project_dir, environ)
    written = [PurePosixPath(path) for path in project.written]
    skipped = frozenset(without)

    def counts(file: FileStat) -> bool:
        path = PurePosixPath(file.name)
        return skipped.isdisjoint(path.parts[:-1]) and not any(folder in path.parents for folder in written)

    with open_cache() as cache:
        return cache.version([file for file in project_files(project) if counts(file)])[:16]
