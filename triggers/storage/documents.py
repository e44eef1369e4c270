"""
Read and write plans, outcomes and uploads in a run's folder.

The order is the invariant: objects first, then the index, then its address. What is read is checked against the
digest that its address or the index gives.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from cosmos_async.exceptions import PlanDamaged, PlanGone, PlanNotFound
from cosmos_async.plan.model import Index, load_index
from cosmos_async.plan.outcome import Outcome, dump_outcome, load_outcome
from cosmos_async.plan.store import (
    NEWEST_OBJECT,
    NONCE_OBJECT,
    PlanAddress,
    above,
    index_object,
    new_nonce,
    outcome_object,
)
from cosmos_async.plan.waves import Pin
from cosmos_async.triggers.event_loop.gather import both, gather_bounded
from cosmos_async.triggers.event_loop.threads import parse
from cosmos_async.triggers.google.credentials import Identity
from cosmos_async.triggers.google.session import shared_session
from cosmos_async.triggers.storage.folders import Folder, LocalFolder, ObjectMissing, ObjectThere, folder_of

__all__ = [
    "ObjectMissing",
    "checked",
    "delete_folder",
    "folder_at",
    "leave_outcome",
    "leave_pin",
    "newest_index",
    "nonce_of",
    "open_folder",
    "read_checked",
    "read_index",
    "read_index_bytes",
    "read_object",
    "read_outcomes",
    "read_upload",
    "remove_object",
    "store_identity",
    "upload_part",
    "upload_plan",
    "write_objects",
    "write_outcomes",
]


@asynccontextmanager
async def open_folder(
    path: str, *, identity: Identity, written_by: str | None = None
) -> AsyncIterator[Folder]:
    """Open the folder at *path*; a local one asks for no credentials."""
    if not path.startswith("gs://"):
        yield LocalFolder(path, written_by=written_by)
        return
    async with shared_session(identity) as session:
        yield folder_of(session, path)


@asynccontextmanager
async def folder_at(address: PlanAddress, *, identity: Identity) -> AsyncIterator[Folder]:
    """Open the folder of the run whose plan is at *address*."""
    who = store_identity(address, identity)
    async with open_folder(address.folder, identity=who, written_by=address.host) as place:
        yield place


def store_identity(address: PlanAddress, identity: Identity) -> Identity:
    """Return who reads and writes the store: its own connection, or whoever submits the jobs."""
    return {"conn_id": address.conn_id} if address.conn_id else identity


async def upload_plan(
    folder: str,
    *,
    objects: Mapping[str, bytes],
    index: bytes,
    identity: Identity,
    conn_id: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> PlanAddress:
    """
    Write a run's plan and return its address.

    For the setup task on a worker, through ``asyncio.run``.

    Args:
        folder: The run's folder, see :func:`cosmos_async.plan.store.run_folder`.
        objects: Everything but the index: names below the folder (their digests included) and bytes.
        index: The index' bytes; written when all objects are there.
        identity: Who writes, unless *conn_id* is given.
        conn_id: The Airflow connection for the store.
        on_progress: Told how many of how many objects are written.

    Raises:
        StoreError: The place is missing or forbidden.
        ApiError: Google refused otherwise.
    """
    address = _address(folder, index, conn_id)
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, len(objects))

    async with open_folder(folder, identity=store_identity(address, identity)) as place:
        await _write_plan(place, objects, index, count)
    async with _all_lives(address, identity) as place:
        await place.write(NEWEST_OBJECT, address.index.encode())
    return address


async def upload_part(
    address: PlanAddress, *, objects: Mapping[str, bytes], index: bytes, identity: Identity
) -> PlanAddress:
    """
    Write a plan for one task of a run into the run's folder and return its address; the run's own plan stays its newest.

    Args:
        address: Of the run's plan.
        objects: As for :func:`upload_plan`.
        index: The index' bytes; written last.
        identity: Who writes, unless the address names a connection of its own.
    """
    part = _address(address.folder, index, address.conn_id)
    async with open_folder(part.folder, identity=store_identity(part, identity)) as place:
        await _write_plan(place, objects, index, lambda: None)
    return part


def _address(folder: str, index: bytes, conn_id: str | None) -> PlanAddress:
    return PlanAddress(folder, hashlib.sha256(index).hexdigest(), socket.gethostname(), conn_id)


async def _write_plan(
    place: Folder, objects: Mapping[str, bytes], index: bytes, on_object: Callable[[], None]
) -> None:
    async def write(name: str, data: bytes) -> None:
        await place.write(name, data)
        on_object()

    if isinstance(place, LocalFolder):
        await place.sign()
    await gather_bounded(write(name, data) for name, data in objects.items())
    await place.write(index_object(hashlib.sha256(index).hexdigest()), index)


@asynccontextmanager
async def _all_lives(address: PlanAddress, identity: Identity) -> AsyncIterator[Folder]:
    who = store_identity(address, identity)
    async with open_folder(above(address.folder), identity=who, written_by=address.host) as place:
        yield place


async def newest_index(address: PlanAddress, *, identity: Identity) -> str:
    """
    Return the digest of the newest plan's index of the DAG run, whichever life of it that belongs to.

    Raises:
        ObjectMissing: There is no plan of it any more.
    """
    async with _all_lives(address, identity) as place:
        return (await place.read(NEWEST_OBJECT)).decode(errors="replace")


async def nonce_of(address: PlanAddress, *, first: bool, identity: Identity) -> str:
    """
    Return the nonce of the planned run whose folder is at *address*; for setup, through ``asyncio.run``.

    Whoever plans first in this life of the DAG run makes it, and all later tries of setup find it, so that they know the
    jobs of the earlier ones for their own.

    Args:
        address: Of the run's folder.
        first: Whether nobody has planned before in this DAG run, whatever is in the folder: ``dag.test()`` lets a run of
            the same date begin at the same moment each time.
        identity: Who writes, unless the address names a connection of its own.
    """
    async with folder_at(address, identity=identity) as place:
        with suppress(ObjectThere):
            await place.write(NONCE_OBJECT, new_nonce().encode(), only_new=not first)
        # An attempt whose answer was lost has written another one than the last: what is there counts.
        return (await place.read(NONCE_OBJECT)).decode()


async def read_object(address: PlanAddress, name: str, *, identity: Identity) -> bytes:
    """Return one object of a run's folder; for workers, through ``asyncio.run``."""
    async with folder_at(address, identity=identity) as place:
        return await place.read(name)


