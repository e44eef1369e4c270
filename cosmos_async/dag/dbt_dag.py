"""
``DbtDag`` and ``DbtTaskGroup``: a dbt project as Airflow tasks.

Both are what they are called, an Airflow DAG and an Airflow task group, and take the arguments of these beside their
own.
"""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cosmos_async import settings
from cosmos_async.airflow.compat import AIRFLOW_VERSION, DAG, TaskGroup
from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig, own_config
from cosmos_async.constants import TestBehavior
from cosmos_async.dag.converters import by_kind
from cosmos_async.dag.cosmos_settings import warn_of_settings
from cosmos_async.dag.operator_args import OperatorArgs
from cosmos_async.dag.renderer import Renderer
from cosmos_async.dag.tasks import TaskMaker
from cosmos_async.exceptions import ConfigError, ProfileError
from cosmos_async.graph import DbtGraph, load_graph
from cosmos_async.graph.version import project_version

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DbtDag", "DbtTaskGroup"]

Config = TypeVar("Config", ExecutionConfig, RenderConfig)


class DbtProject:
    """
    What a DAG and a task group of a dbt project have in common: their arguments, and how these become tasks.

    The configuration objects are not changed; several DAGs may share them. Those made with Cosmos' classes are taken
    by what they say.

    Args:
        args: Positional arguments of Airflow's ``DAG`` or ``TaskGroup``.
        project_config: The dbt project.
        profile_config: How dbt and the triggerer reach BigQuery.
        execution_config: With which dbt, from where.
        render_config: Which nodes, and how they look as tasks.
        operator_args: Arguments for the tasks: dbt's (``vars``, ``full_refresh``, ...) and Airflow's (``retries``, ...).
        on_warning_callback: Called with Airflow's context, ``test_names`` and ``test_results`` where tests or freshness
            checks of a task warned; on a worker, which only such a task takes.
        kwargs: Keyword arguments of Airflow's ``DAG`` or ``TaskGroup``.

    Raises:
        ConfigError: Something the configuration names is missing or contradictory.
        DbtError: dbt cannot read the project.
    """

    def __init__(
        self,
        *args: Any,
        project_config: ProjectConfig,
        profile_config: ProfileConfig | None = None,
        execution_config: ExecutionConfig | None = None,
        render_config: RenderConfig | None = None,
        operator_args: dict[str, Any] | None = None,
        on_warning_callback: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if profile_config is None:
            raise ProfileError("There is no profile_config. Give DbtDag or DbtTaskGroup one.")
        if not settings.enable_setup_async_task():
            raise ConfigError(
                "Setting enable_setup_async_task is False, but every run plans itself here. Remove the setting, or set "
                "AIRFLOW__COSMOS_ASYNC__ENABLE_SETUP_ASYNC_TASK=True if Cosmos needs it."
            )
        warn_of_settings()
        project_config = own_config(ProjectConfig, project_config, "project_config")
        profile_config = own_config(ProfileConfig, profile_config, "profile_config")
        render = _copied(RenderConfig, render_config, "render_config")
        execution = _copied(ExecutionConfig, execution_config, "execution_config")
        project = _placed(project_config, execution, render)
        operator = OperatorArgs.sort(operator_args)
        _override(execution, operator)
        if on_warning_callback is not None:
            operator.task["on_warning_callback"] = on_warning_callback
        if operator.dbt.get("env") and project.env_vars:
            raise ConfigError(
                "operator_args has env beside ProjectConfig.env_vars. Use ProjectConfig.env_vars alone."
            )
        project = _at_import(project, operator)
        project.validate()
        profile_config.validate()
        by_kind(render.node_converters)  # a mistake there is told before anybody waits for dbt
        graph = load_graph(project, profile_config, execution, render)
        #: The selected nodes of the dbt project, as in Cosmos.
        self.dbt_graph = DbtGraph(
            graph,
            Path(str(project.dbt_project_path)),
            detach_tests=render.should_detach_multiple_parents_tests
            and render.test_behavior in (TestBehavior.BUILD, TestBehavior.AFTER_EACH),
        )
        dag, task_group = self._place()
        tasks = TaskMaker(
            dag=dag,
            task_group=task_group,
            project=project,
            profile=profile_config,
            execution=execution,
            render=render,
            args=replace(operator, dbt=_invocation(operator, project, execution, render)),
            graph=self.dbt_graph,
            version=_version(project, render),
        )
        #: The tasks and groups of nodes by their unique ids, as in Cosmos.
        self.tasks_map = Renderer(graph, tasks).render()
        tasks.warn_of_worker_limits()

    def _place(self) -> tuple[DAG, TaskGroup | None]:
        """Return the DAG that the tasks belong to, and the task group, if there is one."""
        raise NotImplementedError


class DbtDag(DbtProject, DAG):
    """An Airflow DAG that runs a dbt project; the arguments are those of :class:`DbtProject` and of ``DAG``."""

    def _place(self) -> tuple[DAG, TaskGroup | None]:
        return self, None


class DbtTaskGroup(DbtProject, TaskGroup):
    """
    An Airflow task group that runs a dbt project; a DAG may have several.

    Args:
        group_id: The group's id, and the prefix of its tasks' ids.
        args, kwargs: Those of :class:`DbtProject` and of ``TaskGroup``.
    """

    def __init__(self, group_id: str = "dbt_task_group", *args: Any, **kwargs: Any) -> None:
        super().__init__(group_id, *args, **kwargs)

    def _place(self) -> tuple[DAG, TaskGroup | None]:
        return self.dag, self


def _copied(kind: type[Config], config: Any, argument: str) -> Config:
    """Return a copy of *config*, as it is completed below while other DAGs may share it; the defaults without any."""
    return copy.copy(own_config(kind, config, argument)) if config is not None else kind()


def _placed(project: ProjectConfig, execution: ExecutionConfig, render: RenderConfig) -> ProjectConfig:
    if project.dbt_project_path is not None:
        if execution.project_path or render.project_path:
            raise ConfigError(
                "dbt_project_path is set in ProjectConfig and again in ExecutionConfig or RenderConfig. Set it in "
                "ProjectConfig, or, where import and run time see different folders, only in the two others."
            )
        return project
    if execution.project_path is None:
        raise ConfigError(
            "There is no dbt_project_path: setup cannot run dbt without the project. Set it in ProjectConfig."
        )
    return project.at(execution.project_path)


def _at_import(project: ProjectConfig, args: OperatorArgs) -> ProjectConfig:
    """Return what of *project* is known now, and tell the run's dbt what another task will return."""
    known = copy.copy(project)
    for name, option in (("env_vars", "env"), ("dbt_vars", "vars")):
        value = getattr(project, name)
        if value is None or isinstance(value, dict):
            continue
        if args.dbt.get(option):
            raise ConfigError(
                f"operator_args has {option} beside ProjectConfig.{name}, which another task returns. Use one of them."
            )
        args.dbt[option] = value
        setattr(known, name, None)
    return known


def _version(project: ProjectConfig, render: RenderConfig) -> str | None:
    """Return the version of the dbt project, None where Airflow has no versions of DAGs or nobody wants them."""
    folder = render.project_path or project.dbt_project_path
    if folder is None or AIRFLOW_VERSION < (3, 0) or not settings.enable_dag_versioning():
        return None
    environ = {**os.environ, **(render.env_vars or project.env_vars or {})}
    return project_version(folder.absolute(), environ, without=settings.project_hash_excluded_dirs())


def _override(execution: ExecutionConfig, args: OperatorArgs) -> None:
    overrides = args.execution
    if overrides.get("virtualenv_dir"):
        execution.virtualenv_dir = overrides["virtualenv_dir"]
    if overrides.get("dbt_executable_path"):
        execution.dbt_executable_path = overrides["dbt_executable_path"]
    if overrides.get("py_requirements"):
        execution.async_py_requirements = overrides["py_requirements"]


def _invocation(
    args: OperatorArgs, project: ProjectConfig, execution: ExecutionConfig, render: RenderConfig
) -> dict[str, Any]:
    """Return what dbt is told at run time; the order of precedence is Cosmos'."""
    dbt = dict(args.dbt)
    if execution.install_dbt_deps is not None:
        dbt["install_deps"] = execution.install_dbt_deps
    dbt.setdefault("install_deps", project.install_dbt_deps)
    dbt["select"] = list(render.select) or None
    dbt["exclude"] = list(render.exclude) or None
    dbt["selector"] = render.selector
    return dbt
