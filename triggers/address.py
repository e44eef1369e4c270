"""
Where a run's plan is: told by the setup task, and remembered for as long as it is the run's newest.

A triggerer carries its triggers' requests to Airflow one after the other, between other things it does; when it takes
over another one's triggers, they would wait for seconds. So whoever comes to a run that is known here asks the store
instead, whether setup has made another plan meanwhile. What is executed is still what Airflow has named.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from weakref import WeakKeyDictionary

from cosmos_async.exceptions import CosmosAsyncError, PlanGone, PlanNotFound
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.store import ADDRESS_KEY, PlanAddress
from cosmos_async.triggers.event_loop.single_flight import SingleFlight
from cosmos_async.triggers.google.credentials import Identity
from cosmos_async.triggers.jobs.context import Log
from cosmos_async.triggers.storage.documents import ObjectMissing, newest_index
from cosmos_async.triggers.task import Airflow

#: A setup task in one of these states will leave nothing more.
ENDED = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})
SETUP_INTERVAL = 3.0  # seconds between two looks at a setup task that is planning
#: Looks at a setup task without a state: just cleared, or there is none of this name.
MOST_UNKNOWN = 20
#: Looks in a row at which Airflow does not answer: five minutes, in which its database and its API server come back.
MOST_AWAY = 100
#: Seconds by which an answer may be older than its question. A plan is never made anew as fast: Airflow deletes the old
#: address, starts dbt, and only then the tasks that wait for it.
AGE = 1.0
KEPT = 256  # runs

_FLIGHT = SingleFlight()  # the tasks of a run ask by the hundred at one moment
_known: WeakKeyDictionary[asyncio.AbstractEventLoop, OrderedDict[TaskKey, PlanAddress]]
_known = WeakKeyDictionary()


async def plan_address(
    airflow: Airflow,
    key: TaskKey,
    setup_task_id: str,
    *,
    identity: Identity,
    log: Log,
    mapped: bool = False,
) -> PlanAddress:
    """
    Return where the setup task of this run has put the plan.

    Clearing a task clears its setup, too. Until that has planned anew, Airflow has no address of it, and tasks that begin
    meanwhile wait for it here.

    Args:
        airflow: Who knows it first.
        key: The task that asks.
        setup_task_id: The setup task's full id.
        identity: Who reads the store, unless the address names a connection of its own.
        log: The task's; told where Airflow does not answer.
        mapped: Whether the setup task is mapped with the task that asks, as in a mapped task group with one run each.

    Raises:
        PlanNotFound: It has not said so.
        PlanGone: It has succeeded, and Airflow does not know any more what it said.
        PlanDamaged: What it said is no address.
        ApiError: The store cannot be read now.
        StoreError: It cannot be read at all.
        CosmosAsyncError: Airflow does not answer.
    """
    setup = TaskKey(key.dag_id, key.run_id, setup_task_id, key.map_index if mapped else -1, 1)
    known = _known.setdefault(asyncio.get_running_loop(), OrderedDict())
    address = known.get(setup)
    if address is not None and await _is_newest(address, identity):
        known.move_to_end(setup)
        return address
    address = known[setup] = await _asked(airflow, setup, log)
    if len(known) > KEPT:
        known.popitem(last=False)
    return address


async def _is_newest(address: PlanAddress, identity: Identity) -> bool:
    try:
        newest = await _FLIGHT.ask(
            ("newest", address), lambda: newest_index(address, identity=identity), age=AGE
        )
    except ObjectMissing:  # the run's teardown was here
        return False
    return newest == address.index


async def _asked(airflow: Airflow, setup: TaskKey, log: Log) -> PlanAddress:
    unknown, last, state, away = 0, False, None, 0
    while True:
        try:
            value = await _FLIGHT.ask(
                (id(airflow), setup, ADDRESS_KEY),
                lambda: airflow.xcom(setup, ADDRESS_KEY),
                age=0.0 if last else AGE,
            )
            if value is None and not last:
                state = await _FLIGHT.ask((id(airflow), setup), lambda: airflow.state(setup))
        except Exception as error:  # whatever Airflow raises while its API or database is away
            away += 1
            if away > MOST_AWAY:
                raise CosmosAsyncError(
                    f"Airflow does not tell where the plan of run {setup.run_id} is: {error!r}. "
                    "Clear this task once Airflow answers again."
                ) from error
            if away == 1:
                log.warning(f"Airflow does not tell where the plan is: {error!r}. Asking again.")
            await asyncio.sleep(SETUP_INTERVAL)
            continue
        away = 0
        if value is not None:
            return PlanAddress.from_json(value)
        if last:
            raise (PlanGone if state == "success" else PlanNotFound)(
                f"The setup task {setup.dag_id}.{setup.task_id} has left no plan in run {setup.run_id}. "
                f"Clear {setup.task_id} together with this task, so that the run is planned first."
            )
        unknown = unknown + 1 if state is None else 0
        # It may have ended between the two questions, so the first is asked once more.
        last = state in ENDED or unknown > MOST_UNKNOWN
        if not last:
            await asyncio.sleep(SETUP_INTERVAL)
