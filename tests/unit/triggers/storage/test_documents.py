"""A run's folder: in the order that makes it safe, whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from cosmos_async.exceptions import PlanDamaged, PlanGone, PlanNotFound, StoreError
from cosmos_async.plan.model import Level
from cosmos_async.plan.outcome import Outcome, Status
from cosmos_async.plan.store import NEWEST_OBJECT, PlanAddress, index_object
from cosmos_async.testing.engine import ApiError as FakeApiError
from cosmos_async.testing.objects import Bucket
from cosmos_async.triggers.event_loop.gather import gather_bounded
from cosmos_async.triggers.storage.batch import statuses
from cosmos_async.triggers.storage.documents import (
    delete_folder,
    nonce_of,
    read_index,
    read_index_bytes,
    read_object,
    read_outcomes,
    upload_plan,
    write_objects,
    write_outcomes,
)
from cosmos_async.triggers.storage.folders import LocalFolder, ObjectMissing
from tests.unit.triggers.bench import FOLDER, Bench, FakeClock, cancelled


@pytest.fixture(params=["bucket", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a run's plan lies: both kinds behave alike."""
    return FOLDER if request.param == "bucket" else str(tmp_path / "store" / "run1")


def outcome(unique_id: str) -> Outcome:
    """Return an outcome."""
    at = "2026-03-04T00:00:00+00:00"
    return Outcome(unique_id, Status.SUCCESS, "OK", Level.STATIC, at, at, 1)


async def test_what_is_written_is_read(bench: Bench, place: str) -> None:
    """Plans, uploads of any bytes, outcomes."""
    objects = {"plan/nodes-1.jsonl": b"{}\n", "plan/uploads/x": bytes(range(256)), "dbt/manifest.json": b""}
    told: list[tuple[int, int]] = []

    address = await upload_plan(
        place, objects=objects, index=b"{}", identity=bench.identity, on_progress=lambda *of: told.append(of)
    )

    assert {name: await read_object(address, name, identity=bench.identity) for name in objects} == objects
    assert await read_index_bytes(address, identity=bench.identity) == b"{}"
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert address.index == hashlib.sha256(b"{}").hexdigest()


async def test_a_later_try_of_setup_finds_the_nonce_of_the_first(bench: Bench, place: str) -> None:
    """It knows the jobs of the earlier plan for its own then; a first try is a planned run of its own, whatever is there."""
    address = PlanAddress(place, index="", host="")

    first = await nonce_of(address, first=True, identity=bench.identity)

    assert await nonce_of(address, first=False, identity=bench.identity) == first
    assert await nonce_of(address, first=True, identity=bench.identity) != first


async def test_a_later_try_makes_a_nonce_where_the_first_did_not_come_as_far(
    bench: Bench, place: str
) -> None:
    """A setup that died before its first write has left no jobs either."""
    address = PlanAddress(place, index="", host="")

    made = await nonce_of(address, first=False, identity=bench.identity)

    assert await nonce_of(address, first=False, identity=bench.identity) == made != ""


async def test_the_index_is_written_last(bench: Bench) -> None:
    """What has no index yet is never read, so a setup that dies half-way harms nobody."""
    objects = {f"plan/late/{number}.json": b"{}" for number in range(100)}

    address = await upload_plan(FOLDER, objects=objects, index=b"{}", identity=bench.identity)

    names = [request.query["name"] for request in bench.google.requests.of("objects.insert")]
    assert len(names) == 102
    assert names[-2].endswith(index_object(address.index))
    assert names[-1].endswith(NEWEST_OBJECT)


async def test_an_upload_that_fails_leaves_no_index(bench: Bench, clock: FakeClock) -> None:
    """The setup task fails, and there is nothing to be mistaken for a plan."""
    bench.google.fail(
        "objects.insert", 403, message="No.", when=lambda request: request.query["name"].endswith("/7")
    )
    objects = {f"plan/{number}": b"" for number in range(20)}

    with pytest.raises(StoreError, match="may not use the bucket gs://plans"):
        await upload_plan(FOLDER, objects=objects, index=b"{}", identity=bench.identity)

    assert not any("index" in name for name in bench.google.stored("plans"))


async def test_uploads_survive_a_bad_moment(bench: Bench, clock: FakeClock) -> None:
    """Lost replies and throttling, on every object."""
    bench.google.lose_reply("objects.insert", times=5)
    bench.google.fail("objects.insert", 429, times=5)
    objects = {f"plan/{number}": b"x" for number in range(20)}

    await upload_plan(FOLDER, objects=objects, index=b"{}", identity=bench.identity)

    assert len(bench.google.stored("plans")) == 22


