"""
What our triggers have in common: their fields, their end, their kill.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from cosmos_async.airflow.compat import ENDS_IN_TRIGGERER, FAILS_IN_TRIGGERER, RETURNS_AT_ONCE
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.store import PlanAddress
from cosmos_async.triggers.address import plan_address
from cosmos_async.triggers.event_loop.clock import Clock
from cosmos_async.triggers.event_loop.log_channel import channelled, written
from cosmos_async.triggers.task import ALIVE, Airflow, TaskFacts

STATE_TIMEOUT = 5.0  # seconds; while a triggerer shuts down nobody answers at all

#: Until the scheduler knows that the worker which deferred the task has ended: Airflow looks every five seconds whether it
#: has (``[workers] min_heartbeat_interval``), and then stores its log.
WORKER_ENDS = 10.0  # seconds


class EndingTrigger(BaseTrigger):
    """
    A trigger that ends its task itself where nothing needs a worker.

    Args:
        setup_task_id: The full id of the setup task whose plan this is about.
        identity: Names of the credentials; no secrets.
        succeeds_in_triggerer: Whether the trigger ends the task when all went well.
        fails_in_triggerer: Likewise when something failed; only where Airflow then still honours retries.
        mapped_with_setup: Whether both are in one mapped task group, where each instance has a plan of its own.
        deferred_by_worker: Whether a worker has started this trigger.
        instance: What that worker knows of the task instance: ``started``, ``operator`` (its class), ``max_tries``.
    """

    #: The arguments, which are also the wire format: a field once written stays readable.
    fields: tuple[str, ...] = (
        "setup_task_id",
        "identity",
        "succeeds_in_triggerer",
        "fails_in_triggerer",
        "mapped_with_setup",
        "deferred_by_worker",
        "instance",
    )

    #: Whether the trigger ends the task when another one's failure has stopped it.
    skips_in_triggerer: bool = False

    #: What the trigger asks of Airflow.
    airflow: Airflow = Airflow()

    #: Time, for the wait until a worker has ended.
    clock: Clock = Clock()

    def __init__(
        self,
        setup_task_id: str,
        identity: dict[str, Any],
        succeeds_in_triggerer: bool = True,
        fails_in_triggerer: bool = True,
        mapped_with_setup: bool = False,
        deferred_by_worker: bool = False,
        instance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.setup_task_id = setup_task_id
        self.identity = identity
        self.succeeds_in_triggerer = succeeds_in_triggerer
        self.fails_in_triggerer = fails_in_triggerer
        self.mapped_with_setup = mapped_with_setup
        self.deferred_by_worker = deferred_by_worker
        self.instance = instance

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__}", {name: getattr(self, name) for name in self.fields}

    @property
    def log(self) -> Any:
        """Airflow's log, which never blocks the event loop."""
        return channelled(super().log)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Carry out the work; yield one event."""
        began, facts = self.clock.now(), TaskFacts.of(self)
        if not self.deferred_by_worker:
            await self.airflow.count_start(facts)
        event = await self.event()
        if type(event) is TriggerEvent:
            if self.deferred_by_worker and not RETURNS_AT_ONCE:
                await self.clock.sleep(max(0.0, began + WORKER_ENDS - self.clock.now()))
        else:
            seconds = self.clock.now() - began
            if facts.started is not None:
                seconds = (self.clock.utc() - facts.started).total_seconds()
            await self.airflow.count_end(facts, _state_after(event, facts), seconds)
        await written(self.log)  # Airflow stores the log of a trigger that has ended
        yield event

    async def event(self) -> TriggerEvent:
        """Carry out the work; return what :meth:`end` makes of its result."""
        raise NotImplementedError

    async def plan_address(self, key: TaskKey) -> PlanAddress:
        """
        Return where the plan is.

        Args:
            key: Of the trigger's task.

        Raises:
            CosmosAsyncError: There is none, or it cannot be found out now; see
                :func:`cosmos_async.triggers.address.plan_address`.
        """
        return await plan_address(
            self.airflow,
            key,
            self.setup_task_id,
            identity=self.identity,
            log=self.log,
            mapped=self.mapped_with_setup,
        )

    def end(self, payload: Any) -> TriggerEvent:
        """
        Return the event that ends the task here, or resumes it on a worker.

        Args:
            payload: What a worker would be told; its ``status`` decides.
        """
        status = payload["status"]
        if status == "success" and self.succeeds_in_triggerer and ENDS_IN_TRIGGERER:
            from airflow.triggers.base import TaskSuccessEvent

            return TaskSuccessEvent(xcoms=None)
        if status == "failed" and self.fails_in_triggerer and FAILS_IN_TRIGGERER:
            from airflow.triggers.base import TaskFailedEvent

            return TaskFailedEvent()
        if status == "skipped" and self.skips_in_triggerer and ENDS_IN_TRIGGERER:
            from airflow.triggers.base import TaskSkippedEvent

            return TaskSkippedEvent(xcoms=None)
        # Before 3.3 a failure goes through a worker as well: the end event there would ignore the task's retries.
        return TriggerEvent(payload)

    async def was_killed(self, facts: TaskFacts) -> bool:
        """
        Return whether somebody acted on the task, so that its jobs should end.

        A triggerer that restarts or hands its work to another one looks almost the same from in here; in doubt the
        answer is no.
        """
        try:
            state = await asyncio.wait_for(self.airflow.state(facts.key), STATE_TIMEOUT)
        except asyncio.TimeoutError:
            return False
        except Exception as error:
            self.log.warning(
                f"Airflow does not tell the state of this task ({error}); its jobs are left alone"
            )
            return False
        return state not in ALIVE


def _state_after(event: TriggerEvent, facts: TaskFacts) -> str:
    """Return the state that Airflow gives a task which *event* ends."""
    state = str(getattr(event.payload, "value", event.payload))
    return facts.state_of_failure if state == "failed" else state
