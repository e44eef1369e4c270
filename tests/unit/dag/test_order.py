"""
The order of tasks for any project and any selection: by dbt's rule, written down once more and naively.

``tests/dbt/gating`` compares the same for one project with dbt itself.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cosmos_async.config import ProfileConfig, ProjectConfig, RenderConfig
from cosmos_async.constants import TestBehavior
from cosmos_async.dag.dbt_dag import DbtDag
from cosmos_async.graph.manifest import graph_of
from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping

HERE = Path(__file__).parents[1]
SOURCES = ["source.p.raw.a", "source.p.raw.b"]
PROFILE = ProfileConfig(
    "p",
    "dev",
    profile_mapping=GoogleCloudServiceAccountDictProfileMapping(
        conn_id="c", profile_args={"dataset": "d", "project": "p"}
    ),
)
Pairs = set[tuple[str, str]]


class Project(NamedTuple):
    """A project: everything's parents, and what is selected."""

    nodes: dict[str, list[str]]
    tests: dict[str, list[str]]
    selected: set[str]

    def above(self, unique_id: str) -> set[str]:
        """Return everything above a node, and the node."""
        found = {unique_id}
        for parent in self.nodes.get(unique_id, ()):
            found |= self.above(parent)
        return found

    def manifest(self) -> dict[str, Any]:
        """Return it as dbt would write it."""
        resources = {
            unique_id: {
                "resource_type": unique_id.split(".")[0],
                "original_file_path": f"{unique_id}.sql",
                "depends_on": {"nodes": parents},
            }
            for unique_id, parents in {**self.nodes, **self.tests}.items()
        }
        functions = {name: each for name, each in resources.items() if name.startswith("function.")}
        nodes = {name: each for name, each in resources.items() if name not in functions}
        return {"nodes": nodes, "functions": functions}


#: No test holds a function back, and a model behind two of them waits for the tests of both.
BEHIND_FUNCTIONS = Project(
    nodes={"function.p.n0": [], "function.p.n1": ["function.p.n0"], "model.p.n2": ["function.p.n1"]},
    tests={"test.p.t0": ["function.p.n0"]},
    selected={"function.p.n0", "function.p.n1", "model.p.n2", "test.p.t0"},
)


@st.composite
def projects(draw: st.DrawFn) -> Project:
    """Draw a project; functions only where everything is selected."""
    whole = draw(st.booleans())
    kinds = ["model", "model", "model", "function"] if whole else ["model"]
    names: list[str] = []
    nodes: dict[str, list[str]] = {}
    for number in draw(st.permutations(range(draw(st.integers(1, 9))))):
        name = f"{draw(st.sampled_from(kinds))}.p.n{number}"
        nodes[name] = draw(st.lists(st.sampled_from([*names, *SOURCES]), max_size=3, unique=True))
        names.append(name)
    tests = {
        f"test.p.t{number}": draw(st.lists(st.sampled_from([*names, *SOURCES]), max_size=3, unique=True))
        for number in range(draw(st.integers(0, 6)))
    }
    every = [*nodes, *tests]
    selected = every if whole else draw(st.lists(st.sampled_from(every), unique=True))
    return Project(nodes, tests, set(selected))


def in_dbt(project: Project) -> Pairs:
    """Return which is before which in ``dbt build``."""
    below = {name: project.above(name) - {name} for name in project.nodes}
    waiting = [name for name in project.nodes if name.startswith("model.")]
    holds = {
        test: [name for name in waiting if below[name].issuperset(parents)]
        for test, parents in project.tests.items()
    }
    # A test of nothing would hold back everything; dbt finds tests by what is above a node.
    holds.update((test, []) for test, parents in project.tests.items() if not parents)
    reach = {name: {name} for name in project.nodes}  # below it, itself included
    for name in project.nodes:
        for other in below[name] & set(project.nodes):
            reach[other].add(name)
    after: dict[str, set[str]] = {name: set(reach[name]) - {name} for name in project.nodes}
    for test in project.tests:
        after[test] = {further for name in holds[test] for further in reach[name]}
    for found in after.values():
        stand = set(found)
        found |= {test for test, parents in project.tests.items() if stand & set(parents)}
    for name in project.nodes:
        after[name] |= {test for test, parents in project.tests.items() if name in parents}
    return {
        (first, second)
        for first, seconds in after.items()
        for second in seconds
        if {first, second} <= project.selected
    }


def in_airflow(project: Project) -> Pairs:
    """Return which task is before which in our DAG."""
    graph = graph_of(project.manifest(), project.selected)
    with mock.patch("cosmos_async.dag.dbt_dag.load_graph", return_value=graph):
        dag = DbtDag(
            dag_id="d",
            schedule=None,
            start_date=datetime(2026, 1, 1),
            project_config=ProjectConfig(HERE / "shop"),
            profile_config=PROFILE,
            render_config=RenderConfig(test_behavior=TestBehavior.AFTER_EACH),
        )
    tasks = {(task.work, task.unique_id): task.task_id for task in dag.tasks if hasattr(task, "work")}
    places = {node: tasks["node", node] for node in graph.nodes}
    for test in graph.tests.values():
        owner = test.place.owner
        places[test.unique_id] = tasks[("others", None) if owner is None else ("tests", owner)]
    above = {
        task.task_id: {other.task_id for other in task.get_flat_relatives(upstream=True)}
        for task in dag.tasks
    }
    # All of them run after setup and before the results.
    assert set(places.values()) <= above["dbt_results_async"]
    assert all("dbt_setup_async" in above[task_id] for task_id in places.values())
    return {
        (first, second)
        for first, task_id in places.items()
        for second, other in places.items()
        if task_id in above[other]
    }


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(project=projects())
@example(BEHIND_FUNCTIONS)
def test_the_order_of_any_project_is_dbts(project: Project) -> None:
    """Each pair; but tests whose parents are not selected do not wait for other tests."""
    dbt, ours = in_dbt(project), in_airflow(project)
    further = {
        test
        for test, parents in project.tests.items()
        if any(parent not in project.selected and parent not in SOURCES for parent in parents)
    }
    between_tests = {(first, second) for first, second in dbt if first in project.tests and second in further}

    assert ours - dbt == set()
    assert dbt - ours - between_tests == set()
