"""
Late nodes whose turn has come: one of the waiting tasks asks for a worker, and that plans the nodes of all of them.

See :mod:`cosmos_async.plan.waves`. A task that waits here looks into the run's folder every few seconds, all tasks of a run
in this triggerer in one request. It never waits for longer than somebody plans: where the planner fails, dies or makes no
progress, and where its own nodes could not be planned along, it asks for a worker of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.store import PlanAddress
from cosmos_async.plan.waves import Claim, Owner, Pin, Request, pin_object, wave_objects
from cosmos_async.triggers.event_loop.single_flight import forget_error
from cosmos_async.triggers.google.session import Session
from cosmos_async.triggers.jobs.context import Log
from cosmos_async.triggers.storage.folders import Folder, ObjectMissing, ObjectThere
from cosmos_async.triggers.task import ALIVE, Airflow

#: Seconds between two looks, for all tasks of a run in one triggerer.
INTERVAL = 3.0
#: Seconds that at least lie between two looks where tasks come one after the other.
PAUSE = 1.0
#: Seconds between two questions to Airflow whether the task that plans is still under way.
OWNER_INTERVAL = 15.0
#: Seconds without any request being dealt with after which nobody waits for the planner any longer.
PATIENCE = 600.0
STATE_TIMEOUT = 5.0  # seconds; while a triggerer shuts down Airflow does not answer


@dataclass(frozen=True)
class Turn:
    """How a task's late nodes go on: by these plans, or on a worker."""

    plans: Mapping[str, str] = field(default_factory=dict)  #: digests by unique id
    claim: str | None = None  #: what the worker has to end, where it plans for all


