"""
From a graph to tasks, groups and the edges between them.

Ids are those of Cosmos' async mode, so that a migrated DAG keeps its history. Edges are those of ``dbt build``: a
test runs once all of its parents are built, and holds back what lies below all of them (:mod:`cosmos_async.ownership`).
"""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from cosmos_async import settings
from cosmos_async.compat import SHOWS_NAMES, TaskGroup
from cosmos_async.constants import (
    DONE_TASK_ID,
    OTHER_TESTS_TASK_ID,
    RESULTS_TASK_ID,
    SETUP_TASK_ID,
    TEARDOWN_TASK_ID,
    DbtResourceType,
    SeedRenderingBehavior,
    TestBehavior,
)
from cosmos_async.edges import Edges, Placed, connect
from cosmos_async.graph.model import Graph, Node, Source
from cosmos_async.operators.node import (
    DbtBuildAsyncOperator,
    DbtNodeAsyncOperator,
    DbtRunAsyncOperator,
    DbtSeedAsyncOperator,
    DbtSnapshotAsyncOperator,
    DbtSourceAsyncOperator,
    DbtTestAsyncOperator,
)
from cosmos_async.operators.results import ResultsAsyncOperator
from cosmos_async.operators.setup import SetupAsyncOperator
from cosmos_async.operators.teardown import TeardownAsyncOperator
from cosmos_async.sources import rendered_sources
from cosmos_async.task_ids import check_id, free_id, hash_of

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
        self.sources: dict[str, Source] = {}
        self.setup: Any = None
        self.edges: Edges

    def render(self) -> None:
        """Add everything."""
        self.graph.check_names()
        self.sources = rendered_sources(self.graph, self.config)
        self.setup = self._setup()
        self.edges = Edges(self.graph, self.placed, self.setup)
        nodes = [node for node in self.graph.nodes.values() if self._is_rendered(node)]
        for node in nodes:
            placed = self._place(node)
            if placed is not None:
                self.placed[node.unique_id] = placed
        self.edges.connect_nodes()
        tested = self._behavior in (TestBehavior.AFTER_EACH, TestBehavior.BUILD)
        last = self.edges.leaves() + self._place_sources(self.graph.tested_sources if tested else {})
        if self._behavior is TestBehavior.AFTER_ALL and self.placed:
            last = [self._test_everything(last)]
        elif tested:
            last += self._detach_tests() + self._other_tests()
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
            if not self.config.node_conversion_by_task_group:
                return self._behind_unit_tests(node, converted, f"{node.name}_unit_test", group)
            # A converter may decide that there is nothing to do.
            return None if converted is None else Placed(converted, converted, converted)
        if not grouped:
            task = self._node_task(node, self._task_id(node), group)
            return Placed(task, task, task)
        check_id(node.name, node)
        # Not as a context: the group's parent is given, whatever group the DAG file has open.
        model_group = TaskGroup(group_id=node.name, dag=self.dag, parent_group=group or self.dag.task_group)
        own_id = _SUFFIXES[node.resource_type]
        test = {"unique_id": node.unique_id}
        if converter is not None:
            converted = self._converted(converter, node, own_id, model_group)
            build = self._behind_unit_tests(node, converted, "unit_test", model_group)
            last = self._task(DbtTestAsyncOperator, "test", model_group, node, **test)
            if build is None:
                return Placed(model_group, last, last)
            connect(build.last, last)
            return Placed(model_group, build.first, last)
        first = self._node_task(node, own_id, model_group)
        last = self._task(DbtTestAsyncOperator, "test", model_group, node, **test)
        connect(first, last)
        return Placed(model_group, first, last)

    def _behind_unit_tests(
        self, node: Node, converted: Any, task_id: str, group: TaskGroup | None
    ) -> Placed | None:
        """Place what a converter made; our own operators execute a model's unit tests, other ones do not."""
        alone = None if converted is None else Placed(converted, converted, converted)
        if isinstance(converted, DbtNodeAsyncOperator) or not self._is_unit_tested(node):
            return alone
        task = self._task(
            DbtTestAsyncOperator, task_id, group, node, unique_id=node.unique_id, work="unit_tests"
        )
        if converted is None:
            return Placed(task, task, task)
        connect(task, converted)
        return Placed(converted, task, converted)

    def _is_unit_tested(self, node: Node) -> bool:
        by_node = self._behavior in (TestBehavior.AFTER_EACH, TestBehavior.BUILD)
        return by_node and node.unique_id in self.graph.unit_tested

    @cached_property
    def _owners(self) -> dict[str, str | None]:
        detach = self.config.should_detach_multiple_parents_tests
        return {
            unique_id: test.place.owner_of(unique_id, detach=detach)
            for unique_id, test in self.graph.tests.items()
        }

    def _has_test_task(self, node: Node) -> bool:
        if not self.config.should_detach_multiple_parents_tests:
            return node.unique_id in self.graph.tested
        return node.unique_id in self.graph.tested_alone

    def _task_id(self, node: Node) -> str:
        if self.config.normalize_task_id is not None:
            return str(self.config.normalize_task_id(node))
        return self._usual_id(node)

    def _usual_id(self, node: Node) -> str:
        if node.resource_type is DbtResourceType.SOURCE:
            return f"{node.name}_source"
        if self._behavior is TestBehavior.BUILD and not self._is_empty_seed(node):
            return f"{node.name}_{node.resource_type.value}_build"
        return f"{node.name}_{_SUFFIXES[node.resource_type]}"

    def _is_empty_seed(self, node: Node) -> bool:
        is_seed = node.resource_type is DbtResourceType.SEED
        return is_seed and self.config.seed_rendering_behavior is SeedRenderingBehavior.RENDER_ONLY

    def _node_task(self, node: Node, task_id: str, group: TaskGroup | None) -> Any:
        is_alone = task_id != _SUFFIXES[node.resource_type]
        shown = self._display_name(node) if is_alone else {}
        if node.is_ephemeral or self._is_empty_seed(node):
            work = self._work_of_empty(node)
            if work is None:
                return self._empty(task_id, group, node, shown)
            # Nothing to build, but something to test, and this task is the only one for it.
            return self._task(
                DbtTestAsyncOperator, task_id, group, node, unique_id=node.unique_id, work=work, **shown
            )
        return self._task(self._operator_of(node), task_id, group, node, unique_id=node.unique_id, **shown)

    def _work_of_empty(self, node: Node) -> str | None:
        if self._behavior is TestBehavior.BUILD and node.unique_id in self._owners.values():
            return "build" if self._is_unit_tested(node) else "tests"
        return "unit_tests" if self._is_unit_tested(node) else None

    def _operator_of(self, node: Node) -> type:
        if self._behavior is TestBehavior.BUILD:
            return DbtBuildAsyncOperator
        if node.resource_type is DbtResourceType.SEED:
            return DbtSeedAsyncOperator
        if node.resource_type is DbtResourceType.SNAPSHOT:
            return DbtSnapshotAsyncOperator
        return DbtRunAsyncOperator

    def _display_name(self, node: Node) -> dict[str, str]:
        if not SHOWS_NAMES:
            return {}
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
        check_id(task_id, node)
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
        check_id(task_id, node)
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
            sources=[unique_id for unique_id, source in self.sources.items() if source.has_freshness],
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

    # Sources

    def _place_sources(self, tested: dict[str, tuple[str, ...]]) -> list[Any]:
        """
        Add the tasks of sources, and return those for which nobody waits.

        Ids are those that Cosmos has where it renders sources: ``<source>_<table>.source`` and ``.test``, in this order;
        ``<source>_<table>_source`` where there is no test.

        Args:
            tested: The sources whose tests have a task, each with the nodes that wait for it.
        """
        last = []
        for unique_id in dict.fromkeys((*self.sources, *tested)):
            source = self.sources.get(unique_id)
            before, waiting = self.setup, tested.get(unique_id, ())
            home = self._folder_of(source.node) if source is not None else self.task_group
            test_id, group = self._place_of_source(unique_id, home) if unique_id in tested else ("", home)
            if source is not None:
                waiting = tuple(dict.fromkeys((*waiting, *source.holds_back)))
                task = self._measure(source, group, alone=group is home)
                connect(before, task)
                before = task
            if unique_id in tested:
                task = self._task(DbtTestAsyncOperator, test_id, group, unique_id=unique_id)
                connect(before, task)
            last += [] if self.edges.hold_back(task, waiting) else [task]
        return last

    def _measure(self, source: Source, group: TaskGroup | None, *, alone: bool) -> Any:
        """Add the task that measures a source's freshness, an empty one where dbt measures nothing."""
        node, usual = source.node, f"{source.node.name}_source"
        task_id, shown = "source", {}
        if alone:
            named = self.config.normalize_task_id is not None
            free = self._free_id(usual, f"source_{usual}", node.unique_id, group)
            task_id, shown = self._task_id(node) if named else free, self._display_name(node)
        if not source.has_freshness:
            return self._empty(task_id, group, node, shown)
        return self._task(DbtSourceAsyncOperator, task_id, group, node, unique_id=node.unique_id, **shown)

    def _place_of_source(self, source: str, home: TaskGroup | None) -> tuple[str, TaskGroup | None]:
        """Return the id and the group of a source's tests; a group of its own has room for the source's freshness."""
        name = source.split(".", 2)[2].replace(".", "_")
        if self._behavior is TestBehavior.BUILD:
            return self._free_id(f"{name}_test", f"source_{name}_test", source, home), home
        group_id = self._free_id(name, f"source_{name}", source, home)
        return "test", TaskGroup(group_id=group_id, dag=self.dag, parent_group=home or self.dag.task_group)

    def _detach_tests(self) -> list[Any]:
        """Add the tasks of tests that are their own owners, and return those for which nobody waits."""
        last = []
        for unique_id, owner in self._owners.items():
            if owner != unique_id:
                continue
            test = self.graph.tests[unique_id]
            task_id = self._free_id(
                f"{test.name}_test", f"detached_{hash_of(test)}_test", unique_id, self.task_group
            )
            task = self._task(DbtTestAsyncOperator, task_id, self.task_group, unique_id=unique_id)
            self.edges.behind_parents(task, test)
            last += [] if self.edges.hold_back(task, test.place.holds_back) else [task]
        return last

    def _free_id(self, usual: str, other: str, unique_id: str, home: TaskGroup | None) -> str:
        group = home or self.dag.task_group

        def is_free(label: str) -> bool:
            full = group.child_id(label)
            return full not in self.dag.task_dict and full not in group.used_group_ids

        return free_id(usual, other, unique_id, is_free)

    def _other_tests(self) -> list[Any]:
        """Add a task for the tests that stand on nothing that is selected, and hold nothing back."""
        if not self.graph.other_tests:
            return []
        task = self._task(DbtTestAsyncOperator, OTHER_TESTS_TASK_ID, self.task_group, work="others")
        connect(self.setup, task)
        return [task]

    # The end

    def _close(self, last: list[Any]) -> None:
        """
        Add the tasks at the end.

        Those that work are teardowns, so that they run however the nodes end, and Airflow does not look at them when it
        decides how the run ends: it looks at the nodes before them, and at an empty task behind the results, which
        fails the run where an on-run-end hook failed.
        """
        results = self._task(ResultsAsyncOperator, RESULTS_TASK_ID, self.task_group)
        for task in last:
            connect(task, results)
        # Never with on_failure_fail_dagrun: Airflow would then look at this task instead of the nodes above it, and as it
        # runs in any case, every failed run would end green.
        results.as_teardown(setups=self.setup)
        done = _empty_operator()(
            task_id=DONE_TASK_ID,
            dag=self.dag,
            task_group=self.task_group,
            # Unlike all_success it waits for all: one that is skipped early must not hide one that fails later.
            trigger_rule="none_failed_min_one_success",
            # Those of default_args would bring it to a worker; without any, Airflow ends it by itself.
            on_execute_callback=None,
            on_success_callback=None,
        )
        connect(results, done)
        if settings.enable_teardown_async_task():
            teardown = self._task(TeardownAsyncOperator, TEARDOWN_TASK_ID, self.task_group)
            results >> teardown
            teardown.as_teardown(setups=self.setup)
            return
        # A group without a teardown at its end ends with this task alone: what comes after the group waits for nothing else.
        for task in last:
            connect(task, done)


def _empty_operator() -> Any:
    try:
        from airflow.providers.standard.operators.empty import EmptyOperator
    except ImportError:  # removable when Airflow 2.11 is dropped
        from airflow.operators.empty import EmptyOperator  # type: ignore[no-redef]
    return EmptyOperator
