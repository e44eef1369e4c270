"""``ProjectConfig``: where the dbt project is, and what dbt is told with it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from cosmos_async.exceptions import ProjectError


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
        manifest_path: A ``manifest.json`` on this machine; with it and without a selection, no dbt runs at import.
        manifest_conn_id: Not available, as manifests are read from this machine only.
        project_name: Names the ``<project>_test`` task where there is no ``dbt_project_path``.
        env_vars: Environment variables for dbt, at import and at run time.
        dbt_vars: dbt's ``--vars``, at import and at run time.
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
        if manifest_conn_id or (manifest_path and "://" in str(manifest_path)):
            raise ProjectError(
                f"ProjectConfig.manifest_path {str(manifest_path)!r} is a remote manifest, which is not supported. "
                "Deploy manifest.json with the DAG files and give its local path, or leave it out to use `dbt ls`."
            )
        self.dbt_project_path = Path(dbt_project_path) if dbt_project_path else None
        self.manifest_path = Path(manifest_path) if manifest_path else None
        self.project_name = project_name or (self.dbt_project_path.stem if self.dbt_project_path else "")
        self.install_dbt_deps = install_dbt_deps
        self.copy_dbt_packages = copy_dbt_packages
        self.env_vars = dict(env_vars) if env_vars else None
        self.dbt_vars = dict(dbt_vars) if dbt_vars else None
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
            ProjectError: The folder, its ``dbt_project.yml`` or the manifest is missing.
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
        if self.manifest_path is not None and not self.manifest_path.is_file():
            raise ProjectError(
                f"manifest_path {self.manifest_path} is not a file. Write it with `dbt parse`, or leave manifest_path "
                "out to use `dbt ls`."
            )

    def __repr__(self) -> str:
        return f"ProjectConfig({str(self.dbt_project_path or self.manifest_path)!r})"
