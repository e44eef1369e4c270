"""
A run's plan and outcomes, as a task on a worker reads and writes them.

The one place where a worker enters an event loop for the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cosmos_async import settings
from cosmos_async.exceptions import PlanDamaged, PlanGone, PlanNotFound
from cosmos_async.operators.task_mapping import index_for
from cosmos_async.plan.announcements import ANNOUNCEMENTS_FILE, Announcement, load_announcements
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.lineage import LINEAGE_FILE, Lineage, load_lineage
from cosmos_async.plan.model import Index, Level, NodePlan, RunInfo, dump_index, dump_node, load_index
from cosmos_async.plan.node_plans import pack
from cosmos_async.plan.outcome import Outcome, dump_outcome, load_outcome
from cosmos_async.plan.store import (
    ADDRESS_KEY,
    PlanAddress,
    artifact_object,
    late_plan_object,
    life_of,
    parsed_object,
    run_folder,
    upload_object,
)
from cosmos_async.triggers.google.blocking import run_until_complete

if TYPE_CHECKING:
    from cosmos_async.plan.waves import Pin
    from cosmos_async.triggers.google.credentials import Identity
    from cosmos_async.triggers.storage.folders import Folder

T = TypeVar("T")

OUTCOMES_FILE = "outcomes.json"  # kept beyond the teardown, as the following
INDEX_FILE = "index.json"
COMPILED_FILE = "compiled.json"  # beside the plan: every node's compiled code, for run_results.json
KEPT_KEY = "dbt_kept"  # of the results task's XCom: the nonce of the planned run whose outcomes are kept


def key_of(instance: Any) -> TaskKey:
    """Return a task instance as plans and jobs know it."""
    return TaskKey(
        instance.dag_id, instance.run_id, instance.task_id, instance.map_index, max(1, instance.try_number)
    )


def airflow_context(context: Any) -> dict[str, str]:
    """Return the task instance's ``AIRFLOW_CTX_...`` variables, which dbt projects like to read."""
    instance = context["ti"]
    return {
        "AIRFLOW_CTX_DAG_ID": instance.dag_id,
        "AIRFLOW_CTX_DAG_RUN_ID": instance.run_id,
        "AIRFLOW_CTX_TASK_ID": instance.task_id,
        "AIRFLOW_CTX_TRY_NUMBER": str(instance.try_number),
    }


def base_folder() -> str:
    """Return where all runs are kept: ``remote_target_path``, or a folder of this machine."""
    return settings.remote_target_path() or str(settings.cache_dir() / "runs")


def folder_of_run(context: Any, setup_task_id: str, map_index: int) -> str:
    """
    Return where the plan and the outcomes of a task instance's run are kept.

    Args:
        context: The task instance's context.
        setup_task_id: The full id of the setup task; it tells apart the dbt projects of one DAG.
        map_index: The setup task's.

    Raises:
        StoreError: ``remote_target_path`` is of a kind that is not supported.
    """
    instance = context["ti"]
    return run_folder(
        base_folder(),
        dag_id=instance.dag_id,
        group_id=setup_task_id,
        run_id=instance.run_id,
        life=life_of(getattr(context.get("dag_run"), "start_date", None)),
        map_index=map_index,
    )


@dataclass(frozen=True)
class RunRecord:
    """What there is to tell of a run once its nodes have ended."""

    index: bytes  #: of the run's plan, as setup has written it
    compiled: bytes  #: every node's compiled code, as JSON
    #: What setup's dbt wrote of the run, as far as it is kept, by the names of the files.
    recorded: dict[str, bytes]
    outcomes: dict[str, Outcome]  #: see :meth:`RunPlan.outcomes`
    announcements: list[Announcement]  #: what a task of this run has recorded of its assets


