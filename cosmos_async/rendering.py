"""
From a graph to tasks, groups and the edges between them.

Ids are those of Cosmos' async mode, so that a migrated DAG keeps its history. Edges are those of ``dbt build``: a
test runs once all of its parents are built, and a node's children wait for its tests.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from cosmos_async import settings
from cosmos_async.compat import BaseOperator, TaskGroup
from cosmos_async.constants import (
    OTHER_TESTS_TASK_ID,
    RESULTS_TASK_ID,
    SETUP_TASK_ID,
    TEARDOWN_TASK_ID,
    DbtResourceType,
    SeedRenderingBehavior,
    TestBehavior,
)
from cosmos_async.exceptions import ProjectError
from cosmos_async.graph.model import Graph, Node, Test
from cosmos_async.operators.node import (
    DbtBuildAsyncOperator,
    DbtRunAsyncOperator,
    DbtSeedAsyncOperator,
    DbtSnapshotAsyncOperator,
    DbtTestAsyncOperator,
)
from cosmos_async.operators.results import ResultsAsyncOperator
from cosmos_async.operators.setup import SetupAsyncOperator
from cosmos_async.operators.teardown import TeardownAsyncOperator

if TYPE_CHECKING:
    from cosmos_async.arguments import OperatorArgs
    from cosmos_async.compat import DAG
    from cosmos_async.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig

logger = logging.getLogger(__name__)

_SUFFIXES = {
    DbtResourceType.MODEL: "run",
    DbtResourceType.SEED: "seed",
    DbtResourceType.SNAPSHOT: "snapshot",
    DbtResourceType.FUNCTION: "function",
}
_LONGEST_ID = 250  # characters, Airflow's limit


@dataclass(frozen=True)
class Placed:
    """A node's place in the DAG."""

    whole: Any  #: the group or the only task; edges to and from other nodes meet here
    first: Any  #: the task that builds the node
    last: Any  #: the task after which its children may start


def connect(upstream: Any, downstream: Any) -> None:
    """
    Do what ``upstream >> downstream`` does.

    Airflow's own way hashes the whole DAG, all task ids included, twice per edge; in a DAG of a thousand nodes that is
    a third of the time its file takes to import. What a converter made may be anything, and takes that way.
    """
    if not all(isinstance(task, BaseOperator) and task.has_dag() for task in (upstream, downstream)):
        upstream >> downstream
        return
    upstream.downstream_task_ids.add(downstream.task_id)
    downstream.upstream_task_ids.add(upstream.task_id)


def connect_placed(parent: Placed, child: Placed) -> None:
    """Do what ``parent.whole >> child.whole`` does, the arrows between groups in the UI included."""
    if isinstance(parent.whole, TaskGroup):
        parent.whole.update_relative(child.whole, upstream=False)
    if isinstance(child.whole, TaskGroup):
        child.whole.update_relative(parent.last, upstream=True)
    connect(parent.last, child.first)


