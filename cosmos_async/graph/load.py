"""
From what the user configured to a graph: from the manifest, from dbt, or from what is kept of an earlier answer.

The way is the same for every import of a DAG file; only the first one after a change waits for dbt.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cosmos_async import settings
from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.constants import LoadMode, TestIndirectSelection
from cosmos_async.dbt.command import dbt_environment
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.options import state_manifests
from cosmos_async.dbt.project.project_file import Project
from cosmos_async.exceptions import ConfigError, ProfileError
from cosmos_async.graph.background import Question, answer_beside, time_left
from cosmos_async.graph.cache import GraphCache, make_folder, open_cache, stat_of
from cosmos_async.graph.dbt_ls import arguments, ask
from cosmos_async.graph.document import FORMAT, graph_from_json, graph_to_json
from cosmos_async.graph.manifest import graph_of, has_default_selector, read_manifest
from cosmos_async.graph.model import Graph
from cosmos_async.graph.remote_manifest import LONGEST, local_copy
from cosmos_async.graph.version import project_files


def load_graph(
    project: ProjectConfig, profile: ProfileConfig | None, execution: ExecutionConfig, render: RenderConfig
) -> Graph:
    """
    Return the nodes and tests that *render* selects.

    Raises:
        ConfigError: Something it names is missing or contradictory.
        DbtError: dbt cannot read the project or the selection.
    """
    return _Loader(project, profile, execution, render).load()


class _Loader:
    def __init__(
        self,
        project: ProjectConfig,
        profile: ProfileConfig | None,
        execution: ExecutionConfig,
        render: RenderConfig,
    ) -> None:
        self.project = project
        self.profile = profile
        self.execution = execution
        self.render = render

    def load(self) -> Graph:
        method = self.render.load_method
        if method is LoadMode.DBT_MANIFEST and self.project.manifest_path is None:
            raise ConfigError(
                "RenderConfig.load_method is DBT_MANIFEST, but ProjectConfig has no manifest_path. Set it to the "
                "project's manifest.json, or use LoadMode.DBT_LS."
            )
        with open_cache() as cache:
            if method is LoadMode.DBT_LS or self.project.manifest_path is None:
                return self._listed(cache, None)
            manifest = self._manifest(cache, self.project.manifest_path)
            if not self._selects():
                graph = self._whole(cache, manifest)
                if graph is not None:
                    return graph
            return self._listed(cache, manifest)

    def _manifest(self, cache: GraphCache, path: Path | str) -> Path:
        """Return the manifest as a file of this machine."""
        if isinstance(path, Path):
            return path
        conn_id = self.project.manifest_conn_id
        if not conn_id and self.profile is None:
            raise ProfileError(f"Nobody is named who reads {path}. Set ProjectConfig.manifest_conn_id.")
        identity = {"conn_id": conn_id} if conn_id or self.profile is None else self.profile.identity()
        left = time_left()
        return local_copy(
            path,
            identity=identity,
            directory=cache.directory.parent / "manifests",
            timeout=LONGEST if left is None else min(LONGEST, left / 2),
        )

    def _selects(self) -> bool:
        # Where everything is selected, so is every test, whatever the project's flags say of others.
        eager = self.execution.test_indirect_selection in (None, TestIndirectSelection.EAGER)
        return bool(self.render.select or self.render.exclude or self.render.selector) or not eager

    def _whole(self, cache: GraphCache, manifest: Path) -> Graph | None:
        """Return everything in *manifest*, or None if the project has a selector of its own."""
        key = cache.key(["manifest", FORMAT], [stat_of(manifest)], {})
        kept = cache.get(key)
        if kept is None:
            document = read_manifest(manifest)
            own = has_default_selector(document)
            kept = {"default_selector": True} if own else graph_to_json(graph_of(document))
            cache.put(key, kept)
        return None if kept.get("default_selector") else graph_from_json(kept)

    def _listed(self, cache: GraphCache, manifest: Path | None) -> Graph:
        if self.profile is None:
            raise ProfileError("`dbt ls` needs a profile. Give DbtDag or DbtTaskGroup a profile_config.")
        project_dir = self._project_dir()
        profile = self.profile.render(mock=self.render.enable_mock_profile)
        executable, requirements = self._dbt()
        invocation = self._invocation(self.profile, executable)
        environ = dbt_environment(invocation, os.environ)
        read = Project.read(project_dir, environ)
        files = project_files(read) + [stat_of(path) for path in read.read_by_dbt()]
        files += [stat_of(path) for path in state_manifests(environ, project_dir) if path.is_file()]
        key = cache.key(
            [
                *("dbt_ls", FORMAT, str(project_dir), arguments(invocation), invocation.install_deps),
                *(profile.name, profile.target, profile.output, profile.others, profile.flags),
                *(_look(executable), requirements, self._airflow_variables()),
                str(manifest) if manifest else None,
            ],
            files + ([stat_of(manifest)] if manifest else []),
            environ,
        )
        kept = cache.get(key)
        if kept is not None:
            return graph_from_json(kept)
        if manifest is not None and not (executable or requirements or find_spec("dbt")):
            raise ConfigError(
                "There is a manifest, but RenderConfig or the project selects nodes of it, and what select, exclude, "
                "selector and test_indirect_selection mean is asked of dbt. No dbt is here, where this DAG file is "
                "imported: name one in RenderConfig(dbt_executable_path=...), have one made by "
                "ExecutionConfig(async_py_requirements=...), or leave the selection out: a manifest is then enough."
            )
        make_folder(cache.directory)
        question = Question(
            invocation=invocation,
            project_dir=project_dir,
            profile=profile,
            environ=environ,
            requirements=requirements,
            manifest=manifest,
            directory=cache.directory,
            key=key,
        )
        left = time_left()
        if left is None or not settings.enable_cache():
            return question.answer(ask)
        return answer_beside(question, left)

    def _project_dir(self) -> Path:
        project_dir = self.render.project_path or self.project.dbt_project_path
        if project_dir is None:
            raise ConfigError(
                "dbt has to resolve the selection, but there is no project for it. Set ProjectConfig.dbt_project_path, "
                "or give a manifest_path without select, exclude and selector."
            )
        return project_dir.absolute()

    def _invocation(self, profile: ProfileConfig, executable: str | None) -> DbtInvocation:
        deps = self.render.dbt_deps
        return DbtInvocation(
            project_config=self.project,
            profile_config=profile,
            execution_config=replace(
                self.execution, dbt_executable_path=executable, dbt_project_path=self.execution.project_path
            ),
            select=self.render.select,
            exclude=self.render.exclude,
            selector=self.render.selector,
            env=self.render.env_vars,
            install_deps=self.project.install_dbt_deps if deps is None else deps,
        )

    def _dbt(self) -> tuple[str | None, list[str] | None]:
        """Return the dbt to run, or what to install where there is none."""
        named = self.render.dbt_executable_path or self.execution.dbt_executable_path
        if named:
            return str(named), None
        beside = Path(sys.executable).parent / "dbt"
        found = str(beside) if beside.is_file() else shutil.which("dbt")
        return found, None if found else self.execution.async_py_requirements

    def _airflow_variables(self) -> dict[str, str]:
        if not self.render.airflow_vars_to_purge_dbt_ls_cache:
            return {}
        return {name: _airflow_variable(name) for name in self.render.airflow_vars_to_purge_dbt_ls_cache}


def _look(executable: str | None) -> list[Any]:
    """Return what tells one dbt from another, or from itself after an upgrade, without starting it."""
    path = shutil.which(executable) if executable else None
    if path is None:
        return [executable]
    stat = os.stat(path)
    return [os.path.realpath(path), stat.st_size, stat.st_mtime_ns]


def _airflow_variable(name: str) -> str:
    from cosmos_async.airflow.compat import AIRFLOW_VERSION

    if AIRFLOW_VERSION >= (3, 0):
        from airflow.sdk import Variable

        return str(Variable.get(name, default=""))
    from airflow.models.variable import Variable as ModelVariable  # removable when Airflow 2.11 is dropped

    return str(ModelVariable.get(name, default_var=""))
