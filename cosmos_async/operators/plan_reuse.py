"""
The plan of an earlier run of the same DAG, where it serves this one as well: then no dbt is run at all.

The plan lies in the store, and what it must be stands in Airflow: the setup task's XCom names its SHA-256, and the next run
reads that of the run before. So whoever can write to the store alone cannot make a run do anything.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from cosmos_async import settings
from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.operators.assumptions import keep_wrong
from cosmos_async.operators.kept_objects import kept_place
from cosmos_async.operators.run_plan import COMPILED_FILE
from cosmos_async.operators.task_mapping import index_for
from cosmos_async.plan.kept import KeptPlan, PlanAgain, first_difference, use_again
from cosmos_async.plan.model import Index, Level, dump_index
from cosmos_async.plan.store import PlanAddress, artifact_object, kept_plan_object
from cosmos_async.triggers.event_loop.gather import both
from cosmos_async.triggers.event_loop.threads import in_thread
from cosmos_async.triggers.google.blocking import run_until_complete

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from cosmos_async.dbt.planner.fingerprint import Fingerprint
    from cosmos_async.dbt.planner.record import Planned
    from cosmos_async.dbt.session import Dbt
    from cosmos_async.plan.outcome import Outcome

KEPT_PLAN_KEY = "dbt_kept_plan"  # of the setup task's XCom
_AS_PLANNED = frozenset((Level.STATIC, Level.GUARDED, Level.NATIVE))


@dataclass(frozen=True)
class Pin:
    """What the setup task's XCom says of a kept plan."""

    digest: str  #: SHA-256 of its bytes
    salt: str  #: of its fingerprint, hexadecimal
    run_id: str  #: the run whose plan it is

    @classmethod
    def pull(cls, task_id: str, instance: Any, map_index: int, **options: Any) -> Pin | None:
        """Return what a setup task has left; None where it has left nothing."""
        value = instance.xcom_pull(task_ids=task_id, key=KEPT_PLAN_KEY, map_indexes=map_index, **options)
        try:
            return cls(**value) if value else None
        except TypeError:  # of another release
            return None


