"""
From a graph to tasks, groups and the edges between them.

Which tasks there are, and in which groups, is as in Cosmos' async mode. Edges are those of ``dbt build``: a test runs
once all of its parents are built, and holds back what lies below all of them (:mod:`cosmos_async.plan.ownership`).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from cosmos_async import settings
from cosmos_async.airflow.compat import TaskGroup
from cosmos_async.constants import (
    DONE_TASK_ID,
    OTHER_TESTS_TASK_ID,
    RESULTS_TASK_ID,
    TEARDOWN_TASK_ID,
    DbtResourceType,
    SeedRenderingBehavior,
    TestBehavior,
)
from cosmos_async.dag.edges import Edges, Placed, connect
from cosmos_async.dag.sources import rendered_sources
from cosmos_async.dag.task_ids import check_id, hash_of
from cosmos_async.dag.tasks import SUFFIXES, TaskMaker
from cosmos_async.graph.model import Configured, Graph, Node, Source, Test
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
        self.sources: dict[str, Source] = {}
        self.edges: Edges

    def render(self) -> None:
        """Add everything."""
        self.graph.check_names()
        self.sources = rendered_sources(self.graph, self.config)
        self.tasks.make_setup([one for one, source in self.sources.items() if source.has_freshness])
        self.edges = Edges(self.graph, self.placed, self.tasks.setup)
        nodes = [node for node in self.graph.nodes.values() if self._is_rendered(node)]
        for node in nodes:
            placed = self._place(node)
            if placed is not None:
                self.placed[node.unique_id] = placed
        self.edges.connect_nodes()
        tested = self.config.test_behavior in (TestBehavior.AFTER_EACH, TestBehavior.BUILD)
        last = self.edges.leaves() + self._place_sources(self.graph.tested_sources if tested else {})
        if self.config.test_behavior is TestBehavior.AFTER_ALL and self.placed:
            last = [self._test_everything(last)]
        elif tested:
            last += self._detach_tests() + self._other_tests()
        self._close(last)

    # Nodes

    def _is_rendered(self, node: Node) -> bool:
        is_seed = node.resource_type is DbtResourceType.SEED
        return not (is_seed and self.config.seed_rendering_behavior is SeedRenderingBehavior.NONE)

    def _place(self, node: Node) -> Placed | None:
        group = self.tasks.folder_of(node)
        grouped = self.config.test_behavior is TestBehavior.AFTER_EACH and self._has_test_task(node)
        converter = (self.config.node_converters or {}).get(node.resource_type)
        if converter is not None and (self.config.node_conversion_by_task_group or not grouped):
            task_id = SUFFIXES[node.resource_type] if grouped else self.tasks.task_id(node)
            converted = self.tasks.converted(converter, node, task_id, group)
            if not self.config.node_conversion_by_task_group:
                return self._behind_unit_tests(node, converted, f"{node.name}_unit_test", group)
            # A converter may decide that there is nothing to do.
            return None if converted is None else Placed(converted, converted, converted)
        if not grouped:
            task = self._node_task(node, self.tasks.task_id(node), group)
            return Placed(task, task, task)
        check_id(node.name, node)
        # Not as a context: the group's parent is given, whatever group the DAG file has open.
        model_group = TaskGroup(group_id=node.name, dag=self.dag, parent_group=group or self.dag.task_group)
        own_id = SUFFIXES[node.resource_type]
        test: dict[str, Any] = {
            "unique_id": node.unique_id,
            "tests": self._tests_of(node.unique_id),
        }
        if converter is not None:
            converted = self.tasks.converted(converter, node, own_id, model_group)
            build = self._behind_unit_tests(node, converted, "unit_test", model_group)
            last = self.tasks.task(DbtTestAsyncOperator, "test", model_group, node, **test)
            if build is None:
                return Placed(model_group, last, last)
            connect(build.last, last)
            return Placed(model_group, build.first, last)
        first = self._node_task(node, own_id, model_group)
        last = self.tasks.task(DbtTestAsyncOperator, "test", model_group, node, **test)
        connect(first, last)
        return Placed(model_group, first, last)

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
            self._unit_tests_of(node.unique_id),
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

    @cached_property
    def _owners(self) -> dict[str, str | None]:
        detach = self.config.should_detach_multiple_parents_tests
        return {
            unique_id: test.place.owner_of(unique_id, detach=detach)
            for unique_id, test in self.graph.tests.items()
        }

    @cached_property
    def _owned(self) -> dict[str | None, list[Test]]:
        owned: dict[str | None, list[Test]] = {}
        for unique_id, owner in self._owners.items():
            owned.setdefault(owner, []).append(self.graph.tests[unique_id])
        return owned

    def _tests_of(self, owner: str | None) -> list[Configured]:
        return list(self._owned.get(owner, ()))

    def _unit_tests_of(self, model: str) -> list[Configured]:
        return [test for test in self.graph.unit_tests.values() if test.model == model]

    def _has_test_task(self, node: Node) -> bool:
        if not self.config.should_detach_multiple_parents_tests:
            return node.unique_id in self.graph.tested
        return node.unique_id in self.graph.tested_alone

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
            tests = self._unit_tests_of(node.unique_id) if work != "tests" else []
            tests += self._tests_of(node.unique_id) if work != "unit_tests" else []
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
        if self.config.test_behavior is TestBehavior.BUILD and node.unique_id in self._owners.values():
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

    def _test_everything(self, leaves: list[Any]) -> Any:
        task = self.tasks.task(DbtTestAsyncOperator, f"{self.tasks.project_name}_test", self.task_group)
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
            before, waiting = self.tasks.setup, tested.get(unique_id, ())
            home = self.tasks.folder_of(source.node) if source is not None else self.task_group
            test_id, group = self._place_of_source(unique_id, home) if unique_id in tested else ("", home)
            if source is not None:
                waiting = tuple(dict.fromkeys((*waiting, *source.holds_back)))
                task = self._measure(source, group, alone=group is home)
                connect(before, task)
                before = task
            if unique_id in tested:
                task = self.tasks.task(
                    DbtTestAsyncOperator,
                    test_id,
                    group,
                    self.graph.sources[unique_id].node if unique_id in self.graph.sources else None,
                    self._tests_of(unique_id),
                    unique_id=unique_id,
                )
                connect(before, task)
            last += [] if self.edges.hold_back(task, waiting) else [task]
        return last

    def _measure(self, source: Source, group: TaskGroup | None, *, alone: bool) -> Any:
        """Add the task that measures a source's freshness, an empty one where dbt measures nothing."""
        node, usual = source.node, f"{source.node.name}_source"
        task_id = "source"
        shown: dict[str, Any] = self.tasks.doc(node)
        if alone:
            named = self.config.normalize_task_id is not None
            free = self.tasks.free_id(usual, f"source_{usual}", node.unique_id, group)
            task_id = self.tasks.task_id(node) if named else free
            shown.update(self.tasks.display_name(node))
        if not source.has_freshness:
            return self.tasks.empty(task_id, group, node, shown)
        return self.tasks.task(
            DbtSourceAsyncOperator, task_id, group, node, unique_id=node.unique_id, **shown
        )

    def _place_of_source(self, source: str, home: TaskGroup | None) -> tuple[str, TaskGroup | None]:
        """Return the id and the group of a source's tests; a group of its own has room for the source's freshness."""
        name = source.split(".", 2)[2].replace(".", "_")
        if self.config.test_behavior is TestBehavior.BUILD:
            return self.tasks.free_id(f"{name}_test", f"source_{name}_test", source, home), home
        group_id = self.tasks.free_id(name, f"source_{name}", source, home)
        return "test", TaskGroup(group_id=group_id, dag=self.dag, parent_group=home or self.dag.task_group)

    def _detach_tests(self) -> list[Any]:
        """Add the tasks of tests that are their own owners, and return those for which nobody waits."""
        last = []
        for unique_id, owner in self._owners.items():
            if owner != unique_id:
                continue
            test = self.graph.tests[unique_id]
            task_id = self.tasks.free_id(
                f"{test.name}_test", f"detached_{hash_of(test)}_test", unique_id, self.task_group
            )
            task = self.tasks.task(DbtTestAsyncOperator, task_id, self.task_group, test, unique_id=unique_id)
            self.edges.behind_parents(task, test)
            last += [] if self.edges.hold_back(task, test.place.holds_back) else [task]
        return last

    def _other_tests(self) -> list[Any]:
        """Add a task for the tests that stand on nothing that is selected, and hold nothing back."""
        if not self.graph.other_tests:
            return []
        others = [self.graph.tests[unique_id] for unique_id in self.graph.other_tests]
        task = self.tasks.task(
            DbtTestAsyncOperator, OTHER_TESTS_TASK_ID, self.task_group, tests=others, work="others"
        )
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
        results = self.tasks.around(ResultsAsyncOperator, RESULTS_TASK_ID)
        for task in last:
            connect(task, results)
        # Never with on_failure_fail_dagrun: Airflow would then look at this task instead of the nodes above it, and as it
        # runs in any case, every failed run would end green.
        results.as_teardown(setups=self.tasks.setup)
        done = self.tasks.done(DONE_TASK_ID)
        connect(results, done)
        if settings.enable_teardown_async_task():
            teardown = self.tasks.around(TeardownAsyncOperator, TEARDOWN_TASK_ID, **self.tasks.args.triggerer)
            results >> teardown
            teardown.as_teardown(setups=self.tasks.setup)
            return
        # A group without a teardown at its end ends with this task alone: what comes after the group waits for nothing else.
        for task in last:
            connect(task, done)
