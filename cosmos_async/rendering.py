"""
From a graph to tasks, groups and the edges between them.

Ids are those of Cosmos' async mode, so that a migrated DAG keeps its history. Edges are those of ``dbt build``: a
test runs once all of its parents are built, and holds back what lies below all of them (:mod:`cosmos_async.ownership`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from cosmos_async import settings
from cosmos_async.compat import BaseOperator, TaskGroup
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
from cosmos_async.exceptions import ProjectError
from cosmos_async.graph.model import Graph, Node, Test
from cosmos_async.names import digest
from cosmos_async.operators.node import (
    DbtBuildAsyncOperator,
    DbtNodeAsyncOperator,
    DbtRunAsyncOperator,
    DbtSeedAsyncOperator,
    DbtSnapshotAsyncOperator,
    DbtTestAsyncOperator,
)
from cosmos_async.operators.results import ResultsAsyncOperator
from cosmos_async.operators.setup import SetupAsyncOperator
from cosmos_async.operators.teardown import TeardownAsyncOperator
from cosmos_async.ownership import is_held_back

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
        self._connect_nodes()
        last = self._leaves()
        if self._behavior is TestBehavior.AFTER_ALL and self.placed:
            last = [self._test_everything(last)]
        elif self._behavior in (TestBehavior.AFTER_EACH, TestBehavior.BUILD):
            last += self._test_sources() + self._detach_tests() + self._other_tests()
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
        _check_id(node.name, node)
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

    def _test_sources(self) -> list[Any]:
        """
        Add a task for each source's tests, and return those for which nobody waits.

        Ids are those that Cosmos has where it renders sources: ``<source>_<table>.test``.
        """
        last = []
        for source, waiting in self.graph.tested_sources.items():
            task = self._task(DbtTestAsyncOperator, *self._place_of_source(source), unique_id=source)
            connect(self.setup, task)
            last += [] if self._hold_back(task, waiting) else [task]
        return last

    def _place_of_source(self, source: str) -> tuple[str, TaskGroup | None]:
        """Return the id and the group of a source's tests; the group has room for the source's freshness."""
        name = source.split(".", 2)[2].replace(".", "_")
        if self._behavior is TestBehavior.BUILD:
            return self._free_id(f"{name}_test", f"source_{name}_test", source), self.task_group
        group_id = self._free_id(name, f"source_{name}", source)
        return "test", TaskGroup(
            group_id=group_id, dag=self.dag, parent_group=self.task_group or self.dag.task_group
        )

    def _detach_tests(self) -> list[Any]:
        """Add the tasks of tests that are their own owners, and return those for which nobody waits."""
        last = []
        for unique_id, owner in self._owners.items():
            if owner != unique_id:
                continue
            test = self.graph.tests[unique_id]
            task_id = self._free_id(f"{test.name}_test", f"detached_{_hash_of(test)}_test", unique_id)
            task = self._task(DbtTestAsyncOperator, task_id, self.task_group, unique_id=unique_id)
            parents = [parent for parent in test.depends_on if parent in self.placed]
            for parent in parents:
                connect(self.placed[parent].first, task)
            # Between these and the test stands a node that waits for their tests.
            further = self._nearest_placed(
                [
                    *test.after,
                    *(above for left in set(test.depends_on) - set(parents) for above in self._parents(left)),
                ]
            )
            for above in further:
                connect(self.placed[above].last, task)
            if not parents and not further:
                connect(self.setup, task)
            last += [] if self._hold_back(task, test.place.holds_back) else [task]
        return last

    def _free_id(self, usual: str, other: str, unique_id: str) -> str:
        """Return the usual id, or another one where that is not allowed or taken: tests may have any name."""
        group = self.task_group or self.dag.task_group
        for label in (usual, other):
            taken = (
                group.child_id(label) in self.dag.task_dict or group.child_id(label) in group.used_group_ids
            )
            # Cosmos stays below the limit.
            if _is_legal(label) and len(label) < _LONGEST_ID and not taken:
                return label
        return f"{unique_id.split('.', 1)[0]}_{digest(unique_id)[:10]}"

    def _hold_back(self, test: Any, nodes: Sequence[str]) -> bool:
        """Let *nodes* wait for a test's task; return whether anybody does."""
        waiting = self._placed_below(nodes)
        for unique_id in waiting:
            connect(test, self.placed[unique_id].first)
        return bool(waiting)

    def _other_tests(self) -> list[Any]:
        """Add a task for the tests that stand on nothing that is selected, and hold nothing back."""
        if not self.graph.other_tests:
            return []
        task = self._task(DbtTestAsyncOperator, OTHER_TESTS_TASK_ID, self.task_group, work="others")
        connect(self.setup, task)
        return [task]

    # Edges

    def _connect_nodes(self) -> None:
        for unique_id, child in self.placed.items():
            parents = self._nearest_placed(self.graph.nodes[unique_id].depends_on)
            if not parents:
                connect(self.setup, child.first)
            for parent in parents:
                if is_held_back(unique_id):
                    connect_placed(self.placed[parent], child)
                else:  # a function, which dbt lets pass its parents' tests
                    connect(self.placed[parent].first, child.first)
            if is_held_back(unique_id):
                for parent in self._behind_functions(parents):
                    connect(self.placed[parent].last, child.first)

    def _nearest_placed(self, nodes: Sequence[str]) -> list[str]:
        """Return *nodes*, each without a place (left out by a converter, say) replaced by its parents."""
        if all(unique_id in self.placed for unique_id in nodes):
            return list(nodes)
        found: dict[str, None] = {}
        for unique_id in nodes:
            above = (
                [unique_id] if unique_id in self.placed else self._nearest_placed(self._parents(unique_id))
            )
            found.update(dict.fromkeys(above))
        return list(found)

    def _parents(self, unique_id: str) -> tuple[str, ...]:
        return self.graph.nodes[unique_id].depends_on

    def _behind_functions(self, nodes: Sequence[str]) -> set[str]:
        """Return the nearest nodes above the functions among *nodes* that are not functions themselves."""
        found: set[str] = set()
        for unique_id in nodes:
            if not is_held_back(unique_id):
                above = self._nearest_placed(self._parents(unique_id))
                found |= {parent for parent in above if is_held_back(parent)} | self._behind_functions(above)
        return found

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        children: dict[str, list[str]] = {}
        for unique_id, node in self.graph.nodes.items():
            for parent in node.depends_on:
                children.setdefault(parent, []).append(unique_id)
        return children

    def _placed_below(self, nodes: Sequence[str]) -> list[str]:
        """Return *nodes*, each without a place replaced by its children; functions wait for no test, and pass it on."""
        found: dict[str, None] = {}
        for unique_id in nodes:
            here = unique_id in self.placed and is_held_back(unique_id)
            below = [unique_id] if here else self._placed_below(self._children.get(unique_id, []))
            found.update(dict.fromkeys(below))
        return list(found)

    def _leaves(self) -> list[Any]:
        # Functions do not count as children: nobody else waits for the tests of what they stand on.
        parents = {
            parent
            for unique_id in self.placed
            if is_held_back(unique_id)
            for parent in self._nearest_placed(self._parents(unique_id))
        }
        return [placed.last for unique_id, placed in self.placed.items() if unique_id not in parents]

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


def _hash_of(test: Test) -> str:
    """Return what tells *test* from others of its name. It is stable: another test more or less does not rename it."""
    parts = test.unique_id.split(".")
    return parts[-1] if len(parts) > 3 else digest(test.unique_id)[:10]


def _is_legal(task_id: str) -> bool:
    letters = task_id.replace("-", "").replace("_", "").replace(".", "")
    return letters.isalnum() and letters.isascii() and len(task_id) <= _LONGEST_ID


def _check_id(task_id: str, node: Node | None) -> None:
    if _is_legal(task_id):
        return
    whose = f"{node.unique_id} ({node.original_file_path})" if node is not None else "A task"
    raise ProjectError(
        f"{whose} would have the task id {task_id!r}, but Airflow allows letters, digits, dashes, dots and underscores, "
        f"at most {_LONGEST_ID} of them. Rename the node, or give RenderConfig a normalize_task_id."
    )
