"""Node plans as the triggerer reads them: in blocks, checked one by one, with no more requests than there are blocks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.exceptions import PlanDamaged, PlanError, PlanGone
from cosmos_async.plan import model as vocabulary
from cosmos_async.plan.model import Index, NodePlan, dump_node
from cosmos_async.plan.store import PlanAddress, late_plan_object, nodes_object
from cosmos_async.triggers.google import session as sessions
from cosmos_async.triggers.google.session import Session, shared_session
from cosmos_async.triggers.storage.documents import folder_at, open_folder, read_index, write_objects
from cosmos_async.triggers.storage.folders import Folder, ObjectMissing
from cosmos_async.triggers.storage.node_plans import FRESH, read_late, read_node, read_plans
from tests.unit.triggers.bench import FOLDER, Bench, FakeClock, cancelled, model

NAMES = ("orders", "lines", "customers", "payments")
PLANS = {f"model.shop.{name}": model(name) for name in NAMES}
ORDERS = "model.shop.orders"


@pytest.fixture(params=["bucket", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a run's plan lies: both kinds behave alike."""
    return FOLDER if request.param == "bucket" else str(tmp_path / "store" / "run1" / "life")


@pytest.fixture
def two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for two of the four plans in a block."""
    longest = max(len(dump_node(plan)) for plan in PLANS.values())
    monkeypatch.setattr(vocabulary, "BLOCK", 2 * longest + 1)


@pytest.fixture
async def session(bench: Bench, clock: FakeClock) -> AsyncIterator[Session]:
    """A triggerer's, with a clock."""
    async with shared_session(bench.identity) as opened:
        yield opened


class Reader:
    """A process that reads the plan of the bench."""

    def __init__(self, bench: Bench, session: Session, folder: Folder, index: Index) -> None:
        self.google, self.session, self.folder, self.index = bench.google, session, folder, index
        bench.google.requests.clear()

    @classmethod
    async def of(cls, bench: Bench, session: Session, place: str = FOLDER) -> Reader:
        """Write a plan of four nodes and open its folder."""
        address = await bench.plan(*PLANS.values(), folder=place)
        async with folder_at(address, identity=bench.identity) as folder:
            return cls(bench, session, folder, await read_index(folder, address))

    async def read(self, unique_id: str, **options: Any) -> NodePlan:
        """Read a node's plan."""
        return await read_node(self.folder, self.index, unique_id, session=self.session, **options)

    async def read_all(self, **options: Any) -> list[NodePlan]:
        """Read them at once."""
        return await asyncio.gather(*(self.read(unique_id, **options) for unique_id in self.index.nodes))

    @property
    def ranges(self) -> list[str]:
        """What was asked of Cloud Storage."""
        return [request.headers["Range"] for request in self.google.requests.of("objects.get")]

    def overwrite(self, change: Any) -> None:
        """Write to the object as somebody else with access to the bucket could."""
        objects = self.google.objects.find("plans").objects
        (name,) = [name for name in objects if name.endswith(nodes_object(self.index.plans))]
        objects[name] = replace(objects[name], content=change(objects[name].content))

    def delete(self) -> None:
        """Delete all that is there."""
        self.google.objects.find("plans").objects.clear()


@pytest.mark.parametrize("blocks", ["one block", "two blocks"])
async def test_every_node_is_read_as_it_was_written(
    bench: Bench, session: Session, place: str, blocks: str, request: pytest.FixtureRequest
) -> None:
    """From a bucket and from a disk, from the first block and from the second."""
    if blocks == "two blocks":
        request.getfixturevalue("two_blocks")
    reader = await Reader.of(bench, session, place)

    assert await reader.read_all() == list(PLANS.values())
    assert len(set(reader.index.blocks.values())) == (2 if blocks == "two blocks" else 1)


async def test_a_small_plan_is_one_request(bench: Bench, session: Session) -> None:
    """However many tasks there are, in a run that goes on."""
    reader = await Reader.of(bench, session)

    for _ in range(3):
        await reader.read_all(fresh=False)

    size = sum(entry.length + 1 for entry in reader.index.nodes.values())
    assert reader.ranges == [f"bytes=0-{size - 2}"]


@pytest.mark.usefixtures("two_blocks")
async def test_a_large_plan_is_a_request_per_block(bench: Bench, session: Session) -> None:
    """A node's neighbours come with it, and the others do not."""
    reader = await Reader.of(bench, session)
    (first, second) = sorted(set(reader.index.blocks.values()))

    await reader.read(ORDERS)
    assert reader.ranges == [f"bytes={first[0]}-{first[1] - 1}"]
    await reader.read_all()

    assert reader.ranges[1:] == [f"bytes={second[0]}-{second[1] - 1}"]


