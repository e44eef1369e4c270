"""Which task executes which test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_async.ownership import assign_owners, depths

CHAIN = {"seed": [], "stg": ["seed"], "mart": ["stg"], "other": ["seed"]}


def test_a_test_belongs_to_its_only_parent() -> None:
    """Wherever that stands in the project."""
    assert assign_owners({"t": ["stg"]}, CHAIN) == {"t": "stg"}


def test_a_test_of_several_nodes_belongs_to_the_one_built_last() -> None:
    """Even if it is declared on an earlier one: it could not run there."""
    assert assign_owners({"t": ["mart", "seed"]}, CHAIN, {"t": "seed"}) == {"t": "mart"}


def test_of_equally_late_parents_the_one_the_test_is_declared_on_owns_it() -> None:
    """It is where people look for it."""
    assert assign_owners({"t": ["stg", "other"]}, CHAIN, {"t": "other"}) == {"t": "other"}
    assert assign_owners({"t": ["stg", "other"]}, CHAIN, {"t": "stg"}) == {"t": "stg"}


def test_without_a_declaration_the_last_by_name_owns_it() -> None:
    """A singular test is declared nowhere; the answer still is the same every time."""
    assert assign_owners({"t": ["other", "stg"]}, CHAIN) == {"t": "stg"}


def test_a_test_without_parents_has_no_owner() -> None:
    """Tests of sources belong to no task of a node."""
    assert assign_owners({"t": []}, CHAIN) == {}


def test_a_detached_test_owns_itself() -> None:
    """With several parents only; any other stays with its node."""
    owners = assign_owners({"one": ["stg"], "two": ["stg", "mart"]}, CHAIN, detach=True)

    assert owners == {"one": "stg", "two": "two"}


def test_depth_counts_the_longest_way_up() -> None:
    """The shorter way would call a node built before its parents."""
    assert depths({"a": [], "b": ["a"], "c": ["a", "b"], "d": ["source.x"]}) == {
        "a": 0,
        "b": 1,
        "c": 2,
        "d": 0,
    }


def test_a_project_may_be_deeper_than_pythons_recursion() -> None:
    """A chain of 5,000 models is unusual, but no error."""
    chain = {str(i): [str(i - 1)] if i else [] for i in reversed(range(5000))}

    assert depths(chain)["4999"] == 4999


def test_nodes_in_a_circle_are_an_error() -> None:
    """dbt refuses them, too; here they must not hang."""
    with pytest.raises(ValueError, match="depends on itself"):
        depths({"a": ["b"], "b": ["c"], "c": ["a"]})


@st.composite
def projects(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, str | None]]:
    """Draw nodes with edges to earlier ones, and tests on any of them."""
    count = draw(st.integers(1, 12))
    names = [f"n{i}" for i in draw(st.permutations(range(count)))]
    edges = {
        name: draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        for index, name in enumerate(names)
    }
    tests = {
        f"t{i}": draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        for i in range(draw(st.integers(0, 8)))
    }
    attached = {test: draw(st.sampled_from([None, *parents])) for test, parents in tests.items()}
    return edges, tests, attached


def _has_circle(edges: dict[str, set[str]]) -> bool:
    try:
        depths(edges)
    except ValueError:
        return True
    return False


@given(projects(), st.booleans())
def test_the_edges_to_a_test_never_close_a_circle(
    project: tuple[dict[str, list[str]], dict[str, list[str]], dict[str, str | None]], build: bool
) -> None:
    """Neither with a task for tests behind each node, nor with one task for both."""
    edges, tests, attached = project
    owners = assign_owners(tests, edges, None if build else attached)
    run, test = ("{}", "{}") if build else ("{}.run", "{}.test")
    above: dict[str, set[str]] = {form.format(name): set() for name in edges for form in (run, test)}
    for name, parents in edges.items():
        above[run.format(name)] |= {test.format(parent) for parent in parents}
        if not build:
            above[test.format(name)].add(run.format(name))
    for unique_id, owner in owners.items():
        above[test.format(owner)] |= {run.format(parent) for parent in tests[unique_id]} - {
            test.format(owner)
        }

    assert not _has_circle(above)
