"""
From a graph to tasks, groups and the edges between them.

Which tasks there are, and in which groups, is as in Cosmos' async mode. Edges are those of ``dbt build``: a test runs
once all of its parents are built, and holds back what lies below all of them (:mod:`cosmos_async.plan.ownership`).
"""

from __future__ import annotations

from typing import Any

from cosmos_async import settings
from cosmos_async.airflow.compat import TaskGroup
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
from cosmos_async.dag.assets import announced
from cosmos_async.dag.edges import Edges, Placed, connect
from cosmos_async.dag.exposures import place_exposures
from cosmos_async.dag.sources import SourceTasks
from cosmos_async.dag.task_ids import check_id, hash_of
from cosmos_async.dag.tasks import SUFFIXES, TaskMaker
from cosmos_async.dag.tasks_map import TasksMap
from cosmos_async.dag.tests import TestTasks
from cosmos_async.graph.model import Graph, Node
from cosmos_async.operators.node import (
    DbtBuildAsyncOperator,
    DbtNodeAsyncOperator,
    DbtRunAsyncOperator,
    DbtSeedAsyncOperator,
    DbtSnapshotAsyncOperator,
    DbtTestAsyncOperator,
)
from cosmos_async.operators.results import ResultsAsyncOperator
from cosmos_async.operators.teardown import TeardownAsyncOperator


