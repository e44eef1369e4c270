"""Tasks of sources: which there are is Cosmos' rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cosmos_async.airflow.compat import TaskGroup
from cosmos_async.constants import DbtResourceType, SourceRenderingBehavior, TestBehavior
from cosmos_async.dag.edges import Edges, connect
from cosmos_async.dag.tasks import TaskMaker
from cosmos_async.dag.tests import TestTasks
from cosmos_async.graph.model import Graph, Source
from cosmos_async.operators.node import DbtSourceAsyncOperator

if TYPE_CHECKING:
    from cosmos_async.config import RenderConfig


def rendered_sources(graph: Graph, config: RenderConfig) -> dict[str, Source]:
    """
    Return the sources that have a task for their freshness, by unique id.

    Args:
        graph: What is selected. A source counts only if it is selected itself, as with ``select=["+orders"]``.
        config: With ``source_rendering_behavior`` and ``source_pruning``.
    """
    behavior = config.source_rendering_behavior
    if behavior in (SourceRenderingBehavior.NONE, None):
        return {}
    return {
        unique_id: source
        for unique_id, source in graph.sources.items()
        if (source.is_read or not config.source_pruning)
        and (
            behavior is SourceRenderingBehavior.ALL
            or source.has_freshness
            or unique_id in graph.tested_sources
        )
    }


class SourceTasks:
    """
    Makes the tasks of sources: their freshness, their tests, or what an author's converter makes of them.

    Args:
        graph: The graph.
        tasks: Makes the tasks.
        tests: Makes those of tests.
        edges: Lets nodes wait for them.
    """

    def __init__(self, graph: Graph, tasks: TaskMaker, tests: TestTasks, edges: Edges) -> None:
        self.graph = graph
        self.tasks = tasks
        self.tests = tests
        self.edges = edges
        self.rendered = rendered_sources(graph, tasks.config)
        self.converts = DbtResourceType.SOURCE in tasks.converters
        self.shown: dict[str, Any] = {}  #: the task or the group of a source

    def place(self, tested: dict[str, tuple[str, ...]]) -> list[Any]:
        """
        Add the tasks of sources, and return those for which nobody waits.

        Ids are those that Cosmos has where it renders sources: ``<source>_<table>.source`` and ``.test``, in this order;
        ``<source>_<table>_source`` where there is no test. A converter is asked for every source, as in Cosmos; where
        sources are not rendered, its task is not in the group of the source's tests.

        Args:
            tested: The sources whose tests have a task, each with the nodes that wait for it.
        """
        last, measured = [], []
        setup = self.tasks.setup
        asked = self.graph.sources if self.converts else self.rendered
        for unique_id in dict.fromkeys((*asked, *tested)):
            source = asked.get(unique_id)
            before, waiting = setup, tested.get(unique_id, ())
            home = self.tasks.folder_of(source.node) if source is not None else self.tasks.task_group
            test_id, group = self._place_of(unique_id, home) if unique_id in tested else ("", home)
            if source is not None:
                waiting = tuple(dict.fromkeys((*waiting, *source.holds_back)))
                alone = group is home or unique_id not in self.rendered
                task = self._measure(source, home if alone else group, alone=alone)
                if task is not None:
                    connect(before, task)
                    before = task
                    self.shown[unique_id] = task if alone else group
                    measured += [unique_id] if isinstance(task, DbtSourceAsyncOperator) else []
            if unique_id in tested:
                node = self.graph.sources[unique_id].node if unique_id in self.graph.sources else None
                task = self.tests.make(test_id, group, unique_id, node)
                if task is not None:
                    connect(before, task)
                    before = self.tests.apart[unique_id] = task
                    self.shown.setdefault(unique_id, task if group is home else group)
            if before is not setup and not self.edges.hold_back(before, waiting):
                last.append(before)
        setup.sources = tuple(measured)
        return last

    def _measure(self, source: Source, group: TaskGroup | None, *, alone: bool) -> Any:
        """Add the task that measures a source's freshness, an empty one where dbt measures nothing, or a converter's."""
        node, usual = source.node, f"{source.node.name}_source"
        task_id = "source"
        shown: dict[str, Any] = self.tasks.doc(node)
        if alone:
            named = self.tasks.config.normalize_task_id is not None
            free = self.tasks.free_id(usual, f"source_{usual}", node.unique_id, group)
            task_id = self.tasks.task_id(node) if named else free
            shown.update(self.tasks.display_name(node))
        if self.converts:
            return self.tasks.converted(node, task_id, group)
        if not source.has_freshness:
            return self.tasks.empty(task_id, group, node, shown)
        return self.tasks.task(
            DbtSourceAsyncOperator, task_id, group, node, unique_id=node.unique_id, **shown
        )

    def _place_of(self, source: str, home: TaskGroup | None) -> tuple[str, TaskGroup | None]:
        """Return the id and the group of a source's tests; a group of its own has room for the source's freshness."""
        name = source.split(".", 2)[2].replace(".", "_")
        if self.tasks.config.test_behavior is TestBehavior.BUILD:
            return self.tasks.free_id(f"{name}_test", f"source_{name}_test", source, home), home
        group_id = self.tasks.free_id(name, f"source_{name}", source, home)
        dag = self.tasks.dag
        return "test", TaskGroup(group_id=group_id, dag=dag, parent_group=home or dag.task_group)
