"""All node plans in one object, and which part of it is read for a node."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_async.plan import model
from cosmos_async.plan.model import (
    Index,
    IndexEntry,
    Level,
    NodePlan,
    RunInfo,
    dump_index,
    dump_node,
    load_index,
    load_node,
)
from cosmos_async.plan.node_plans import pack, unpack
from cosmos_async.plan.store import nodes_object

RUN = RunInfo("d", "r", "2026-03-04T00:00:00+00:00", "h", "shop", "dev", "i", "1.11", "1.11", "0.1")


def index_of(*unique_ids: str) -> Index:
    """Return an index that knows nothing of where plans are."""
    return Index(RUN, {each: IndexEntry(each, "model", Level.STATIC, "") for each in unique_ids})


def packed(*lengths: int) -> tuple[Index, bytes]:
    """Return an index and its object with plans of these lengths, called by their numbers."""
    plans = {str(number): b"x" * length for number, length in enumerate(lengths)}
    index, objects = pack(index_of(*plans), plans)
    (data,) = objects.values()
    return index, data


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_what_is_packed_is_unpacked(plans: list[bytes]) -> None:
    """Byte for byte and with each plan's digest, also by an index that was stored meanwhile."""
    stored = {f"model.shop.m{number}": data for number, data in enumerate(plans)}

    index, objects = pack(index_of(*stored), stored)

    assert unpack(load_index(dump_index(index)), objects) == stored
    assert {name: entry.digest for name, entry in index.nodes.items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in stored.items()
    }


def test_the_object_is_named_by_its_content() -> None:
    """A plan made anew never writes over one that somebody still reads."""
    index, objects = pack(index_of("a"), {"a": b"{}"})

    assert index.plans == hashlib.sha256(b"{}\n").hexdigest()
    assert objects == {nodes_object(index.plans): b"{}\n"}
    assert index.plans[:16] in nodes_object(index.plans)


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_it_is_json_lines(code: list[str]) -> None:
    """One plan a line, whatever its SQL has in it, so that other tools read it."""
    plans = [
        NodePlan(f"model.shop.m{number}", "m", "model", Level.STATIC, compiled_code=f"{sql}\n\r\u2028{sql}")
        for number, sql in enumerate(code)
    ]
    stored = {plan.unique_id: dump_node(plan) for plan in plans}

    _, objects = pack(index_of(*stored), stored)

    (data,) = objects.values()
    lines = data.split(b"\n")
    assert lines.pop() == b""
    assert [load_node(line) for line in lines] == plans


def test_a_plan_of_nothing_has_an_object_all_the_same() -> None:
    """So the index of a run without nodes is like any other."""
    index, data = packed()

    assert (data, index.blocks, unpack(index, {nodes_object(index.plans): data})) == (b"", {}, {})


def test_all_of_a_small_plan_is_one_block() -> None:
    """One request serves every node."""
    index, data = packed(1000, 1, 0, 2000)

    assert set(index.blocks.values()) == {(0, len(data) - 1)}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a hundred bytes."""
    monkeypatch.setattr(model, "BLOCK", 100)


@pytest.mark.usefixtures("small_blocks")
def test_a_large_plan_is_several() -> None:
    """As many neighbours as there is room for; one that is too large for a block is one of its own."""
    index, _ = packed(49, 50, 1, 98, 250, 10)

    assert list(index.blocks.values()) == [(0, 100), (0, 100), (101, 201), (101, 201), (202, 452), (453, 463)]


@pytest.mark.usefixtures("small_blocks")
@given(st.lists(st.integers(0, 150), max_size=20))
def test_a_block_has_whole_plans(lengths: list[int]) -> None:
    """So a node costs no more than one request."""
    index, data = packed(*lengths)

    for unique_id, (start, end) in index.blocks.items():
        entry = index.nodes[unique_id]
        assert 0 <= start <= entry.offset <= entry.offset + entry.length <= end <= len(data)
        assert end - start <= max(100, entry.length)
