"""
One task at a time: its operator's arguments, its id, its name and its group.

Ids are those of Cosmos' async mode, so that a migrated DAG keeps its history.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from cosmos_async import settings
from cosmos_async.airflow.compat import AIRFLOW_VERSION, SHOWS_NAMES, TaskGroup
from cosmos_async.constants import (
    SETUP_TASK_ID,
    DbtResourceType,
    SeedRenderingBehavior,
    TestBehavior,
    TestIndirectSelection,
)
from cosmos_async.dag import task_ids
from cosmos_async.dag.converters import Converters, by_kind
from cosmos_async.dag.operator_args import check_node_args, check_setup_args
from cosmos_async.dag.task_arguments import NEUTRAL, warn_of_worker_limits
from cosmos_async.dag.task_ids import check_id
from cosmos_async.exceptions import ConfigError, ProjectError
from cosmos_async.graph.model import Configured, Node
from cosmos_async.operators.setup import SetupAsyncOperator

if TYPE_CHECKING:
    from cosmos_async.airflow.compat import DAG
    from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
    from cosmos_async.dag.operator_args import OperatorArgs
    from cosmos_async.graph.dbt_node import DbtGraph

SUFFIXES = {
    DbtResourceType.MODEL: "run",
    DbtResourceType.SEED: "seed",
    DbtResourceType.SNAPSHOT: "snapshot",
    DbtResourceType.FUNCTION: "function",
}


class TaskMaker:
    """Makes the tasks of one project in a DAG or a group of it."""

    def __init__(
        self,
        *,
        dag: DAG,
        task_group: TaskGroup | None,
        project: ProjectConfig,
        profile: ProfileConfig,
        execution: ExecutionConfig,
        render: RenderConfig,
        args: OperatorArgs,
        graph: DbtGraph,
        version: str | None = None,
    ) -> None:
        self.dag = dag
        self.task_group = task_group  #: None for the whole DAG
        self.project = project
        self.profile = profile
        self.execution = execution
        self.config = render
        self.args = args
        self.version = version  #: of the dbt project
        self.graph = graph  #: what an author's functions see of the nodes
        self.folders: dict[str, TaskGroup] = {}
        self.said_by_nodes: dict[
            str, dict[str, Any]
        ] = {}  #: by unique id: arguments that a node's task has from its meta
        self.setup: Any = None  #: once it is made, the task that all others belong to

    # Names

    def task_id(self, node: Node) -> str:
        """Return the id of a node's task, as the author wants it."""
        if self.config.normalize_task_id is not None:
            return str(self.config.normalize_task_id(self.graph.view(node)))
        return self.usual_id(node)

    def usual_id(self, node: Node) -> str:
        """Return the id that the task has if the author does not care."""
        if node.resource_type in (DbtResourceType.SOURCE, DbtResourceType.EXPOSURE):
            return f"{node.name}_{node.resource_type.value}"
        if self.config.test_behavior is TestBehavior.BUILD and not self.is_empty_seed(node):
            return f"{node.name}_{node.resource_type.value}_build"
        return f"{node.name}_{SUFFIXES[node.resource_type]}"

    def is_empty_seed(self, node: Node) -> bool:
        """Tell whether a node is a seed that is shown and not loaded."""
        is_seed = node.resource_type is DbtResourceType.SEED
        return is_seed and self.config.seed_rendering_behavior is SeedRenderingBehavior.RENDER_ONLY

    def display_name(self, node: Node) -> dict[str, str]:
        """Return the argument for the name that people see, if it is another one than the id."""
        if not SHOWS_NAMES:
            return {}
        if self.config.normalize_task_display_name is not None:
            return {"task_display_name": str(self.config.normalize_task_display_name(self.graph.view(node)))}
        if self.config.normalize_task_id is not None:
            return {"task_display_name": self.usual_id(node)}
        return {}

    def folder_of(self, node: Node) -> TaskGroup | None:
        """Return the group that a node's task belongs to."""
        if not self.config.group_nodes_by_folder:
            return self.task_group
        hierarchical = settings.enable_hierarchical_naming_for_group_nodes_by_folder()
        group, path = self.task_group, ""
        for part in PurePosixPath(node.original_file_path).parts[:-1]:
            path = f"{path}/{part}"
            key = path if hierarchical else part
            if key not in self.folders:
                parent = group or self.dag.task_group
                self.folders[key] = TaskGroup(group_id=part, dag=self.dag, parent_group=parent)
            group = self.folders[key]
        return group

    def task(
        self,
        operator: Any,
        task_id: str,
        group: TaskGroup | None,
        node: Configured | None = None,
        tests: Sequence[Configured] = (),
        **kwargs: Any,
    ) -> Any:
        """
        Make a task of a node or of tests.

        Args:
            operator: Its class.
            task_id: Its id within the group.
            group: Its group.
            node: What it is for, whose own arguments it gets.
            tests: What it executes beside or for the node; their arguments overrule the node's.
            kwargs: Further arguments.

        Raises:
            ProjectError: Airflow does not take the id, or the tests contradict each other.
        """
        check_id(task_id, node)
        own = self._own_arguments(node) if node is not None else {}
        common = _common(tests)
        if node is not None and (own or common):
            self.said_by_nodes.setdefault(node.unique_id, {**own, **common})
        return operator(
            task_id=task_id,
            dag=self.dag,
            task_group=group,
            setup=self.setup,
            # Said, as a rule in a DAG's default_args is about other tasks; see AIRFLOW.
            **{"trigger_rule": "all_success", **self.args.task, **own, **common, **kwargs},
        )

    def warn_of_worker_limits(self) -> None:
        """Say once what of the DAG's arguments does not bound tasks that start in the triggerer."""
        defaults: dict[str, Any] = {**self.dag.default_args}
        if self.task_group is not None:
            defaults.update(self.task_group.default_args or {})
        warn_of_worker_limits(
            self.dag.dag_id,
            {
                "default_args": defaults,
                "operator_args": self.args.task,
                **{
                    f"meta.cosmos.operator_kwargs of {unique_id}": said
                    for unique_id, said in self.said_by_nodes.items()
                },
            },
        )

    def _own_arguments(self, node: Configured) -> dict[str, Any]:
        own = _checked(node)
        if node.owner and self.config.enable_owner_inheritance:
            own = {"owner": node.owner, **own}
        return own

    def doc(self, node: Node) -> dict[str, str]:
        """Return the argument for a task's documentation: dbt's description of the node, unless the author has another one."""
        own = "doc_md" in self.args.task or "doc_md" in node.operator_kwargs
        return {"doc_md": node.description} if node.description and not own else {}

    def around(self, operator: Any, task_id: str, **kwargs: Any) -> Any:
        """Make one of the tasks after the nodes."""
        return operator(
            task_id=task_id,
            dag=self.dag,
            task_group=self.task_group,
            setup=self.setup,
            **{**NEUTRAL, **self.args.around, **kwargs},
        )

    def done(self, task_id: str) -> Any:
        """Make the empty task after all others, which waits for each and fails where one has failed."""
        return empty_operator()(
            task_id=task_id,
            dag=self.dag,
            task_group=self.task_group,
            trigger_rule=self._rule_of_done(),
            # Those of default_args would bring it to a worker; without any, Airflow ends it by itself.
            on_execute_callback=None,
            on_success_callback=None,
            **NEUTRAL,
        )

    def _rule_of_done(self) -> str:
        # Before 3.3 Airflow skips a task with the rule below in a mapped group before the group is expanded
        # (apache/airflow#39801), and with it all that comes after the group.
        group = self.task_group
        if AIRFLOW_VERSION < (3, 3) and group is not None and list(group.iter_mapped_task_groups()):
            return "none_failed"
        # Unlike all_success it waits for all: one that is skipped early must not hide one that fails later.
        return "none_failed_min_one_success"

    def empty(self, task_id: str, group: TaskGroup | None, node: Node, shown: dict[str, str]) -> Any:
        """Make the task of a node for which there is nothing to do."""
        check_id(task_id, node)
        owner = {"owner": node.owner} if node.owner and self.config.enable_owner_inheritance else {}
        return empty_operator()(
            task_id=task_id,
            dag=self.dag,
            task_group=group,
            trigger_rule="all_success",
            **owner,
            **shown,
        )

    @cached_property
    def converters(self) -> Converters:
        """The author's converters; for after setup is made."""
        return Converters(
            by_kind(self.config.node_converters),
            self.dag,
            {
                "dag": self.dag,
                "dbt_project_name": self.project_name,
                "execution_mode": self.execution.execution_mode,
                "task_args": self._task_args(),
                "test_behavior": self.config.test_behavior,
                "source_pruning": self.config.source_pruning,
                "source_rendering_behavior": self.config.source_rendering_behavior,
                "normalize_task_id": self.config.normalize_task_id,
                "normalize_task_display_name": self.config.normalize_task_display_name,
                "enable_owner_inheritance": self.config.enable_owner_inheritance,
                # dbt's own default, where nobody has said anything; Cosmos compares it.
                "test_indirect_selection": self.execution.test_indirect_selection
                or TestIndirectSelection.EAGER,
                "on_warning_callback": self.args.task.get("on_warning_callback"),
                "detached_from_parent": self.graph.detached_from_parent,
                "node_conversion_by_task_group": self.config.node_conversion_by_task_group,
                "render_config": self.config,
                "setup": self.setup,
                "airflow_args": dict(self.args.task),
            },
        )

    def converted(self, node: Node, task_id: str, group: TaskGroup | None) -> Any:
        """Return what an author's converter makes of a node, None where it makes nothing."""
        view = self.graph.view(node)
        return self.converters.convert(node.resource_type, view, task_id=task_id, task_group=group)

    def _task_args(self) -> dict[str, Any]:
        """Return what an operator of Cosmos' needs, under Cosmos' names (``cosmos/converter.py``, 1.15)."""
        given, project = self.args.given, self.project
        found = {
            **given,
            "project_dir": project.dbt_project_path,
            "partial_parse": project.partial_parse,
            "profile_config": self.profile,
            "emit_datasets": self.config.emit_datasets,
            "env": given.get("env") or project.env_vars,
            "vars": given.get("vars") or project.dbt_vars,
            "install_deps": self.args.dbt["install_deps"],
            "copy_dbt_packages": given.get("copy_dbt_packages", project.copy_dbt_packages),
            "cache_dir": None,  # ours has nothing that Cosmos could read
            "manifest_filepath": project.manifest_path,
        }
        if self.execution.dbt_executable_path:
            found["dbt_executable_path"] = self.execution.dbt_executable_path
        return found

    def make_setup(self) -> None:
        """Make the setup task, which is part of all others."""
        own = check_setup_args(self.execution.setup_operator_args or {})
        args = self.args
        kwargs = {**NEUTRAL, **args.around, **args.setup, **args.dbt, **args.identity, **own}
        if self.version is not None:
            # Airflow 3 makes a new version of a DAG where what it serializes has changed, and this is a part of it.
            kwargs["doc_md"] = "\n\n".join(
                filter(None, (kwargs.get("doc_md"), f"**dbt project hash:** `{self.version}`"))
            )
        setup: Any = SetupAsyncOperator(
            task_id=SETUP_TASK_ID,
            dag=self.dag,
            task_group=self.task_group,
            project_config=self.project,
            profile_config=self.profile,
            execution_config=self.execution,
            test_behavior=self.config.test_behavior,
            detach_tests=self.config.should_detach_multiple_parents_tests,
            seeds_when_changed=self.config.seed_rendering_behavior is SeedRenderingBehavior.WHEN_SEED_CHANGES,
            **kwargs,
        )
        self.setup = setup.as_setup()

    @property
    def project_name(self) -> str:
        """The project's name in task ids."""
        # Cosmos' order: the folder's name, and only without a folder the name that was given.
        path = self.config.project_path or self.project.dbt_project_path
        return path.stem if path else self.project.project_name

    def free_id(self, usual: str, other: str, unique_id: str, home: TaskGroup | None) -> str:
        """Return an id that nobody has in the group *home*; see :func:`cosmos_async.dag.task_ids.free_id`."""
        group = home or self.dag.task_group

        def is_free(label: str) -> bool:
            full = group.child_id(label)
            return full not in self.dag.task_dict and full not in group.used_group_ids

        return task_ids.free_id(usual, other, unique_id, is_free)