class Waves:
    """
    What the late nodes of one run know of one another in this triggerer.

    Args:
        address: The run's plan.
        folder: The run's folder.
        session: Through which it is read.
        airflow: Who knows whether the task that plans is under way.
    """

    def __init__(self, address: PlanAddress, folder: Folder, session: Session, airflow: Airflow) -> None:
        self._index = address.index
        self._folder = folder
        self._clock = session.clock
        self._airflow = airflow
        self._names: frozenset[str] = frozenset()
        self._began = float("-inf")  # of the last look
        self._look: asyncio.Task[None] | None = None
        self._moved = (
            self._clock.now()
        )  # when a request was dealt with or a claim was made, as far as is known here
        self._owners: dict[int, Owner] = {}  # by the numbers of their claims
        self._asked: dict[
            int, tuple[float, asyncio.Task[str | None]]
        ] = {}  # their states: when, and the answer

    @classmethod
    def shared(cls, address: PlanAddress, folder: Folder, session: Session, airflow: Airflow) -> Waves:
        """Return the one that all tasks of the run share in this process."""
        return session.while_used(("waves", address), lambda: cls(address, folder, session, airflow))

    async def turn(self, request: Request, key: TaskKey, log: Log) -> Turn:
        """
        Wait until late nodes are planned, or until their task has to ask for a worker.

        Args:
            request: The nodes.
            key: Their task's.
            log: The task's; it is told who plans.
        """
        try:
            return await self._turn(request, key, log)
        except CosmosAsyncError as error:
            log.warning(
                f"This task asks for a worker of its own, as it cannot be planned with others: {error}"
            )
            return Turn()

    async def _turn(self, request: Request, key: TaskKey, log: Log) -> Turn:
        pinned = await self._pinned(request, key, log)
        if pinned is not None:
            return pinned
        await self._folder.write(request.name(self._index), request.dump())
        waited = Claim()
        await self._see(self._clock.now())
        while True:
            if request.name(self._index) not in self._names:
                return await self._answered(request, key, log)
            claim = Claim.newest(self._index, self._names)
            if waited.number and waited.ended("failed").name(self._index) in self._names:
                log.warning(
                    "The worker that was to plan has come to no good end, so this task asks for its own."
                )
                return await self._plans_itself(request)
            if claim.end:
                if await self._claim(claim.next, key):
                    return await self._plans_itself(request, claim.next)
                await self._see(self._clock.now())
                continue
            owner = await self._owner(claim)
            if owner == Owner.of(key):  # an earlier life of this trigger has made it
                return await self._plans_itself(request, claim)
            if not await self._is_planning(claim, owner, key):
                await self._end(claim)
                await self._see(self._clock.now())
                continue
            if claim.number != waited.number:
                waited = claim
                names = ", ".join(request.unique_ids)
                log.info(
                    f"{names}: planned with all others whose turn has come, by the worker of task {owner.task_id}; "
                    "goes on here then"
                )
            await self._clock.sleep(INTERVAL)
            await self._see(self._clock.now() - INTERVAL * 0.9)  # somebody may have looked meanwhile

    async def _answered(self, request: Request, key: TaskKey, log: Log) -> Turn:
        pinned = await self._pinned(request, key, log)
        if pinned is not None:
            return pinned
        log.info(
            "Not all of this could be planned with the others, so the task asks for a worker of its own."
        )
        return Turn()

    async def _pinned(self, request: Request, key: TaskKey, log: Log) -> Turn | None:
        try:
            data = await self._folder.read(pin_object(key, self._index, request.position))
        except ObjectMissing:
            return None
        pin = Pin.load(data)
        if not set(request.unique_ids) <= set(pin.plans):
            return None
        beside = pin.together - len(request.unique_ids)
        others = f", together with {beside} other node{'s' if beside > 1 else ''}" if beside > 0 else ""
        names = ", ".join(request.unique_ids)
        log.info(
            f"{names}: planned as things are now{others}, by the worker of task {pin.worker or key.task_id}"
        )
        return Turn({unique_id: pin.plans[unique_id] for unique_id in request.unique_ids})

    async def _plans_itself(self, request: Request, claim: Claim | None = None) -> Turn:
        await self._folder.remove(request.name(self._index))
        return Turn(claim=None if claim is None else claim.name(self._index))

    # -- claims -------------------------------------------------------------------------------------------------------

    async def _claim(self, claim: Claim, key: TaskKey) -> bool:
        try:
            await self._folder.write(claim.name(self._index), Owner.of(key).dump(), only_new=True)
        except ObjectThere:
            # An attempt whose answer was lost may have written it.
            return await self._owner(claim) == Owner.of(key)
        return True

    async def _end(self, claim: Claim) -> None:
        await self._folder.write(claim.ended("failed").name(self._index), b"{}")

    async def _owner(self, claim: Claim) -> Owner:
        if claim.number not in self._owners:
            self._owners[claim.number] = Owner.load(await self._folder.read(claim.name(self._index)))
        return self._owners[claim.number]

    async def _is_planning(self, claim: Claim, owner: Owner, key: TaskKey) -> bool:
        """Return whether it is worth waiting for the task that has a claim."""
        before = owner.task_id == key.task_id and owner.map_index == key.map_index
        if (before and owner.try_number < key.try_number) or self._clock.now() - self._moved > PATIENCE:
            return False
        since, state = self._asked.get(claim.number, (float("-inf"), None))
        if state is None or (state.done() and self._clock.now() - since >= OWNER_INTERVAL):
            state = asyncio.get_running_loop().create_task(self._state(owner.key(key)))
            self._asked = {claim.number: (self._clock.now(), state)}
        # One who is cancelled takes nothing away from the others.
        return await asyncio.shield(state) in ALIVE

    async def _state(self, key: TaskKey) -> str | None:
        try:
            return await asyncio.wait_for(self._airflow.state(key), STATE_TIMEOUT)
        except (
            Exception
        ):  # whatever Airflow raises while its API is away: in doubt it is planning, for a while
            return "running"

    # -- looks --------------------------------------------------------------------------------------------------------

    async def _see(self, since: float) -> None:
        """Look into the run's folder, unless somebody has at *since* or later."""
        while self._began < since:
            if self._look is None or self._look.done():
                self._look = asyncio.get_running_loop().create_task(self._list())
                self._look.add_done_callback(forget_error)
            await asyncio.shield(self._look)

    async def _list(self) -> None:
        await self._clock.sleep(max(0.0, self._began + PAUSE - self._clock.now()))
        began = self._clock.now()
        names = frozenset(await self._folder.names(wave_objects(self._index)))
        if self._names - names or Claim.newest(self._index, names) != Claim.newest(self._index, self._names):
            self._moved = began
        self._names, self._began = names, began