async def test_what_begins_later_looks_whether_the_plan_is_there(
    bench: Bench, session: Session, clock: FakeClock
) -> None:
    """A block serves tasks that Airflow starts at about one moment; it is read again for those that begin later."""
    reader = await Reader.of(bench, session)
    await reader.read_all()
    clock.time += FRESH
    await reader.read_all()
    assert len(reader.ranges) == 1

    clock.time += 0.1
    await reader.read_all()
    assert len(reader.ranges) == 2

    clock.time += FRESH + 0.1
    reader.delete()
    with pytest.raises(PlanGone, match="deleted by its teardown task"):
        await reader.read(ORDERS)


async def test_what_begins_ahead_goes_by_what_was_read(
    bench: Bench, session: Session, clock: FakeClock
) -> None:
    """The run goes on, so nobody has deleted its plan; on the critical path nothing is read."""
    reader = await Reader.of(bench, session)
    await reader.read(ORDERS)
    clock.time += 3600

    assert await reader.read("model.shop.payments", fresh=False) == PLANS["model.shop.payments"]
    assert len(reader.ranges) == 1


CHANGES: dict[str, Any] = {
    "one byte": lambda data: data.replace(b"select 1", b"select 2"),
    "too short": lambda data: data[: len(data) // 8],
    "moved": lambda data: b"\n" + data,
    "nothing": lambda data: b"",
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_plan_that_somebody_changed_is_refused(bench: Bench, session: Session, change: str) -> None:
    """With its node's name, and after it was read once more."""
    reader = await Reader.of(bench, session)
    reader.overwrite(CHANGES[change])

    with pytest.raises(
        PlanDamaged,
        match=rf"the plan of {ORDERS} \({FOLDER}/plan/nodes-.*\) is not what the setup task wrote",
    ):
        await reader.read(ORDERS)

    assert len(reader.ranges) == 2


@pytest.mark.usefixtures("two_blocks")
async def test_where_the_object_ends_before_a_block_nothing_is_read(bench: Bench, session: Session) -> None:
    """Cloud Storage answers 416, which is no error of the request's; nodes before it are what they were."""
    reader = await Reader.of(bench, session)
    reader.overwrite(lambda data: data[: reader.index.blocks[ORDERS][1]])

    with pytest.raises(PlanDamaged, match=r"the plan of model\.shop\.payments"):
        await reader.read("model.shop.payments")
    assert await reader.read(ORDERS) == PLANS[ORDERS]


async def test_a_damaged_node_leaves_its_neighbours_alone(bench: Bench, session: Session) -> None:
    """Each has its own digest."""
    reader = await Reader.of(bench, session)
    reader.overwrite(lambda data: data.replace(b"`orders`", b"`stolen`"))

    with pytest.raises(PlanDamaged):
        await reader.read(ORDERS)
    assert await reader.read("model.shop.lines") == PLANS["model.shop.lines"]


async def test_an_answer_that_broke_is_read_once_more(bench: Bench, session: Session) -> None:
    """What was kept of it serves nobody else either."""
    reader = await Reader.of(bench, session)
    whole = reader.folder.read_range
    answers = [b"half of"]

    async def broken(*part: Any) -> bytes:
        return answers.pop() if answers else await whole(*part)

    reader.folder.read_range = broken  # type: ignore[method-assign]

    assert await reader.read_all() == list(PLANS.values())


async def test_a_lost_answer_is_asked_for_again(bench: Bench, session: Session) -> None:
    """As every call to Cloud Storage; the range is asked for each time."""
    reader = await Reader.of(bench, session)
    bench.google.lose_reply("objects.get")
    bench.google.fail("objects.get", 503)

    assert await reader.read(ORDERS) == PLANS[ORDERS]
    assert len(reader.ranges) == 3
    assert len(set(reader.ranges)) == 1


async def test_one_who_is_cancelled_takes_nothing_from_the_others(bench: Bench, session: Session) -> None:
    """They wait for one answer."""
    reader = await Reader.of(bench, session)
    first, other = (asyncio.create_task(reader.read(name)) for name in (ORDERS, "model.shop.lines"))
    await asyncio.sleep(0)
    await cancelled(first)

    assert await other == PLANS["model.shop.lines"]
    assert len(reader.ranges) == 1


@pytest.mark.usefixtures("two_blocks")
async def test_memory_is_bounded(bench: Bench, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many runs a triggerer has seen; what was used last stays, and so do small results."""
    reader = await Reader.of(bench, session)
    first, second = ORDERS, "model.shop.payments"
    start, end = reader.index.blocks[first]
    monkeypatch.setattr(sessions, "KEPT_BYTES", end - start + 1)

    async def small() -> str:
        return "small"

    await session.once("small", small)
    for unique_id in (first, first, second, first, first):
        await reader.read(unique_id, fresh=False)

    assert len(reader.ranges) == 3
    assert await session.once("small", reader.index.blocks.clear) == "small"  # type: ignore[arg-type]


async def test_a_range_of_an_object(bench: Bench, place: str) -> None:
    """Beyond its end there is nothing; one that is not there is told apart."""
    async with open_folder(place, identity=bench.identity) as folder:
        await folder.write("plan/a", b"0123456789")

        ranges = [(0, 10), (2, 5), (8, 20), (10, 12), (30, 40)]
        assert [await folder.read_range("plan/a", *each) for each in ranges] == [
            b"0123456789",
            b"234",
            b"89",
            b"",
            b"",
        ]
        with pytest.raises(ObjectMissing):
            await folder.read_range("plan/b", 0, 1)


# -- all plans of a node ----------------------------------------------------------------------------------------------


async def test_all_plans_of_a_node_are_found(bench: Bench, session: Session, place: str) -> None:
    """Those of every index of this life of the run, and those that were made late; of no other node, however it is called."""
    await bench.plan(model("orders", reason="first"), model("orders_all"), folder=place)
    await bench.plan(model("lines"), folder=place)  # without the node
    reader = await Reader.of(bench, session, place)
    late = model("orders", reason="late")
    other = model("orders-all", reason="another")
    address = PlanAddress(place, "", "")
    stored = {
        late_plan_object(plan.unique_id, hashlib.sha256(dump_node(plan)).hexdigest()): dump_node(plan)
        for plan in (late, other)
    }
    await write_objects(address, stored, identity=bench.identity)

    found = await read_plans(reader.folder, ORDERS, session=session)

    assert sorted(plan.reason for plan in found) == ["", "first", "late"]
    assert {plan.unique_id for plan in found} == {ORDERS}
    digest = hashlib.sha256(dump_node(late)).hexdigest()
    assert await read_late(reader.folder, ORDERS, digest) == late


async def test_what_cannot_be_read_of_them_is_passed_over(bench: Bench, session: Session) -> None:
    """They only tell of jobs that may be left: one of another release, one that somebody spoiled, one that is gone."""
    reader = await Reader.of(bench, session)
    plan = dump_node(PLANS[ORDERS])
    await write_objects(
        PlanAddress(FOLDER, "", ""),
        {
            f"plan/index-{'0' * 16}.json": b'{"format":1}',
            f"plan/index-{'1' * 16}.json": b"no JSON",
            late_plan_object(ORDERS, "0" * 64): plan.replace(b'"format":', b'"format":1'),
        },
        identity=bench.identity,
    )

    assert await read_plans(reader.folder, ORDERS, session=session) == [PLANS[ORDERS]]
    reader.overwrite(lambda data: b"")
    session.forget(("nodes", FOLDER, nodes_object(reader.index.plans), reader.index.blocks[ORDERS]))
    assert await read_plans(reader.folder, ORDERS, session=session) == []


async def test_many_tasks_read_an_earlier_index_once(bench: Bench, session: Session) -> None:
    """Where all of a run is cleared and planned anew."""
    await bench.plan(model("orders", reason="first"), model("lines"))
    reader = await Reader.of(bench, session)

    for _ in range(5):
        assert len(await read_plans(reader.folder, ORDERS, session=session)) == 2

    assert len(reader.google.requests.of("objects.get")) == 4  # two indices and a block of each


async def test_a_late_plan_that_somebody_changed_is_refused(bench: Bench, session: Session) -> None:
    """The pin says its digest."""
    reader = await Reader.of(bench, session)
    late = dump_node(PLANS[ORDERS])
    digest = hashlib.sha256(late).hexdigest()
    name = late_plan_object(ORDERS, digest)
    await write_objects(PlanAddress(FOLDER, "", ""), {name: late + b" "}, identity=bench.identity)

    with pytest.raises(PlanError, match="is not what the setup task wrote"):
        await read_late(reader.folder, ORDERS, digest)
