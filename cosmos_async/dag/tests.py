"""Tasks of tests: which tests run in which task, and the tasks themselves, ours or those of an author's converter."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from cosmos_async.airflow.compat import TaskGroup
from cosmos_async.constants import OTHER_TESTS_TASK_ID, DbtResourceType
from cosmos_async.dag.tasks import TaskMaker
from cosmos_async.graph.model import Configured, Graph, Node, Test
from cosmos_async.operators.node import DbtTestAsyncOperator


class TestTasks:
    """
    Makes the tasks of tests.

    Args:
        graph: The graph.
        tasks: Makes the tasks.
    """

    __test__ = False  # not a test case, whatever its name says

    def __init__(self, graph: Graph, tasks: TaskMaker) -> None:
        self.graph = graph
        self.tasks = tasks
        self.detach = tasks.config.should_detach_multiple_parents_tests
        self.apart: dict[str, Any] = {}  #: tasks of sources' tests, and of tests that are their own owners

    @cached_property
    def owners(self) -> dict[str, str | None]:
        """Who executes each test: a node, a source, the test itself or nobody of these."""
        return {
            unique_id: test.place.owner_of(unique_id, detach=self.detach)
            for unique_id, test in self.graph.tests.items()
        }

    @cached_property
    def _owned(self) -> dict[str | None, list[Test]]:
        owned: dict[str | None, list[Test]] = {}
        for unique_id, owner in self.owners.items():
            owned.setdefault(owner, []).append(self.graph.tests[unique_id])
        return owned

    def of(self, owner: str | None) -> list[Configured]:
        """Return the tests that *owner* executes."""
        return list(self._owned.get(owner, ()))

    def unit_tests_of(self, model: str) -> list[Configured]:
        """Return the unit tests of *model*."""
        return [test for test in self.graph.unit_tests.values() if test.model == model]

    def have_a_task(self, node: Node) -> bool:
        """Return whether the tests of *node* have a task in a group with it, where tests run after each node."""
        return node.unique_id in (self.graph.tested_alone if self.detach else self.graph.tested)

    def make(self, task_id: str, group: TaskGroup | None, unique_id: str, node: Node | Test | None) -> Any:
        """
        Add a task for the tests of a node or a source, or for a test alone; None where a converter makes none.

        Args:
            task_id: Its id.
            group: Its group.
            unique_id: Of the node, the source or the test.
            node: The same, where it is selected.
        """
        if DbtResourceType.TEST in self.tasks.converters:
            view = self.tasks.graph.view(node or _unselected(unique_id))
            return self.tasks.converters.convert(
                DbtResourceType.TEST, view, task_id=task_id, task_group=group
            )
        tests = [] if isinstance(node, Test) else self.of(unique_id)
        return self.tasks.task(DbtTestAsyncOperator, task_id, group, node, tests, unique_id=unique_id)

    def make_all(self, task_id: str) -> Any:
        """Add the one task for all tests; None where a converter makes none."""
        group = self.tasks.task_group
        if DbtResourceType.TEST in self.tasks.converters:
            return self.tasks.converters.convert(
                DbtResourceType.TEST, None, task_id=task_id, task_group=group
            )
        return self.tasks.task(DbtTestAsyncOperator, task_id, group)

    def make_others(self) -> Any:
        """Add the task of the tests that stand on nothing that is selected; Cosmos has none, nor have converters."""
        others = [self.graph.tests[unique_id] for unique_id in self.graph.other_tests]
        return self.tasks.task(
            DbtTestAsyncOperator, OTHER_TESTS_TASK_ID, self.tasks.task_group, tests=others, work="others"
        )


def _unselected(source: str) -> Node:
    """Return what is known of a source whose tests are selected without it."""
    return Node(source, DbtResourceType.SOURCE, source.split(".", 2)[1], (), "")
