"""The longest way to a run's end, by what nodes took before."""

from __future__ import annotations

from cosmos_async.plan.priorities import load_seconds, with_seconds_left
from cosmos_async.plan.task_graph import GraphTask, TaskGraph

NODES = {
    "orders.run": [["unit_test.shop.orders"], ["model.shop.orders"]],
    "orders.test": [["test.shop.one", "test.shop.two"]],
    "report.run": [["model.shop.report"]],
    "alone.run": [["model.shop.alone"]],
    "deselected.run": [],
}
SECONDS = {
    "unit_test.shop.orders": 1.0,
    "model.shop.orders": 10.0,
    "test.shop.one": 2.0,
    "test.shop.two": 3.0,
    "model.shop.report": 20.0,
}
GRAPH = TaskGraph(
    {
        "report.run": GraphTask("node", "model.shop.report", ("orders.test", "deselected.run")),
        "orders.run": GraphTask("node", "model.shop.orders", ()),
        "orders.test": GraphTask("tests", "model.shop.orders", ("orders.run",)),
        "alone.run": GraphTask("node", "model.shop.alone", None),
        "deselected.run": GraphTask("node", "model.shop.deselected", ()),
    }
)


def left(seconds: dict[str, float]) -> dict[str, float]:
    return {name: task.seconds_left for name, task in with_seconds_left(GRAPH, NODES, seconds).tasks.items()}


def test_the_longest_way_counts() -> None:
    """Groups of a task come one after the other, the nodes of a group at once; what is not known is as the median."""
    assert left(SECONDS) == {
        "report.run": 20.0,
        "orders.test": 23.0,
        "orders.run": 34.0,
        "alone.run": 3.0,
        "deselected.run": 20.0,
    }


def test_without_an_earlier_run_the_number_of_nodes_counts() -> None:
    """One after the other."""
    assert left({})["orders.run"] == 4.0


def test_the_graph_keeps_it_in_the_store() -> None:
    """Setup writes it, triggerers read it."""
    graph = with_seconds_left(GRAPH, NODES, SECONDS)

    assert TaskGraph.load(graph.dump()) == graph


def test_a_chain_as_long_as_it_likes() -> None:
    """Deeper than Python calls."""
    names = [f"m{number}" for number in range(3000)]
    tasks = {name: GraphTask("node", name, (above,)) for above, name in zip(names, names[1:])}
    graph = TaskGraph({names[0]: GraphTask("node", names[0], ()), **tasks})

    found = with_seconds_left(graph, {name: [[name]] for name in names}, {})
    assert found.tasks[names[0]].seconds_left == 3000.0


def test_something_else_in_its_place_is_as_good_as_nothing() -> None:
    """Only an order depends on it."""
    assert [load_seconds(data) for data in (b"", b"[1]", b'{"a": "b"}', b"\xff")] == [{}] * 4