async def write_objects(address: PlanAddress, objects: Mapping[str, bytes], *, identity: Identity) -> None:
    """Write objects into a run's folder; for workers, through ``asyncio.run``."""
    async with folder_at(address, identity=identity) as place:
        await gather_bounded(place.write(name, data) for name, data in objects.items())


async def remove_object(address: PlanAddress, name: str, *, identity: Identity) -> None:
    """Remove one object of a folder; one that is not there is no error. For workers, through ``asyncio.run``."""
    async with folder_at(address, identity=identity) as place:
        with suppress(ObjectMissing):
            await place.remove(name)


async def read_outcomes(address: PlanAddress, *, identity: Identity) -> dict[str, Outcome]:
    """Return all outcomes of a run so far, by unique id; for workers, through ``asyncio.run``."""
    async with folder_at(address, identity=identity) as place:
        names = await place.names("outcomes/")
        found = await gather_bounded(place.read(name) for name in names)
    outcomes = [load_outcome(data) for data in found]
    return {outcome.unique_id: outcome for outcome in outcomes}


async def write_outcomes(address: PlanAddress, outcomes: Iterable[Outcome], *, identity: Identity) -> None:
    """Leave outcomes in a run's folder; for workers, through ``asyncio.run``."""
    async with folder_at(address, identity=identity) as place:
        await gather_bounded(leave_outcome(place, outcome) for outcome in outcomes)


async def leave_outcome(folder: Folder, outcome: Outcome) -> None:
    """
    Write an outcome, unless that of a later try is there.

    A triggerer that was frozen while its task was cleared wakes up, finds its job cancelled and has an outcome to tell; by
    then the new try's may be written.
    """
    name, data = outcome_object(outcome.unique_id), dump_outcome(outcome)
    try:
        await folder.write(name, data, only_new=True)
    except ObjectThere:
        if load_outcome(await folder.read(name)).try_number <= outcome.try_number:
            await folder.write(name, data)