class RunPlan:
    """
    The plan that a setup task left for this run.

    Args:
        operator: The task; it names its setup task, and who reads and writes, unless the plan's address names a connection
            of its own.
        context: The task instance's context.
        address: Where the plan is, if not where the setup task has said.
    """

    def __init__(self, operator: Any, context: Any, *, address: PlanAddress | None = None) -> None:
        setup_task_id, instance = operator.setup_task_id, context["ti"]
        self._identity: Identity = operator.identity
        map_index = index_for(operator, setup_task_id, instance)
        if address is None:
            value = instance.xcom_pull(task_ids=setup_task_id, key=ADDRESS_KEY, map_indexes=map_index)
            address = None if value is None else PlanAddress.from_json(value)
        self._missing = (
            ""
            if address is not None
            else (
                f"{setup_task_id} left no plan for run {instance.run_id}: its XCom {ADDRESS_KEY!r} is missing. "
                f"Clear {setup_task_id} together with this task."
            )
        )
        self.address = address or PlanAddress(
            folder_of_run(context, setup_task_id, map_index),
            index="",
            host="",
            conn_id=settings.remote_target_path_conn_id(),
        )

    def index_bytes(self) -> bytes:
        """
        Return the plan's index as it is stored, checked against its address.

        Raises:
            PlanGone: The setup task left no plan for this run, or it was deleted since.
        """
        return run_until_complete(self._index_bytes())

    async def _index_bytes(self) -> bytes:
        from cosmos_async.triggers.storage.documents import read_index_bytes

        if self._missing:
            raise PlanGone(self._missing)
        return await read_index_bytes(self.address, identity=self._identity)

    def index(self) -> Index:
        """
        Return the plan's index.

        Raises:
            PlanGone: As for :meth:`index_bytes`.
        """
        return load_index(self.index_bytes())

    def kept_index_bytes(self) -> bytes:
        """
        Return the index as the results task has kept it beyond the run's teardown.

        Raises:
            PlanNotFound: It has not, or of another plan than the setup task speaks of.
        """
        return run_until_complete(self._kept_index_bytes())

    async def _kept_index_bytes(self) -> bytes:
        from cosmos_async.triggers.storage.documents import ObjectMissing, read_object

        where = f"{self._artifacts.folder}/{INDEX_FILE}"
        way_out = "Clear the setup task together with this one, and the run is planned anew."
        try:
            data = await read_object(self._artifacts, INDEX_FILE, identity=self._identity)
        except ObjectMissing as error:
            raise PlanNotFound(
                f"the plan of this run is gone, and what it was is not kept in {where}. {way_out}"
            ) from error
        if self._missing:
            if load_index(data).run.endpoint is not None:
                # It says where credentials are sent, so it counts only if the setup task has vouched for it.
                raise PlanNotFound(f"{self._missing} What is kept in {where} cannot be verified. {way_out}")
        elif hashlib.sha256(data).hexdigest() != self.address.index:
            raise PlanNotFound(
                f"the plan of this run is gone, and {where} is not what the setup task wrote. {way_out}"
            )
        return data

    def kept_index(self) -> Index:
        """
        Return the index as the results task has kept it.

        Raises:
            PlanNotFound: As for :meth:`kept_index_bytes`.
        """
        return load_index(self.kept_index_bytes())

    def artifact(self, name: str) -> bytes:
        """Return one of the files that setup left beside the plan, or the results task beyond its end."""
        return run_until_complete(self._read_artifact(name))

    def record(self) -> RunRecord:
        """
        Return what there is to tell of the run, read at once: of its plan, or where that is gone, as it is kept.

        Raises:
            PlanNotFound: As for :meth:`kept_index_bytes`.
        """

        async def index() -> bytes:
            try:
                return await self._index_bytes()
            except PlanGone:  # cleared after the run's teardown, without the setup
                return await self._kept_index_bytes()

        async def read() -> RunRecord:
            found: tuple[Any, ...] = await asyncio.gather(
                index(),
                self._read_artifact(COMPILED_FILE),
                self._recorded(),
                self._kept_outcomes(),
                self._left_outcomes(),
                self._announcements(),
                return_exceptions=True,
            )
            for each in found:  # the index' error comes first, which says what to do
                if isinstance(each, BaseException):
                    raise each
            planned, compiled, recorded, kept, left, announced = found
            outcomes = _newest(kept, left, load_index(planned).run)
            return RunRecord(planned, compiled, recorded, outcomes, announced)

        return run_until_complete(read())

    async def _recorded(self) -> dict[str, bytes]:
        """Return what setup's dbt wrote of the run, as far as it is kept, by the names of the files."""
        from cosmos_async.dbt.artifacts import MANIFEST_FILE, RECORDED_FILE, RUN_FILES
        from cosmos_async.triggers.event_loop.gather import gather_bounded

        names = (MANIFEST_FILE, RECORDED_FILE, RUN_FILES)
        found = await gather_bounded(map(self._artifact_or_none, names))
        return {name: data for name, data in zip(names, found) if data is not None}

    def lineage(self) -> Lineage | None:
        """Return what setup has written of lineage, None where it has not."""

        data = run_until_complete(self._artifact_or_none(LINEAGE_FILE))
        return None if data is None else load_lineage(data)

    async def _artifact_or_none(self, name: str) -> bytes | None:
        from cosmos_async.triggers.storage.documents import ObjectMissing

        try:
            return await self._read_artifact(name)
        except ObjectMissing:  # planned by an earlier release
            return None

    async def _read_artifact(self, name: str) -> bytes:
        from cosmos_async.triggers.storage.documents import ObjectMissing, read_object

        try:
            return await read_object(self.address, artifact_object(name), identity=self._identity)
        except ObjectMissing:
            return await read_object(self._artifacts, name, identity=self._identity)

    def write_part(self, index: Index, unique_ids: Iterable[str], reason: str) -> PlanAddress:
        """
        Store a plan for one task alone, all of whose nodes are to be planned at their turn, and return its address.

        Args:
            index: Of the run's plan.
            unique_ids: The task's nodes.
            reason: Why they are planned late.
        """
        from cosmos_async.triggers.storage.documents import upload_part

        plans, entries = {}, {}
        for unique_id in unique_ids:
            entry = index.nodes[unique_id]
            level = entry.level if entry.level is Level.DBT else Level.LATE
            plan = NodePlan(unique_id, entry.name, entry.resource_type, level, reason, fqn=entry.fqn)
            plans[unique_id] = dump_node(plan)
            entries[unique_id] = replace(entry, level=level, reason=reason)
        # The run's hooks are done; its parsed project and the graph of its tasks are gone with the plan.
        part, objects = pack(Index(run=replace(index.run, parsed=None, tasks=None), nodes=entries), plans)
        return run_until_complete(
            upload_part(self.address, objects=objects, index=dump_index(part), identity=self._identity)
        )

    def parsed(self, run: RunInfo) -> bytes | None:
        """
        Return the project as setup's dbt parsed it, None where it was not kept.

        Raises:
            PlanDamaged: It is not what setup kept.
        """
        from cosmos_async.triggers.storage.documents import read_object

        if run.parsed is None:
            return None
        name = parsed_object(run.parsed)
        data = run_until_complete(read_object(self.address, name, identity=self._identity))
        if hashlib.sha256(data).hexdigest() != run.parsed:
            raise PlanDamaged(
                f"{self.address.folder}/{name} is not what the setup task wrote. Somebody or something else writes to "
                "this folder. Clear the setup task to write the plan anew."
            )
        return data

    def parsed_or_none(self, run: RunInfo) -> bytes | None:
        """Return :meth:`parsed`, None also where it is gone with the run's folder."""
        from cosmos_async.triggers.storage.documents import ObjectMissing

        try:
            return self.parsed(run)
        except ObjectMissing:
            return None

    def write_late(
        self, plans: Iterable[NodePlan], uploads: Mapping[str, Path], pins: Mapping[str, Pin]
    ) -> dict[str, Pin]:
        """
        Store plans that were made late and pin them; return what is pinned by now, which is what will be carried out.

        Args:
            plans: What to store.
            uploads: The bytes of their load jobs: files by SHA-256.
            pins: Which of them are pinned, by the names of the pins.
        """
        objects = {upload_object(digest): path.read_bytes() for digest, path in uploads.items()}
        for plan in plans:
            data = dump_node(plan)
            objects[late_plan_object(plan.unique_id, hashlib.sha256(data).hexdigest())] = data

        async def write(folder: Folder) -> dict[str, Pin]:
            await gather_bounded(folder.write(name, data) for name, data in objects.items())
            # Written last: what it names is there.
            kept = await gather_bounded(leave_pin(folder, name, pin) for name, pin in pins.items())
            return dict(zip(pins, kept))

        from cosmos_async.triggers.event_loop.gather import gather_bounded
        from cosmos_async.triggers.storage.documents import leave_pin

        return self.in_folder(write)

    def in_folder(self, work: Callable[[Folder], Awaitable[T]]) -> T:
        """Do *work* with the run's folder, and return what it returns."""
        from cosmos_async.triggers.storage.documents import folder_at

        async def opened() -> T:
            async with folder_at(self.address, identity=self._identity) as folder:
                return await work(folder)

        return run_until_complete(opened())

    def outcomes(self, run: RunInfo) -> dict[str, Outcome]:
        """
        Return the newest outcome of each node in this run.

        A task that is cleared after the run's teardown leaves its outcome beside those that the results task kept. Those of
        a run that was deleted, or of another Airflow that writes to the same place, do not count.

        Args:
            run: What the index says of the run.
        """

        async def read() -> dict[str, Outcome]:
            kept, left = await asyncio.gather(self._kept_outcomes(), self._left_outcomes())
            return _newest(kept, left, run)

        return run_until_complete(read())

    async def _left_outcomes(self) -> dict[str, Outcome]:
        from cosmos_async.triggers.storage.documents import read_outcomes

        return await read_outcomes(self.address, identity=self._identity)

    async def _kept_outcomes(self) -> bytes:
        from cosmos_async.triggers.storage.documents import ObjectMissing, read_object

        try:
            return await read_object(self._artifacts, OUTCOMES_FILE, identity=self._identity)
        except ObjectMissing:
            return b"{}"

    def write_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Leave outcomes in the run's folder."""
        from cosmos_async.triggers.storage.documents import write_outcomes

        run_until_complete(write_outcomes(self.address, outcomes, identity=self._identity))

    def failed_task(self, key: TaskKey) -> str | None:
        """Return the id of a task of the run *key* is of that has failed for good; of a run with ``--fail-fast``."""
        from cosmos_async.triggers.execution.fail_fast import find_failure
        from cosmos_async.triggers.task import Airflow

        return self.in_folder(lambda folder: find_failure(self.address, folder, key, Airflow()))

    def leave_failure(self, key: TaskKey) -> None:
        """Tell the run's other tasks that the task *key* fails; of a run with ``--fail-fast``."""
        from cosmos_async.triggers.execution.fail_fast import leave_failure

        self.in_folder(lambda folder: leave_failure(self.address, folder, key))

    def keep_artifacts(self, files: Mapping[str, bytes], outcomes: Iterable[Outcome], *, run: RunInfo) -> str:
        """Keep dbt's artifacts and the outcomes beyond the run's teardown; return their folder."""
        from cosmos_async.triggers.storage.documents import write_objects

        document = {
            "nonce": run.nonce,
            "outcomes": [json.loads(dump_outcome(outcome)) for outcome in outcomes],
        }
        kept = json.dumps(document, indent=1).encode()
        run_until_complete(
            write_objects(self._artifacts, {**files, OUTCOMES_FILE: kept}, identity=self._identity)
        )
        return self._artifacts.folder

    def keep(self, name: str, data: bytes) -> None:
        """Keep one more file beside dbt's artifacts."""
        from cosmos_async.triggers.storage.documents import write_objects

        run_until_complete(write_objects(self._artifacts, {name: data}, identity=self._identity))

    def announcements(self) -> list[Announcement]:
        """Return what a task of this run has recorded of its assets."""
        return run_until_complete(self._announcements())

    async def _announcements(self) -> list[Announcement]:
        from cosmos_async.triggers.storage.documents import ObjectMissing, read_object

        try:
            data = await read_object(self._artifacts, ANNOUNCEMENTS_FILE, identity=self._identity)
        except ObjectMissing:
            return []
        return load_announcements(data)

    @property
    def _artifacts(self) -> PlanAddress:
        return self.address.artifacts()


def _newest(kept: bytes, left: Mapping[str, Outcome], run: RunInfo) -> dict[str, Outcome]:
    """Return the outcomes of a run: those that a results task has kept, and those that its tasks have left since."""
    document = json.loads(kept)
    ours = isinstance(document, dict) and document.get("nonce") in {run.nonce, run.follows} - {None}
    before = {
        entry["unique_id"]: load_outcome(json.dumps(entry).encode())
        for entry in (document["outcomes"] if ours else ())
    }
    return {**before, **left}