class Renderer:
    """
    Adds the tasks of a graph to a DAG, once.

    Args:
        graph: The graph.
        tasks: Makes the tasks.
    """

    def __init__(self, graph: Graph, tasks: TaskMaker) -> None:
        self.graph = graph
        self.tasks = tasks
        self.config = tasks.config
        self.dag = tasks.dag
        self.task_group = tasks.task_group
        self.placed: dict[str, Placed] = {}
        self.tests = TestTasks(graph, tasks)
        self.tasks_map = TasksMap()
        self.edges: Edges

    def render(self) -> TasksMap:
        """Add everything, and return the tasks of nodes by the nodes' unique ids."""
        self.graph.check_names()
        self.tasks.make_setup()
        self.edges = Edges(self.graph, self.placed, self.tasks.setup)
        nodes = [node for node in self.graph.nodes.values() if self._is_rendered(node)]
        for node in nodes:
            placed = self._place(node)
            if placed is not None:
                self.placed[node.unique_id] = placed
        self.edges.connect_nodes()
        self.tasks_map.update({unique_id: placed.whole for unique_id, placed in self.placed.items()})
        tested = self.config.test_behavior in (TestBehavior.AFTER_EACH, TestBehavior.BUILD)
        sources = SourceTasks(self.graph, self.tasks, self.tests, self.edges)
        last = self.edges.leaves() + sources.place(self.graph.tested_sources if tested else {})
        if self.config.test_behavior is TestBehavior.AFTER_ALL and self.placed:
            last = self._test_everything(last)
        elif tested:
            last += self._detach_tests() + self._other_tests()
        self.tasks_map.update({**self.tests.apart, **sources.shown})
        exposures = place_exposures(
            self.graph, self.tasks, self.edges, sources=sources.shown, tests=self.tests.apart
        )
        self.tasks_map.update(exposures)
        self._close(last)
        return self.tasks_map

    # Nodes

    def _is_rendered(self, node: Node) -> bool:
        is_seed = node.resource_type is DbtResourceType.SEED
        left_out = is_seed and self.config.seed_rendering_behavior is SeedRenderingBehavior.NONE
        return not left_out or node.resource_type in self.tasks.converters  # as in Cosmos

    def _place(self, node: Node) -> Placed | None:
        group = self.tasks.folder_of(node)
        grouped = self.config.test_behavior is TestBehavior.AFTER_EACH and self.tests.have_a_task(node)
        converts = node.resource_type in self.tasks.converters
        if converts and (self.config.node_conversion_by_task_group or not grouped):
            task_id = SUFFIXES[node.resource_type] if grouped else self.tasks.task_id(node)
            converted = self.tasks.converted(node, task_id, group)
            if not self.config.node_conversion_by_task_group:
                return self._behind_unit_tests(node, converted, f"{node.name}_unit_test", group)
            # A converter may decide that there is nothing to do.
            return None if converted is None else Placed(converted, converted, converted)
        if not grouped:
            task = self._node_task(node, self.tasks.task_id(node), group)
            return Placed(task, task, task)
        check_id(node.name, node)
        # Not as a context: the group's parent is given, whatever group the DAG file has open.
        parent = group or self.dag.task_group
        model_group = TaskGroup(group_id=node.name, dag=self.dag, parent_group=parent)
        own_id = SUFFIXES[node.resource_type]
        if converts:
            converted = self.tasks.converted(node, own_id, model_group)
            build = self._behind_unit_tests(node, converted, "unit_test", model_group)
        else:
            first = self._node_task(node, own_id, model_group)
            build = Placed(first, first, first)
        last = self.tests.make("test", model_group, node.unique_id, node)
        if build is not None and last is not None:
            connect(build.last, last)
            return Placed(model_group, build.first, last)
        alone = last if build is None else build.first
        if alone is None:  # two converters have left both out
            parent.children.pop(model_group.node_id)
            return None
        return Placed(model_group, alone, last if build is None else build.last)

    def _behind_unit_tests(
        self, node: Node, converted: Any, task_id: str, group: TaskGroup | None
    ) -> Placed | None:
        """Place what a converter made; our own operators execute a model's unit tests, other ones do not."""
        alone = None if converted is None else Placed(converted, converted, converted)
        if isinstance(converted, DbtNodeAsyncOperator) or not self._is_unit_tested(node):
            return alone
        task = self.tasks.task(
            DbtTestAsyncOperator,
            task_id,
            group,
            node,
            self.tests.unit_tests_of(node.unique_id),
            unique_id=node.unique_id,
            work="unit_tests",
        )
        if converted is None:
            return Placed(task, task, task)
        connect(task, converted)
        return Placed(converted, task, converted)

    def _is_unit_tested(self, node: Node) -> bool:
        by_node = self.config.test_behavior in (TestBehavior.AFTER_EACH, TestBehavior.BUILD)
        return by_node and node.unique_id in self.graph.unit_tested

    def _node_task(self, node: Node, task_id: str, group: TaskGroup | None) -> Any:
        is_alone = task_id != SUFFIXES[node.resource_type]
        shown: dict[str, Any] = self.tasks.doc(node)
        if is_alone:
            shown.update(self.tasks.display_name(node))
        if node.is_ephemeral or self.tasks.is_empty_seed(node):
            work = self._work_of_empty(node)
            if work is None:
                return self.tasks.empty(task_id, group, node, shown)
            # Nothing to build, but something to test, and this task is the only one for it.
            tests = self.tests.unit_tests_of(node.unique_id) if work != "tests" else []
            tests += self.tests.of(node.unique_id) if work != "unit_tests" else []
            return self.tasks.task(
                DbtTestAsyncOperator,
                task_id,
                group,
                node,
                tests,
                unique_id=node.unique_id,
                work=work,
                **shown,
            )
        return self.tasks.task(
            self._operator_of(node), task_id, group, node, unique_id=node.unique_id, **shown
        )

    def _work_of_empty(self, node: Node) -> str | None:
        if self.config.test_behavior is TestBehavior.BUILD and node.unique_id in self.tests.owners.values():
            return "build" if self._is_unit_tested(node) else "tests"
        return "unit_tests" if self._is_unit_tested(node) else None

    def _operator_of(self, node: Node) -> type:
        if self.config.test_behavior is TestBehavior.BUILD:
            return DbtBuildAsyncOperator
        if node.resource_type is DbtResourceType.SEED:
            return DbtSeedAsyncOperator
        if node.resource_type is DbtResourceType.SNAPSHOT:
            return DbtSnapshotAsyncOperator
        return DbtRunAsyncOperator

    # Tests

    def _test_everything(self, leaves: list[Any]) -> list[Any]:
        """Add the task of all tests, and return what is last then."""
        task_id = f"{self.tasks.project_name}_test"
        task = self.tests.make_all(task_id)
        if task is None:
            return leaves
        self.tasks_map[task_id] = task
        for leaf in leaves:
            connect(leaf, task)
        return [task]

    def _detach_tests(self) -> list[Any]:
        """Add the tasks of tests that are their own owners, and return those for which nobody waits."""
        last = []
        for unique_id, owner in self.tests.owners.items():
            if owner != unique_id:
                continue
            test = self.graph.tests[unique_id]
            task_id = self.tasks.free_id(
                f"{test.name}_test", f"detached_{hash_of(test)}_test", unique_id, self.task_group
            )
            task = self.tests.make(task_id, self.task_group, unique_id, test)
            if task is None:
                continue
            self.tests.apart[unique_id] = task
            self.edges.behind_parents(task, test)
            last += [] if self.edges.hold_back(task, test.place.holds_back) else [task]
        return last

    def _other_tests(self) -> list[Any]:
        """Add a task for the tests that stand on nothing that is selected, and hold nothing back."""
        if not self.graph.other_tests:
            return []
        task = self.tests.make_others()
        self.tasks_map[OTHER_TESTS_TASK_ID] = task
        connect(self.tasks.setup, task)
        return [task]

    # The end

    def _close(self, last: list[Any]) -> None:
        """
        Add the tasks at the end.

        Those that work are teardowns, so that they run however the nodes end, and Airflow does not look at them when it
        decides how the run ends: it looks at the nodes before them, and at an empty task behind the results, which
        fails the run where an on-run-end hook failed.
        """
        results = self.tasks.around(ResultsAsyncOperator, RESULTS_TASK_ID, **announced(self.tasks))
        for task in last:
            connect(task, results)
        # Never with on_failure_fail_dagrun: Airflow would then look at this task instead of the nodes above it, and as it
        # runs in any case, every failed run would end green.
        results.as_teardown(setups=self.tasks.setup)
        done = self.tasks.done(DONE_TASK_ID)
        connect(results, done)
        self.tasks_map.update({SETUP_TASK_ID: self.tasks.setup, RESULTS_TASK_ID: results, DONE_TASK_ID: done})
        if settings.enable_teardown_async_task():
            teardown = self.tasks.around(
                TeardownAsyncOperator,
                TEARDOWN_TASK_ID,
                results_task_id=results.task_id,
                **self.tasks.args.triggerer,
            )
            self.tasks_map[TEARDOWN_TASK_ID] = teardown
            # Beside the results, for which its trigger waits: behind them, Airflow would need some seconds more to start it.
            for task in last:
                connect(task, teardown)
            teardown.as_teardown(setups=self.tasks.setup)
            return
        # A group without a teardown at its end ends with this task alone: what comes after the group waits for nothing else.
        for task in last:
            connect(task, done)