class Renderer:
    """Adds the tasks of a graph to a DAG, once."""

    def __init__(
        self,
        graph: Graph,
        *,
        dag: DAG,
        task_group: TaskGroup | None,
        project: ProjectConfig,
        profile: ProfileConfig,
        execution: ExecutionConfig,
        render: RenderConfig,
        args: OperatorArgs,
    ) -> None:
        self.graph = graph
        self.dag = dag
        self.task_group = task_group
        self.project = project
        self.profile = profile
        self.execution = execution
        self.config = render
        self.args = args
        self.placed: dict[str, Placed] = {}
        self.folders: dict[str, TaskGroup] = {}
        self.setup: Any = None

    def render(self) -> None:
        """Add everything."""
        self.graph.check_names()
        self.setup = self._setup()
        nodes = [node for node in self.graph.nodes.values() if self._is_rendered(node)]
        for node in nodes:
            placed = self._place(node)
            if placed is not None:
                self.placed[node.unique_id] = placed
        nodes = [node for node in nodes if node.unique_id in self.placed]
        self._connect_nodes(nodes)
        last = self._leaves(nodes)
        if self._behavior is TestBehavior.AFTER_ALL and nodes:
            last = [self._test_everything(last)]
        elif self._behavior in (TestBehavior.AFTER_EACH, TestBehavior.BUILD):
            last += self._connect_tests()
            last = self._other_tests(last)
        self._close(last)

    # Nodes

    @property
    def _behavior(self) -> TestBehavior:
        return self.config.test_behavior

    def _is_rendered(self, node: Node) -> bool:
        is_seed = node.resource_type is DbtResourceType.SEED
        return not (is_seed and self.config.seed_rendering_behavior is SeedRenderingBehavior.NONE)

    def _place(self, node: Node) -> Placed | None:
        group = self._folder_of(node)
        grouped = self._behavior is TestBehavior.AFTER_EACH and self._has_test_task(node)
        converter = (self.config.node_converters or {}).get(node.resource_type)
        if converter is not None and (self.config.node_conversion_by_task_group or not grouped):
            task_id = _SUFFIXES[node.resource_type] if grouped else self._task_id(node)
            converted = self._converted(converter, node, task_id, group)
            # A converter may decide that there is nothing to do.
            return None if converted is None else Placed(converted, converted, converted)
        if not grouped:
            task = self._node_task(node, self._task_id(node), group)
            return Placed(task, task, task)
        _check_id(node.name, node)
        # Not as a context: the group's parent is given, whatever group the DAG file has open.
        model_group = TaskGroup(group_id=node.name, dag=self.dag, parent_group=group or self.dag.task_group)
        own_id = _SUFFIXES[node.resource_type]
        test = {"unique_id": node.unique_id}
        if converter is not None:
            first = self._converted(converter, node, own_id, model_group)
            last = self._task(DbtTestAsyncOperator, "test", model_group, node, **test)
            if first is None:
                return Placed(model_group, last, last)
        else:
            first = self._node_task(node, own_id, model_group)
            last = self._task(DbtTestAsyncOperator, "test", model_group, node, **test)
        connect(first, last)
        return Placed(model_group, first, last)

    def _has_test_task(self, node: Node) -> bool:
        if not self.config.should_detach_multiple_parents_tests:
            return node.unique_id in self.graph.tested
        return node.unique_id in self.graph.tested_alone

    def _task_id(self, node: Node) -> str:
        if self.config.normalize_task_id is not None:
            return str(self.config.normalize_task_id(node))
        return self._usual_id(node)

    def _usual_id(self, node: Node) -> str:
        if self._behavior is TestBehavior.BUILD and not self._is_empty_seed(node):
            return f"{node.name}_{node.resource_type.value}_build"
        return f"{node.name}_{_SUFFIXES[node.resource_type]}"

    def _is_empty_seed(self, node: Node) -> bool:
        is_seed = node.resource_type is DbtResourceType.SEED
        return is_seed and self.config.seed_rendering_behavior is SeedRenderingBehavior.RENDER_ONLY

    def _node_task(self, node: Node, task_id: str, group: TaskGroup | None) -> Any:
        is_alone = task_id != _SUFFIXES[node.resource_type]
        shown = self._display_name(node) if is_alone else {}
        if node.is_ephemeral and self._behavior is TestBehavior.BUILD and self._has_test_task(node):
            # Nothing to build, but something to test, and this task is the only one for it.
            return self._task(DbtTestAsyncOperator, task_id, group, node, unique_id=node.unique_id, **shown)
        if node.is_ephemeral or self._is_empty_seed(node):
            return self._empty(task_id, group, node, shown)
        return self._task(self._operator_of(node), task_id, group, node, unique_id=node.unique_id, **shown)

    def _operator_of(self, node: Node) -> type:
        if self._behavior is TestBehavior.BUILD:
            return DbtBuildAsyncOperator
        if node.resource_type is DbtResourceType.SEED:
            return DbtSeedAsyncOperator
        if node.resource_type is DbtResourceType.SNAPSHOT:
            return DbtSnapshotAsyncOperator
        return DbtRunAsyncOperator

    def _display_name(self, node: Node) -> dict[str, str]:
        if self.config.normalize_task_display_name is not None:
            return {"task_display_name": str(self.config.normalize_task_display_name(node))}
        if self.config.normalize_task_id is not None:
            return {"task_display_name": self._usual_id(node)}
        return {}

    def _folder_of(self, node: Node) -> TaskGroup | None:
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

    # Tasks

    def _task(
        self, operator: Any, task_id: str, group: TaskGroup | None, node: Node | None = None, **kwargs: Any
    ) -> Any:
        _check_id(task_id, node)
        own = self._own_arguments(node) if node is not None else {}
        return operator(
            task_id=task_id,
            dag=self.dag,
            task_group=group,
            setup=self.setup,
            **{**self.args.task, **own, **kwargs},
        )

    def _own_arguments(self, node: Node) -> dict[str, Any]:
        own = node.operator_kwargs
        if node.owner and self.config.enable_owner_inheritance:
            own = {"owner": node.owner, **own}
        return own

    def _empty(self, task_id: str, group: TaskGroup | None, node: Node, shown: dict[str, str]) -> Any:
        _check_id(task_id, node)
        owner = {"owner": node.owner} if node.owner and self.config.enable_owner_inheritance else {}
        return _empty_operator()(task_id=task_id, dag=self.dag, task_group=group, **owner, **shown)

    def _converted(self, converter: Any, node: Node, task_id: str, group: TaskGroup | None) -> Any:
        return converter(
            dag=self.dag,
            task_group=group,
            node=node,
            task_id=task_id,
            setup=self.setup,
            dbt_project_name=self._project_name,
            execution_mode=self.execution.execution_mode,
            task_args=dict(self.args.task),
            test_behavior=self._behavior,
        )

    def _setup(self) -> Any:
        own = self.execution.setup_operator_args or {}
        kwargs = {**self.args.task, **self.args.dbt, **self.args.identity, **own}
        setup: Any = SetupAsyncOperator(
            task_id=SETUP_TASK_ID,
            dag=self.dag,
            task_group=self.task_group,
            project_config=self.project,
            profile_config=self.profile,
            execution_config=self.execution,
            test_behavior=self._behavior,
            detach_tests=self.config.should_detach_multiple_parents_tests,
            **kwargs,
        )
        return setup.as_setup()

    # Tests

    @property
    def _project_name(self) -> str:
        # Cosmos' order: the folder's name, and only without a folder the name that was given.
        path = self.config.project_path or self.project.dbt_project_path
        return path.stem if path else self.project.project_name

    def _test_everything(self, leaves: list[Any]) -> Any:
        task = self._task(DbtTestAsyncOperator, f"{self._project_name}_test", self.task_group)
        for leaf in leaves:
            connect(leaf, task)
        return task

    def _connect_tests(self) -> list[Any]:
        """Add the edges that tests with several parents need; return the tasks of detached ones."""
        build = self._behavior is TestBehavior.BUILD
        detach = self.config.should_detach_multiple_parents_tests
        owners = self.graph.owners(attached=not build, detach=detach)
        seen: set[tuple[str, str]] = set()
        detached = []
        for unique_id, owner in owners.items():
            test = self.graph.tests[unique_id]
            if owner == unique_id:
                detached.append(self._detached(test))
                continue
            for parent in test.depends_on:
                if parent != owner and (parent, owner) not in seen and {parent, owner} <= set(self.placed):
                    seen.add((parent, owner))
                    connect(self.placed[parent].first, self.placed[owner].last)
        return detached

    def _detached(self, test: Test) -> Any:
        task_id = f"{test.name}_test"
        if len(task_id) >= _LONGEST_ID:
            # Stable, unlike a running number: another test more or less does not rename it.
            task_id = f"detached_{test.unique_id.rsplit('.', 1)[-1]}_test"
        task = self._task(DbtTestAsyncOperator, task_id, self.task_group, unique_id=test.unique_id)
        for parent in test.depends_on:
            if parent in self.placed:
                connect(self.placed[parent].first, task)
        for child in self.graph.first_below(test.depends_on):
            if child in self.placed:
                connect(task, self.placed[child].first)
        return task

    def _other_tests(self, last: list[Any]) -> list[Any]:
        """
        Add a task for the tests that belong to no node's task, where there are any.

        They stand on sources alone, or are unit tests of a model that Cosmos gives no test task.
        """
        homeless = self.graph.parentless_tests
        if self._behavior is TestBehavior.AFTER_EACH:
            homeless += [
                unique_id
                for unique_id, model in self.graph.unit_tests.items()
                if model is None or not self._has_test_task(self.graph.nodes[model])
            ]
        if not homeless:
            return last
        task = self._task(DbtTestAsyncOperator, OTHER_TESTS_TASK_ID, self.task_group, work="others")
        for leaf in last or [self.setup]:
            connect(leaf, task)
        return [task]

    # Edges

    def _connect_nodes(self, nodes: list[Node]) -> None:
        for node in nodes:
            parents = [self.placed[parent] for parent in node.depends_on if parent in self.placed]
            for parent in parents:
                connect_placed(parent, self.placed[node.unique_id])
            if not parents:
                connect(self.setup, self.placed[node.unique_id].first)

    def _leaves(self, nodes: list[Node]) -> list[Any]:
        parents = {parent for node in nodes for parent in node.depends_on}
        return [self.placed[node.unique_id].last for node in nodes if node.unique_id not in parents]

    def _close(self, last: list[Any]) -> None:
        """Add the tasks at the end. They are teardowns, so that the nodes alone decide how the run ends."""
        results = self._task(ResultsAsyncOperator, RESULTS_TASK_ID, self.task_group)
        for task in last:
            connect(task, results)
        # Never with on_failure_fail_dagrun, tempting as it is for a failed on-run-end hook: Airflow would then look at
        # this task instead of the nodes above it, and as it runs in any case, every failed run would end green.
        results.as_teardown(setups=self.setup)
        if settings.enable_teardown_async_task():
            teardown = self._task(TeardownAsyncOperator, TEARDOWN_TASK_ID, self.task_group)
            results >> teardown
            teardown.as_teardown(setups=self.setup)


def _empty_operator() -> Any:
    try:
        from airflow.providers.standard.operators.empty import EmptyOperator
    except ImportError:  # removable when Airflow 2.11 is dropped
        from airflow.operators.empty import EmptyOperator  # type: ignore[no-redef]
    return EmptyOperator


def _check_id(task_id: str, node: Node | None) -> None:
    legal = task_id.replace("-", "").replace("_", "").replace(".", "").isalnum() and task_id.isascii()
    if legal and len(task_id) <= _LONGEST_ID:
        return
    whose = f"{node.unique_id} ({node.original_file_path})" if node is not None else "A task"
    raise ProjectError(
        f"{whose} would have the task id {task_id!r}, but Airflow allows letters, digits, dashes, dots and underscores, "
        f"at most {_LONGEST_ID} of them. Rename the node, or give RenderConfig a normalize_task_id."
    )