def _checked(node: Configured) -> dict[str, Any]:
    place = f"{node.unique_id} ({node.original_file_path}): meta.cosmos.operator_kwargs"
    try:
        return check_node_args(place, node.operator_kwargs)
    except ConfigError as error:
        raise ProjectError(str(error)) from None


def _common(tests: Sequence[Configured]) -> dict[str, Any]:
    """
    Return the arguments that tests give their one task.

    Raises:
        ProjectError: Two of them say different things.
    """
    found: dict[str, Any] = {}
    said: dict[str, Configured] = {}
    for test in tests:
        for name, value in _checked(test).items():
            if name in found and found[name] != value:
                first = said[name]
                raise ProjectError(
                    f"{first.unique_id} ({first.original_file_path}) and {test.unique_id} ({test.original_file_path}) "
                    f"run in one task, and their meta.cosmos.operator_kwargs disagree: {name} is {found[name]!r} and "
                    f"{value!r}. Give all tests of one node the same, or only one of them any."
                )
            found[name], said[name] = value, test
    return found


def empty_operator() -> Any:
    """Return Airflow's EmptyOperator."""
    try:
        from airflow.providers.standard.operators.empty import EmptyOperator
    except ImportError:  # removable when Airflow 2.11 is dropped
        from airflow.operators.empty import EmptyOperator  # type: ignore[no-redef]
    return EmptyOperator