class PlanReuse:
    """
    Finds and keeps plans on behalf of one setup task.

    Args:
        setup: The setup task.
        context: The task instance's context.
        folder: The run's folder.
        dbt: Opened, before its packages are installed.
        first: Whether an earlier plan may be used; who clears setup wants a plan made anew.
    """

    def __init__(self, setup: Any, context: Any, folder: str, dbt: Dbt, *, first: bool) -> None:
        self._setup, self._instance, self._dbt = setup, context["ti"], dbt
        self._place = kept_place(folder)
        self._pin: Pin | None = None  # of the plan that this run goes by, and the next one may
        self._why_not = self._refusal()
        self._last = self._pull() if self._why_not is None else None
        self._salt = self._last.salt if self._last is not None else secrets.token_hex(16)
        self._fingerprint: Fingerprint | None = None
        self._found: tuple[KeptPlan | None, str | None] | None = None
        if self._why_not is None:
            # Before dbt runs: a file that is changed meanwhile must not pass for what was read.
            last = self._last if first else None
            self._fingerprint, self._found = run_until_complete(
                both(in_thread(self._taken), self._read_or_why_not(last))
            )

    def find(self, own: dict[str, Any], changing: Callable[[], Collection[str]]) -> PlanAgain | None:
        """
        Return the plan for this run, made from that of an earlier one; None where it has to be recorded.

        Args:
            own: What is this run's own in :class:`~cosmos_async.plan.model.RunInfo`: ``nonce``, ``follows``.
            changing: Returns the nodes with which nothing is assumed, see :mod:`cosmos_async.operators.assumptions`.
        """
        if self._last is None or self._found is None or self._fingerprint is None:
            return None
        kept, why = self._found
        if kept is not None:
            why = self._why_not_again(kept, self._fingerprint)
        if kept is None or why is not None:
            self._setup.log.info("The plan of run %s is not used again: %s.", self._last.run_id, why)
            return None
        now = datetime.now(timezone.utc)
        run = replace(
            kept.run,
            run_id=self._instance.run_id,
            created_at=now.isoformat(),
            invocation_id=str(uuid.uuid4()),
            **own,
        )
        was = kept.nodes
        assuming = any(entry.assumed for entry in was.values())
        again = use_again(kept, run, now=now, changing=changing() if assuming else ())
        _without_code_of_late(again)
        nodes = again.index.nodes
        anew = sum(
            entry.level is Level.LATE and was[name].level is not Level.LATE for name, entry in nodes.items()
        )
        self._setup.log.info(
            "The plan of run %s is used again, as nothing that it is made of has changed since%s.",
            self._last.run_id,
            f"; {anew} of {len(nodes)} nodes are planned at their turn" if anew else "",
        )
        self._pin = self._last
        return again

    def keep(self, planned: Planned, index: Index, objects: dict[str, bytes]) -> None:
        """
        Keep a plan that was recorded for this run, if it can serve another one.

        Args:
            planned: The plan and what was noticed while it was recorded.
            index: Its index.
            objects: All else of it that is stored.
        """
        from cosmos_async.dbt.planner.keep import why_not_kept

        recording = planned.recording
        why = self._why_not or why_not_kept(recording, planned.plan, planned.each_run)
        why = why or self._other_packages()
        if why is not None or self._fingerprint is None:
            if settings.reuse_plans():
                self._setup.log.info("This plan serves this run alone: %s.", why)
            self._replace(None)
            return
        names = tuple(recording["environment"])
        kept = KeptPlan(
            fingerprint=self._fingerprint.with_environment(names),
            environment=names,
            relations=recording["run"]["listings"],
            routines=recording["run"]["routines"],
            each_run=planned.each_run,
            temporaries=recording["temporaries"],
            index=dump_index(index),
            objects=objects,
        )
        self._replace(kept.dump())

    def tell(self) -> None:
        """Leave in XCom which plan the next run may go by; also that there is none."""
        if settings.reuse_plans():
            value = {} if self._pin is None else asdict(self._pin)
            self._instance.xcom_push(key=KEPT_PLAN_KEY, value=value)

    def _replace(self, data: bytes | None) -> None:
        """Store what is kept from now on, and forget what did not serve this run."""
        try:
            if data is not None:
                pin = Pin(hashlib.sha256(data).hexdigest(), self._salt, self._instance.run_id)
                self._write(pin, data)
                self._pin = pin
            if self._last is not None:
                forget(self._last, self._place, self._setup.identity)
        except CosmosAsyncError as error:  # this run has its plan all the same
            self._setup.log.warning("The plan could not be kept for the next run: %s", error)

    def _other_packages(self) -> str | None:
        name, workspace = "package-lock.yml", self._dbt.workspace
        lock, made = workspace.source / name, workspace.project_dir / name
        if made.is_file() and (not lock.is_file() or lock.read_bytes() != made.read_bytes()):
            return f"{name} does not fit packages.yml, and dbt has found other packages"
        return None

    def _refusal(self) -> str | None:
        from cosmos_async.dbt.planner.fingerprint import why_no_fingerprint

        if not settings.reuse_plans():
            return "the setting reuse_plans is off"
        return why_no_fingerprint(self._dbt)

    def _pull(self) -> Pin | None:
        index = index_for(self._setup, self._setup.task_id, self._instance)
        return Pin.pull(self._setup.task_id, self._instance, index, include_prior_dates=True)

    def _taken(self) -> Fingerprint | None:
        from cosmos_async.dbt.planner.fingerprint import Fingerprint

        try:
            return Fingerprint(self._dbt, self._setup.question(), salt=bytes.fromhex(self._salt))
        except OSError as error:  # which dbt may do without
            self._why_not = f"{error.filename} cannot be read ({error.strerror})"
            return None

    def _why_not_again(self, kept: KeptPlan, fingerprint: Fingerprint) -> str | None:
        from cosmos_async.triggers.execution.relations import changed_relations

        different = first_difference(kept.fingerprint, fingerprint.with_environment(kept.environment))
        if different is not None:
            return f"{different} changed"
        try:  # the endpoint is that of the profile in hand: that has not changed
            changed = run_until_complete(
                changed_relations(
                    kept.relations,
                    kept.routines,
                    identity=self._setup.identity,
                    endpoint=kept.run.endpoint,
                )
            )
        except CosmosAsyncError as error:
            return str(error)
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            return f"{changed[0]}{more} came or went"
        return None

    async def _read_or_why_not(self, pin: Pin | None) -> tuple[KeptPlan | None, str | None] | None:
        """Return what an earlier run has kept, or why it cannot be read; None where it has kept nothing."""
        if pin is None:
            return None
        try:
            return await self._read(pin), None
        except CosmosAsyncError as error:
            return None, str(error)

    async def _read(self, pin: Pin) -> KeptPlan:
        from cosmos_async.exceptions import PlanDamaged
        from cosmos_async.triggers.storage.documents import read_object

        name = kept_plan_object(pin.digest)
        data = await read_object(self._place, name, identity=self._setup.identity)
        if hashlib.sha256(data).hexdigest() != pin.digest:
            raise PlanDamaged(f"{self._place.folder}/{name} is not what the setup task wrote")
        return KeptPlan.load(data)

    def _write(self, pin: Pin, data: bytes) -> None:
        from cosmos_async.triggers.storage.documents import write_objects

        objects = {kept_plan_object(pin.digest): data}
        run_until_complete(write_objects(self._place, objects, identity=self._setup.identity))