async def leave_pin(folder: Folder, name: str, pin: Pin) -> Pin:
    """
    Pin plans that a worker has made, unless there are others: the first ones may be under way. Return what is pinned.

    Args:
        folder: The run's folder.
        name: The pin's.
        pin: The plans.
    """
    try:
        await folder.write(name, pin.dump(), only_new=True)
    except ObjectThere:
        found = Pin.load(await folder.read(name))
        if set(pin.plans) <= set(found.plans):
            return found
        pin = replace(pin, plans={**pin.plans, **found.plans})
        await folder.write(name, pin.dump())
    return pin


async def delete_folder(address: PlanAddress, *, identity: Identity) -> int:
    """Delete a run's folder and return how many objects there were; nothing is not an error."""
    async with folder_at(address, identity=identity) as place, _all_lives(address, identity) as all_lives:
        count, newest = await both(place.delete(), _newest(all_lives))
        if newest == address.index:
            # Last, as a folder of this machine is deleted with the last that is in it.
            await all_lives.remove(NEWEST_OBJECT)
            count += 1
    return count


async def _newest(all_lives: Folder) -> str | None:
    with suppress(ObjectMissing):
        return (await all_lives.read(NEWEST_OBJECT)).decode(errors="replace")
    return None


async def read_index(folder: Folder, address: PlanAddress) -> Index:
    """
    Return the index the address speaks of.

    Raises:
        PlanGone: It is not there any more.
        PlanDamaged: It is not what setup wrote.
    """
    name = index_object(address.index)
    what = f"the plan's index {folder.path}/{name}"
    return await parse(load_index, await read_checked(folder, name, address.index, what), what=what)


async def read_index_bytes(address: PlanAddress, *, identity: Identity) -> bytes:
    """Return the index' checked bytes; for workers, through ``asyncio.run``."""
    async with folder_at(address, identity=identity) as place:
        name = index_object(address.index)
        return await read_checked(place, name, address.index, f"the plan's index {place.path}/{name}")


async def read_upload(folder: Folder, name: str, digest: str | None) -> bytes:
    """
    Return the bytes of a load job, checked against their digest.

    Raises:
        PlanNotFound: They are not there (any more).
        PlanDamaged: They are not what setup wrote.
    """
    what = f"the data to load ({folder.path}/{name})"
    if digest is None:
        raise PlanDamaged(
            f"the plan does not say what {what} must be. Clear the setup task to write the plan anew."
        )
    try:
        return await read_checked(folder, name, digest, what)
    except PlanGone as error:
        raise PlanNotFound(str(error)) from error  # in the middle of a node


async def read_checked(folder: Folder, name: str, digest: str, what: str) -> bytes:
    """
    Return an object of the plan, checked against its digest.

    Args:
        folder: The run's folder.
        name: The object's.
        digest: Its SHA-256.
        what: What it is, for errors.

    Raises:
        PlanGone: It is not there any more.
        PlanDamaged: It is not what setup wrote.
    """
    return await checked(lambda: folder.read(name), digest, what)


async def checked(read: Callable[[], Awaitable[bytes]], digest: str, what: str) -> bytes:
    """
    Return a part of the plan, checked against its digest.

    Args:
        read: Reads it.
        digest: Its SHA-256.
        what: What it is, for errors.

    Raises:
        PlanGone: It is not there any more.
        PlanDamaged: It is not what setup wrote.
    """
    try:
        data = await read()
        found = await parse(_sha256, data)
        if found != digest:
            # Once more: a connection that broke in a bad place looks the same as somebody's hand.
            found = await parse(_sha256, data := await read())
    except ObjectMissing as error:
        raise PlanGone(
            f"{what} is not there. The run's folder is deleted by its teardown task: clear the setup task together "
            "with this one, and the run is planned anew."
        ) from error
    if found != digest:
        raise PlanDamaged(
            f"{what} is not what the setup task wrote: its SHA-256 is {found[:16]}…, expected {digest[:16]}…. Somebody "
            "or something else writes to this folder. Clear the setup task to write the plan anew."
        )
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
