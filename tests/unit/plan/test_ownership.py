"""Which task executes which test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_async.plan.ownership import Lineage, Place, depths, is_held_back, unit_test_owner

#: Two branches that meet in ``top``, which has a child; ``side`` shares a seed with one of them.
PROJECT = {
    "seed": ["source.raw.a"],
    "left": ["seed"],
    "right": ["source.raw.b"],
    "side": ["seed"],
    "top": ["left", "right"],
    "child": ["top"],
}


def place(*parents: str, selected: str = "seed left right side top child") -> Place:
    """Return where the test ``t`` of these parents runs."""
    return Lineage(PROJECT, selected.split()).place("t", parents)


@pytest.mark.parametrize("name", PROJECT)
def test_a_test_belongs_to_its_only_parent(name: str) -> None:
    """Wherever that stands in the project; what waits for the parent waits for the test, too."""
    assert place(name) == Place(name)


def test_a_test_of_several_nodes_belongs_to_the_one_below_all_others() -> None:
    """What lies below this one lies below them all."""
    assert place("top", "seed").owner == "top"
    assert place("left", "top", "source.raw.b").owner == "top"


def test_a_test_of_unrelated_nodes_belongs_to_none_of_them() -> None:
    """The children of one of them need not wait for it; only the first below all of them do."""
    assert place("left", "right") == Place("t", ("top",), several=True)
    assert place("side", "right") == Place("t", (), several=True)


def test_a_source_beside_a_node_counts_like_any_parent() -> None:
    """It lies above the node, or it does not."""
    assert place("seed", "source.raw.a").owner == "seed"
    assert place("left", "source.raw.b") == Place("t", ("top",), several=True)


def test_a_test_of_a_source_belongs_to_the_source() -> None:
    """It holds back what reads the source; with a second source only what reads both."""
    assert place("source.raw.b") == Place("source.raw.b", ("right",))
    assert place("source.raw.a", "source.raw.b") == Place("t", ("top",), several=True)


def test_a_source_that_nothing_reads_holds_nothing_back() -> None:
    """Its tests run all the same."""
    assert place("source.raw.unused") == Place("source.raw.unused")


def test_a_test_of_nothing_has_no_owner() -> None:
    """Some packages have such tests."""
    assert place() == Place(None)


def test_a_test_of_what_is_not_selected_holds_back_what_is() -> None:
    """dbt looks at the whole project, too, before it looks at the selection."""
    assert place("left", selected="child") == Place("t", ("child",))
    assert place("left", "right", selected="left child") == Place("t", ("child",), several=True)


def test_a_parent_that_is_not_selected_still_counts() -> None:
    """Else a test would hold back more because less is selected."""
    assert place("side", "left", selected="left top child") == Place("t", (), several=True)


def test_an_owner_that_is_not_selected_leaves_the_test_to_itself() -> None:
    """There is no task of the owner in which it could run."""
    assert place("left", "top", selected="left child") == Place("t", ("child",), several=True)


def test_a_test_above_which_something_is_selected_waits_for_that() -> None:
    """So it cannot run with those that wait for nothing, although it holds nothing back."""
    assert place("child", selected="seed") == Place("t")
    assert place("child", selected="side") == Place(None)


def test_functions_pass() -> None:
    """dbt holds back models, seeds and snapshots alone, even behind a function."""
    lineage = Lineage(
        {"model.a": [], "function.f": ["model.a"], "model.b": ["function.f"]},
        ["model.a", "function.f", "model.b"],
    )

    assert lineage.place("t", ["model.a", "metric.m"]).holds_back == ()
    assert lineage.place("t", ["function.f"]).owner == "function.f"
    assert Lineage({"function.f": ["s"], "model.b": ["function.f"]}, ["function.f", "model.b"]).place(
        "t", ["s"]
    ) == Place("t", ("model.b",))


def test_something_that_is_never_built_holds_nothing_back() -> None:
    """A metric, say; the nodes beside it come before the test as usual."""
    assert place("left", "metric.m") == Place("t", (), several=True)


def test_every_test_of_several_nodes_may_be_detached() -> None:
    """As Cosmos' option has it; any other stays with its node, or with the other ones."""
    assert place("top", "seed").owner_of("t", detach=True) == "t"
    assert place("top", "seed").owner_of("t", detach=False) == "top"
    assert place("top", "seed").holds_back == ("child",)
    assert place("top").owner_of("t", detach=True) == "top"
    assert place("left", "right", selected="side").owner_of("t", detach=True) is None


def test_a_unit_test_belongs_to_the_node_it_names_first() -> None:
    """The others are what its model reads."""
    assert unit_test_owner(["top", "left"], {"top", "left"}) == "top"
    assert unit_test_owner(["top", "left"], {"left"}) is None


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
def projects(draw: st.DrawFn) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """Draw nodes with edges to earlier ones, some of them selected, and the parents of a test."""
    count = draw(st.integers(1, 12))
    # Numbered against the order in which they are built, too: names must not matter.
    names = [
        f"{draw(st.sampled_from(['model', 'function']))}.n{i}" for i in draw(st.permutations(range(count)))
    ]
    sources = ["source.a", "source.b"]
    edges = {
        name: draw(st.lists(st.sampled_from(names[:index] + sources), unique=True, max_size=4))
        for index, name in enumerate(names)
    }
    selected = draw(st.lists(st.sampled_from(names), unique=True))
    parents = draw(st.lists(st.sampled_from(names + sources), min_size=1, max_size=4, unique=True))
    return edges, selected, parents


def ancestors(edges: dict[str, list[str]], name: str) -> set[str]:
    """Return everything above *name*."""
    return {above for parent in edges.get(name, []) for above in {parent, *ancestors(edges, parent)}}


@given(projects())
def test_what_waits_for_a_test_is_what_dbt_lets_wait(
    project: tuple[dict[str, list[str]], list[str], list[str]],
) -> None:
    """Those below all of its parents: the ones named, and what is below these."""
    edges, selected, parents = project
    found = Lineage(edges, selected).place("t", parents)
    above = {name: ancestors(edges, name) for name in edges}
    in_dbt = {name for name in selected if is_held_back(name) and above[name].issuperset(parents)}

    first = {found.owner} if found.owner in selected and not found.holds_back else set(found.holds_back)
    here = {name for name in selected if is_held_back(name) and (above[name] & first or name in first)}
    here -= {found.owner}

    assert here == in_dbt
    assert not any(above[one] & set(found.holds_back) for one in found.holds_back)
    if found.owner in edges:
        assert {found.owner, *above[found.owner]}.issuperset(parents)