async def test_an_object_that_is_not_there_is_told_apart(bench: Bench, place: str) -> None:
    """Callers that can do without it catch just this."""
    address = await upload_plan(place, objects={}, index=b"{}", identity=bench.identity)

    with pytest.raises(ObjectMissing, match="does not exist"):
        await read_object(address, "dbt/manifest.json", identity=bench.identity)


async def test_an_index_that_was_changed_is_not_believed(bench: Bench, place: str) -> None:
    """Its address carries its digest."""
    address = await upload_plan(place, objects={}, index=b"{}", identity=bench.identity)
    await write_objects(address, {index_object(address.index): b"{ }"}, identity=bench.identity)

    with pytest.raises(PlanDamaged, match="is not what the setup task wrote"):
        await read_index_bytes(address, identity=bench.identity)


async def test_an_index_that_is_gone_names_the_way_out(bench: Bench, place: str) -> None:
    """Teardown has been there."""
    address = await upload_plan(place, objects={"a": b""}, index=b"{}", identity=bench.identity)
    assert await delete_folder(address, identity=bench.identity) == 3
    assert await delete_folder(address, identity=bench.identity) == 0

    with pytest.raises(PlanNotFound, match="clear the setup task together with this one"):
        await read_index_bytes(address, identity=bench.identity)


async def test_outcomes_are_collected(bench: Bench, place: str) -> None:
    """One object each, however many."""
    address = await upload_plan(place, objects={"plan/x": b""}, index=b"{}", identity=bench.identity)
    outcomes = [outcome(f"model.shop.m{number}") for number in range(50)]

    await write_outcomes(address, outcomes, identity=bench.identity)

    found = await read_outcomes(address, identity=bench.identity)
    assert found == {one.unique_id: one for one in outcomes}


async def test_an_outcome_never_replaces_that_of_a_later_try(bench: Bench, place: str) -> None:
    """A triggerer that was frozen while its task was cleared wakes up with an outcome that is history."""
    address = await upload_plan(place, objects={}, index=b"{}", identity=bench.identity)
    second = replace(outcome("model.shop.orders"), try_number=2)
    for one in (second, outcome("model.shop.orders"), replace(second, message="again")):
        await write_outcomes(address, [one], identity=bench.identity)

    found = await read_outcomes(address, identity=bench.identity)

    assert (found["model.shop.orders"].try_number, found["model.shop.orders"].message) == (2, "again")


async def test_an_outcome_whose_answer_was_lost_is_written_once_more(bench: Bench, clock: FakeClock) -> None:
    """The second attempt finds the object there; it is its own."""
    address = await upload_plan(FOLDER, objects={}, index=b"{}", identity=bench.identity)
    bench.google.lose_reply("objects.insert")

    await write_outcomes(address, [outcome("model.shop.orders")], identity=bench.identity)

    assert list(await read_outcomes(address, identity=bench.identity)) == ["model.shop.orders"]


async def test_lists_longer_than_a_page_are_read_to_their_end(bench: Bench) -> None:
    """Cloud Storage answers a thousand names at a time."""
    bucket = bench.google.objects.find("plans")
    for number in range(1003):
        bench.google.objects.write(bucket, f"shop/dag/run1/life/plan/{number}", b"", {}, {})
    address = PlanAddress(FOLDER, "", "")

    assert await delete_folder(address, identity=bench.identity) == 1003
    assert bucket.objects == {}


async def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """With the folder, the machine and the setting."""
    await asyncio.to_thread((tmp_path / "file").write_text, "")

    with pytest.raises(StoreError, match=r"cannot be written on .*REMOTE_TARGET_PATH"):
        await LocalFolder(str(tmp_path / "file" / "run1")).write("plan/a", b"")


async def test_another_machines_folder_is_not_taken_for_a_deleted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the same run has once been planned here, so that there is a folder of its name."""
    monkeypatch.setattr("socket.gethostname", lambda: "worker-2")
    await upload_plan(str(tmp_path / "run1"), objects={}, index=b"older", identity={})
    address = PlanAddress(str(tmp_path / "run1"), "0" * 64, "worker-1")

    with pytest.raises(
        StoreError, match=r"was written on worker-1, and this is worker-2, .*REMOTE_TARGET_PATH"
    ):
        await read_index(LocalFolder(address.folder, written_by=address.host), address)


async def test_a_deleted_folder_is_not_taken_for_another_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers that share a volume have names of their own, and others after each restart."""
    monkeypatch.setattr("socket.gethostname", lambda: "worker-1")
    address = await upload_plan(str(tmp_path / "run1"), objects={}, index=b"{}", identity={})
    monkeypatch.setattr("socket.gethostname", lambda: "worker-2")
    assert await delete_folder(address, identity={}) == 2

    with pytest.raises(PlanGone, match="deleted by its teardown task"):
        await read_index(LocalFolder(address.folder, written_by=address.host), address)