def _without_code_of_late(again: PlanAgain) -> None:
    """Leave out the compiled code of nodes that are compiled at their turn."""
    name = artifact_object(COMPILED_FILE)
    compiled = json.loads(again.objects[name])
    for unique_id, entry in again.index.nodes.items():
        if entry.level is Level.LATE:
            compiled[unique_id] = None
    again.objects[name] = json.dumps(compiled).encode()


def forget(pin: Pin, place: PlanAddress, identity: dict[str, Any]) -> None:
    """Remove a kept plan."""
    from cosmos_async.triggers.storage.documents import remove_object

    run_until_complete(remove_object(place, kept_plan_object(pin.digest), identity=identity))


def forget_outdated(
    operator: Any, context: Any, folder: str, index: Index, outcomes: Iterable[Outcome]
) -> None:
    """
    Remove the plan that this run went by where a node had to be planned anew: the next run would meet the same.

    Not for a node with which an assumption was wrong again: from now on its plan is not used, see
    :mod:`cosmos_async.plan.assumptions`.

    Args:
        operator: The results task.
        context: Its task instance's context.
        folder: The run's folder.
        index: Of the run's plan.
        outcomes: Of the run's nodes.
    """
    anew = [
        outcome.unique_id
        for outcome in outcomes
        if outcome.level not in _AS_PLANNED
        and outcome.unique_id in index.nodes
        and index.nodes[outcome.unique_id].level in _AS_PLANNED
    ]
    wrong = [unique_id for unique_id in anew if index.nodes[unique_id].assumed]
    changing = keep_wrong(folder, wrong, operator, run=index.run.nonce) if wrong else ()
    anew = [unique_id for unique_id in anew if unique_id not in changing]
    if not anew:
        return
    map_index = index_for(operator, operator.setup_task_id, context["ti"])
    pin = Pin.pull(operator.setup_task_id, context["ti"], map_index)
    if pin is None:
        return
    operator.log.info(
        "The next run is planned anew, as %d nodes did not go as planned, such as %s.", len(anew), anew[0]
    )
    try:
        forget(pin, kept_place(folder), operator.identity)
    except CosmosAsyncError as error:  # the next run then finds out by itself, node by node
        operator.log.warning("The plan that did not fit could not be deleted: %s", error)
