"""``ProjectConfig``: where the dbt project is, and what dbt is told with it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosmos_async.exceptions import ProjectError

REMOTE = "gs://"


class ProjectConfig:
    """
    The dbt project.

    Args:
        dbt_project_path: The folder with ``dbt_project.yml``.
        install_dbt_deps: Run ``dbt deps`` if the project names packages. They are installed into a copy; the project's
            own folder is never written to.
        copy_dbt_packages: Without effect: packages that the project brings along are always found.
        models_relative_path: Without effect, as the following two: ``dbt_project.yml`` tells dbt.
        seeds_relative_path: Without effect.
        snapshots_relative_path: Without effect.
        manifest_path: A ``manifest.json``, of this machine or in Cloud Storage (``gs://bucket/manifest.json``); with it
            and without a selection, no dbt runs at import.
        manifest_conn_id: The Airflow connection that reads it from Cloud Storage, instead of the profile's own.
        project_name: Names the ``<project>_test`` task where there is no ``dbt_project_path``.
        env_vars: Environment variables for dbt, at import and at run time. What another task returns (an ``XComArg``) is
            known at run time alone.
        dbt_vars: dbt's ``--vars``, likewise.
        partial_parse: Let dbt reuse what it parsed before.
        models_relative_paths: Without effect, as the following two.
        seeds_relative_paths: Without effect.
        snapshots_relative_paths: Without effect.

    Raises:
        ProjectError: The arguments contradict each other.
    """

    def __init__(
        self,
        dbt_project_path: str | Path | None = None,
        install_dbt_deps: bool = True,
        copy_dbt_packages: bool = False,
        models_relative_path: str | Path | None = None,
        seeds_relative_path: str | Path | None = None,
        snapshots_relative_path: str | Path | None = None,
        manifest_path: str | Path | None = None,
        manifest_conn_id: str | None = None,
        project_name: str | None = None,
        env_vars: dict[str, str] | None = None,
        dbt_vars: dict[str, Any] | None = None,
        partial_parse: bool = True,
        *,
        models_relative_paths: Any = None,
        seeds_relative_paths: Any = None,
        snapshots_relative_paths: Any = None,
    ) -> None:
        if not dbt_project_path and bool(manifest_path) != bool(project_name):
            raise ProjectError(
                "ProjectConfig has only one of manifest_path and project_name. Without dbt_project_path, set both or "
                "neither."
            )
        _check_manifest(str(manifest_path or ""), manifest_conn_id)
        self.dbt_project_path = Path(dbt_project_path) if dbt_project_path else None
        remote = str(manifest_path).startswith(REMOTE)
        self.manifest_path: Path | str | None = (
            (str(manifest_path) if remote else Path(manifest_path)) if manifest_path else None
        )
        self.manifest_conn_id = manifest_conn_id
        self.project_name = project_name or (self.dbt_project_path.stem if self.dbt_project_path else "")
        self.install_dbt_deps = install_dbt_deps
        self.copy_dbt_packages = copy_dbt_packages
        self.env_vars = _own(env_vars)
        self.dbt_vars = _own(dbt_vars)
        self.partial_parse = partial_parse

    def at(self, dbt_project_path: Path) -> ProjectConfig:
        """Return the same configuration for a project at *dbt_project_path*."""
        other = copy.copy(self)
        other.dbt_project_path = dbt_project_path
        return other

    def validate(self) -> None:
        """
        Look whether the project's files are there.

        Raises:
            ProjectError: The folder, its ``dbt_project.yml`` or a manifest of this machine is missing.
        """
        path = self.dbt_project_path
        if path is not None and not path.is_dir():
            raise ProjectError(
                f"dbt_project_path {path} is not a folder. Point it at the folder with dbt_project.yml; a path "
                "relative to the DAG file is best written as Path(__file__).parent / ..."
            )
        if path is not None and not (path / "dbt_project.yml").is_file():
            raise ProjectError(
                f"There is no dbt_project.yml in dbt_project_path {path}. Point dbt_project_path at the folder that "
                "holds it."
            )
        if isinstance(self.manifest_path, Path) and not self.manifest_path.is_file():
            raise ProjectError(
                f"manifest_path {self.manifest_path} is not a file. Write it with `dbt parse`, or leave manifest_path "
                "out to use `dbt ls`."
            )

    def __repr__(self) -> str:
        return f"ProjectConfig({str(self.dbt_project_path or self.manifest_path)!r})"


def _own(mapping: Any) -> Any:
    """Return a copy of a mapping; what a task will give (an ``XComArg``) stays as it is."""
    if mapping is None:
        return None
    return dict(mapping) or None if isinstance(mapping, Mapping) else mapping


def _check_manifest(path: str, conn_id: str | None) -> None:
    ways_out = (
        "Deploy manifest.json with the DAG files and give its path, copy it to a bucket (gs://), or leave manifest_path "
        "out to use `dbt ls`."
    )
    if path.startswith(REMOTE):
        bucket, _, name = path[len(REMOTE) :].partition("/")
        if not bucket or not name or name.endswith("/"):
            raise ProjectError(
                f"ProjectConfig.manifest_path {path!r} names no object. Give it as gs://bucket/path/manifest.json."
            )
    elif "://" in path or path.startswith("gs:"):  # a Path has eaten one of the two slashes
        raise ProjectError(
            f"ProjectConfig.manifest_path {path!r} lies where manifests are not read from: only files of this machine "
            f"and Cloud Storage, as a text that begins with {REMOTE}. {ways_out}"
        )
    elif conn_id:
        raise ProjectError(
            f"ProjectConfig.manifest_conn_id is {conn_id!r}, but manifest_path {path!r} is not in Cloud Storage (gs://). "
            "Leave manifest_conn_id out."
        )