async def test_a_writer_that_dies_leaves_nothing_half_written(tmp_path: Path) -> None:
    """Objects appear whole; what was under way is not listed."""
    folder = LocalFolder(str(tmp_path))
    await folder.write("plan/a", b"1")
    await asyncio.to_thread((tmp_path / "plan" / ".writing-x").write_text, "half")

    assert await folder.names() == ["plan/a"]


async def test_the_first_error_ends_what_is_gathered() -> None:
    """Nothing goes on behind the caller's back."""
    ended = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(True)
            raise

    async def fail() -> None:
        await asyncio.sleep(0)
        raise StoreError("no")

    with pytest.raises(StoreError):
        await gather_bounded([forever(), forever(), fail()])

    assert ended == [True, True]


@pytest.mark.parametrize("most", [1, 9])
@pytest.mark.filterwarnings("error")
async def test_what_had_no_place_before_an_error_is_not_forgotten(most: int) -> None:
    """Python would warn of a coroutine that nobody has awaited."""

    async def nothing() -> None:
        await asyncio.sleep(0)

    waiting = [nothing() for _ in range(3)]
    all_of_them = asyncio.ensure_future(gather_bounded(waiting, most=most))
    await asyncio.sleep(0)

    await cancelled(all_of_them)

    assert {inspect.getcoroutinestate(each) for each in waiting} == {inspect.CORO_CLOSED}


# -- a hundred objects by one request ---------------------------------------------------------------------------------


def stored_objects(bench: Bench, count: int) -> PlanAddress:
    """Let a run's folder have objects, of names that have to be quoted; return the run's address."""
    bucket = bench.google.objects.find("plans")
    for number in range(count):
        bench.google.objects.write(bucket, f"shop/dag/run1/life/plan/ü {number}+{{x}}", b"", {}, {})
    return PlanAddress(FOLDER, "", "")


async def test_a_folder_is_deleted_a_hundred_objects_at_a_time(bench: Bench) -> None:
    """A run of a hundred nodes leaves some three hundred of them."""
    address = stored_objects(bench, 250)

    assert await delete_folder(address, identity=bench.identity) == 250
    assert bench.google.objects.find("plans").objects == {}
    assert len(bench.google.requests.of("objects.batch")) == 3
    assert bench.google.requests.of("objects.delete") == []


async def test_what_a_batch_leaves_is_deleted_by_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call of a batch has a status of its own."""
    address = stored_objects(bench, 3)
    refused = ["shop/dag/run1/life/plan/ü 1+{x}"]
    delete = bench.google.objects.delete

    def once_refused(bucket: Bucket, name: str, query: Mapping[str, str]) -> None:
        if name in refused:
            refused.remove(name)
            raise FakeApiError(503, "backendError", "Try again.")
        delete(bucket, name, query)

    monkeypatch.setattr(bench.google.objects, "delete", once_refused)

    assert await delete_folder(address, identity=bench.identity) == 3
    assert bench.google.objects.find("plans").objects == {}
    assert [request.path.rpartition("/o/")[2] for request in bench.google.requests.of("objects.delete")] == [
        "shop/dag/run1/life/plan/ü 1+{x}"
    ]


async def test_objects_are_deleted_one_by_one_where_there_are_no_batches(bench: Bench) -> None:
    """As behind an endpoint of one's own that only knows the API's resources."""
    address = stored_objects(bench, 3)
    bench.google.fail("objects.batch", 404, reason="notFound")

    assert await delete_folder(address, identity=bench.identity) == 3
    assert len(bench.google.requests.of("objects.delete")) == 3


async def test_a_batch_whose_answer_was_lost_is_sent_once_more(bench: Bench, clock: FakeClock) -> None:
    """Its objects are gone by then, which is as good."""
    address = stored_objects(bench, 3)
    bench.google.lose_reply("objects.batch")

    assert await delete_folder(address, identity=bench.identity) == 3
    assert bench.google.requests.of("objects.delete") == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html>Please sign in.</html>"),
        ("multipart/mixed; boundary=b", b"--b\r\nContent-Type: application/http\r\n\r\nnothing\r\n--b--\r\n"),
        ("", b""),
    ],
)
def test_what_is_no_answer_to_a_batch_is_an_error(content_type: str, body: bytes) -> None:
    """Then nobody knows what became of its calls."""
    with pytest.raises(StoreError, match="has no calls"):
        statuses(content_type, body)
