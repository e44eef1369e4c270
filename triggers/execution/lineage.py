"""
OpenLineage's events of a task that begins or ends in the triggerer.

Sent from where the task is, at that moment, in a thread of their own: a transport that hangs holds up the task for seconds, and
nothing else. Whatever goes wrong here is a warning in the task's log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from cosmos_async.airflow import openlineage
from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.lineage import (
    LINEAGE_FILE,
    NO_TABLES,
    Assertion,
    Column,
    Dataset,
    Lineage,
    Tables,
    TaskEvent,
    load_lineage,
)
from cosmos_async.plan.model import Index, NodePlan
from cosmos_async.plan.outcome import JobRecord, Outcome, Status
from cosmos_async.plan.ownership import is_test
from cosmos_async.plan.store import PlanAddress, artifact_object
from cosmos_async.triggers.event_loop.gather import gather_bounded
from cosmos_async.triggers.event_loop.threads import in_thread, parse
from cosmos_async.triggers.execution.xcoms import told_outcome
from cosmos_async.triggers.google.bigquery import BigQuery, JobRef
from cosmos_async.triggers.google.session import Session
from cosmos_async.triggers.storage.folders import Folder, ObjectMissing

log = logging.getLogger(__name__)

Json = dict[str, Any]
T = TypeVar("T")

PATIENCE = 10.0  # seconds; what the provider's own listener has by default ([openlineage] execution_timeout)
MOST_JOBS = (
    10  # of a node that are asked for the tables they read; dbt's manifest tells of all that dbt knows
)
#: Of jobs that tell nothing of what a node is made of.
_NOT_OF_NODE = ("guard", "pre-hook", "post-hook", "on-run-start", "grant")
WAY_OUT = (
    "The task goes on. See [openlineage] transport, or switch it off: AIRFLOW__OPENLINEAGE__DISABLED=True."
)

#: One after the other, so that a task's start is sent before its end. Not the threads that all triggers share: a transport
#: that hangs would take them all.
_threads = ThreadPoolExecutor(1, thread_name_prefix="openlineage")


async def _in_own_thread(function: Callable[..., T], *args: Any) -> T:
    # Through asgiref, see `in_thread`: the provider may look up a connection of Airflow's.
    return await sync_to_async(function, thread_sensitive=False, executor=_threads)(*args)


class OpenLineage:
    """What a trigger asks and tells Airflow's OpenLineage provider; tests put another one in its place."""

    async def is_active(self) -> bool:
        """Return whether events are to be sent from here; where the provider's settings make no sense there are none."""
        try:
            return await in_thread(openlineage.is_active)
        except Exception as error:
            log.warning(
                f"OpenLineage's provider cannot be asked ({type(error).__name__}: {error}). {WAY_OUT}"
            )
            return False

    async def send(self, event: TaskEvent) -> None:
        """Send an event."""
        await _in_own_thread(openlineage.send, event)

    async def column_sources(self, sql: str) -> dict[str, list[tuple[str, str]]]:
        """Return where the columns of a query come from, see :func:`cosmos_async.airflow.openlineage.column_sources`."""
        return await in_thread(openlineage.column_sources, sql)


class TaskEvents:
    """
    The events of one task instance.

    Args:
        lineage: What setup knew of the run.
        index: Of the run's plan.
        key: The task instance.
        provider: Sends them.
        log: The task's.
    """

    def __init__(self, lineage: Lineage, index: Index, key: TaskKey, provider: OpenLineage, log: Any) -> None:
        self._lineage, self._index, self._key = lineage, index, key
        self._provider, self._log = provider, log
        self._task = lineage.tasks[key.task_id]
        self._starting: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def are_wanted(self) -> bool:
        """Whether the provider's settings want events of this task."""
        return self._task is not None

    def begin(self, at: datetime) -> None:
        """Send the event of the start, beside the work."""
        if self.are_wanted:
            self._starting = asyncio.get_running_loop().create_task(self._send("START", at))

    async def end(
        self, state: str, at: datetime, tables: Tables = NO_TABLES, error: str | None = None
    ) -> None:
        """
        Send the event of the end.

        Args:
            state: ``COMPLETE`` or ``FAIL``.
            at: When.
            tables: What the task has done to tables.
            error: What went wrong.
        """
        if not self.are_wanted or self._ended:
            return
        self._ended = True
        if self._starting is not None:
            await asyncio.wait({self._starting})
        await self._send(state, at, tables, error)

    async def tables(
        self, outcomes: Sequence[Outcome], plans: Sequence[NodePlan], session: Session, bigquery: BigQuery
    ) -> Tables:
        """
        Return what the task has done to tables.

        BigQuery is asked for their columns, and for the jobs that tell which tables they have read; what it does not tell, as
        a permission is missing, is left out.

        Args:
            outcomes: Of the task's nodes.
            plans: Of those that were carried out here, which have their compiled SQL.
            session: Keeps the columns of tables for other tasks.
            bigquery: Where to ask.
        """
        if not self.are_wanted:
            return NO_TABLES
        found = tables_of(self._lineage, outcomes, plans, self._index, self._provider, session, bigquery)
        try:
            return await asyncio.wait_for(found, PATIENCE)
        except asyncio.TimeoutError:
            self._warn("BigQuery has not told in time which columns the tables have")
        except Exception as error:
            self._warn(f"which tables are read and written is not known ({type(error).__name__}: {error})")
        return NO_TABLES

    async def _send(
        self, state: str, at: datetime, tables: Tables = NO_TABLES, error: str | None = None
    ) -> None:
        key = self._key
        assert self._task is not None
        event = TaskEvent(
            key.dag_id,
            key.task_id,
            key.map_index,
            key.try_number,
            state,
            at.isoformat(),
            self._lineage.run,
            self._task,
            tables,
            error,
        )
        try:
            await asyncio.wait_for(self._provider.send(event), PATIENCE)
        except asyncio.TimeoutError:
            self._warn(f"the event {state} was not sent within {PATIENCE:.0f} s")
        except Exception as failure:
            self._warn(f"the event {state} was not sent ({type(failure).__name__}: {failure})")

    def _warn(self, what: str) -> None:
        self._log.warning(f"OpenLineage: {what}. {WAY_OUT}")


async def events_of(
    provider: OpenLineage,
    address: PlanAddress,
    index: Index,
    folder: Folder,
    session: Session,
    key: TaskKey,
    log: Any,
) -> TaskEvents | None:
    """
    Return what sends a task's events, None where setup has left nothing to make them of.

    Args:
        provider: Sends them.
        address: Of the run's plan.
        index: That plan's.
        folder: Where it is.
        session: Keeps the document for other tasks.
        key: The task instance.
        log: The task's.
    """
    name = artifact_object(LINEAGE_FILE)

    async def read() -> Lineage | None:
        try:
            return await parse(load_lineage, await folder.read(name))
        except ObjectMissing:
            return None

    try:
        lineage = await session.once(("lineage", address), read)
    except CosmosAsyncError as error:
        log.warning(f"OpenLineage: {error} {WAY_OUT}")
        return None
    # A task that is mapped alone is none that setup has found in its DAG.
    if lineage is None or key.task_id not in lineage.tasks:
        return None
    return TaskEvents(lineage, index, key, provider, log)


async def tables_of(
    lineage: Lineage,
    outcomes: Sequence[Outcome],
    plans: Sequence[NodePlan],
    index: Index,
    provider: OpenLineage,
    session: Session,
    bigquery: BigQuery,
) -> Tables:
    """
    Return what a task has done to tables.

    Args:
        lineage: What setup knew of the run.
        outcomes: Of the task's nodes.
        plans: Of those whose compiled SQL is at hand.
        index: Of the run's plan.
        provider: Follows the columns of a query.
        session: Keeps the columns of tables for other tasks.
        bigquery: Where to ask for tables and jobs.
    """
    return await _Tables(lineage, provider, session, bigquery).of(outcomes, plans, index)


class _Tables:
    """Finds what nodes have done to tables."""

    def __init__(self, lineage: Lineage, provider: OpenLineage, session: Session, bigquery: BigQuery) -> None:
        self._lineage, self._provider = lineage, provider
        self._session, self._bigquery = session, bigquery

    async def of(self, outcomes: Sequence[Outcome], plans: Sequence[NodePlan], index: Index) -> Tables:
        told = told_outcome(outcomes)
        built = [
            outcome
            for outcome in outcomes
            if not is_test(outcome.unique_id) and not outcome.unique_id.startswith("source.")
        ]
        compiled = {plan.unique_id: plan.compiled_code for plan in plans}
        inputs: dict[str, list[Assertion]] = {}
        outputs: list[Dataset] = []
        job = None
        for outcome in built:
            jobs = await self._jobs(outcome)
            job = job or next((one for one in jobs if _is(one, outcome.main_job)), None)
            referenced = [table for one in jobs for table in _referenced(one)]
            read = self._lineage.inputs_of(outcome.unique_id, referenced)
            inputs.update((name, []) for name in read)
            relation = index.nodes[outcome.unique_id].relation if outcome.unique_id in index.nodes else None
            if relation is not None and not outcome.status.failed:
                sql = outcome.compiled_code or compiled.get(outcome.unique_id)
                outputs.append(await self._output(outcome, relation, sql, read, jobs))
        for outcome in outcomes:
            # A unit test reads rows that dbt makes up.
            if outcome.unique_id.startswith("unit_test."):
                continue
            if is_test(outcome.unique_id) or outcome.unique_id.startswith("source."):
                self._assert(outcome, inputs)
        if job is None and told is not None and told.main_job is not None:
            job = await self._job(told.main_job)
        made = {one.name for one in outputs}
        read_tables = await gather_bounded(
            self._input(name, assertions)
            for name, assertions in inputs.items()
            if name not in made or assertions
        )
        sql = None if told is None else told.compiled_code or compiled.get(told.unique_id)
        return Tables(tuple(read_tables), tuple(outputs), sql, job)

    def _assert(self, outcome: Outcome, inputs: dict[str, list[Assertion]]) -> None:
        """Note what a test has found of the tables it reads; a source's freshness is one, too."""
        node = self._lineage.nodes.get(outcome.unique_id)
        if outcome.unique_id.startswith("source."):
            if node is not None and node.relation is not None:
                fresh = Assertion("freshness", None, outcome.status is Status.PASS)
                inputs.setdefault(node.relation, []).append(fresh)
            return
        tables = self._lineage.inputs_of(outcome.unique_id)
        for table in tables:
            inputs.setdefault(table, [])
        if node is not None and node.test is not None and tables and outcome.status is not Status.SKIPPED:
            name, column = node.test
            # dbt names what is tested last, as `ref` in a test's arguments comes before.
            inputs[self._tested(outcome.unique_id, tables)].append(
                Assertion(name, column, outcome.status is Status.PASS)
            )

    def _tested(self, unique_id: str, tables: list[str]) -> str:
        parents = self._lineage.nodes[unique_id].parents
        relations = [self._lineage.nodes[one].relation for one in parents if one in self._lineage.nodes]
        return next((one for one in reversed(relations) if one in tables), tables[0])

    async def _jobs(self, outcome: Outcome) -> list[Json]:
        # A hook may write anything anywhere: what its statement names is not what the node is made of.
        records = [record for record in outcome.jobs if not record.purpose.startswith(_NOT_OF_NODE)]
        main = outcome.main_job
        chosen = ([main] if main is not None else []) + [one for one in records if one != main]
        found = await gather_bounded(self._job(record) for record in chosen[:MOST_JOBS])
        return [job for job in found if job is not None]

    async def _job(self, record: JobRecord) -> Json | None:
        try:
            return await self._bigquery.find_job(
                JobRef(record.project, record.job_id, record.location or None)
            )
        except CosmosAsyncError:
            return None

    async def _table(self, name: str) -> Json:
        project, dataset, table = name.rsplit(".", 2)
        try:
            return await self._bigquery.get_table(project, dataset, table) or {}
        except CosmosAsyncError:
            return {}

    async def _input(self, name: str, assertions: list[Assertion]) -> Dataset:
        table = await self._session.once(("columns", name), lambda: self._table(name))
        return self._dataset(name, table, assertions=tuple(assertions))

    async def _output(
        self, outcome: Outcome, name: str, sql: str | None, read: list[str], jobs: list[Json]
    ) -> Dataset:
        # Not what an earlier task has been told: it is another table now.
        table = await self._table(name)
        self._session.forget(("columns", name))
        dataset = self._dataset(name, table)
        record = outcome.main_job
        rows = outcome.adapter_response.get("rows_affected", None if record is None else record.rows)
        main = next((job for job in jobs if _is(job, record)), None)
        known = {column.name.lower(): column.name for column in dataset.columns}
        sources = {}
        if sql and outcome.unique_id.split(".")[0] in ("model", "snapshot"):
            for column, origins in (await self._provider.column_sources(sql)).items():
                inside = [(table, field) for table, field in origins if table in read]
                if inside and (not known or column.lower() in known):
                    sources[known.get(column.lower(), column)] = inside
        return Dataset(
            name,
            dataset.columns,
            dataset.description,
            sources,
            rows,
            None if main is None else _written_bytes(main),
        )

    def _dataset(self, name: str, table: Json, *, assertions: tuple[Assertion, ...] = ()) -> Dataset:
        node = self._lineage.known(name)
        described = {} if node is None else node.columns
        columns = _columns((table.get("schema") or {}).get("fields") or ())
        if columns:
            columns = tuple(
                Column(
                    one.name,
                    one.type,
                    one.description or described.get(one.name, (None, None))[1],
                    one.fields,
                )
                for one in columns
            )
        else:
            columns = tuple(Column(column, kind, text) for column, (kind, text) in described.items())
        description = table.get("description") or (None if node is None else node.description)
        return Dataset(name, columns, description, assertions=assertions)


def _columns(fields: Sequence[Json]) -> tuple[Column, ...]:
    return tuple(
        Column(one["name"], one["type"], one.get("description"), _columns(one.get("fields") or ()))
        for one in fields
    )


def _is(job: Json, record: JobRecord | None) -> bool:
    return record is not None and job["jobReference"]["jobId"] == record.job_id


def _referenced(job: Json) -> list[str]:
    """Return the tables that a job has read, without temporary ones and those of INFORMATION_SCHEMA."""
    statistics, configuration = job.get("statistics") or {}, job.get("configuration") or {}
    tables = list((statistics.get("query") or {}).get("referencedTables") or ())
    copy = configuration.get("copy") or {}
    tables += copy.get("sourceTables") or ([copy["sourceTable"]] if "sourceTable" in copy else [])
    return [
        f"{one['projectId']}.{one['datasetId']}.{one['tableId']}"
        for one in tables
        if not one["datasetId"].startswith("_")
        and not one["tableId"].startswith("INFORMATION_SCHEMA")
        and "__dbt_tmp" not in one["tableId"]
    ]


def _written_bytes(job: Json) -> int | None:
    """Return the bytes that a job has written, as Google's provider finds them."""
    statistics = job.get("statistics") or {}
    stages = (statistics.get("query") or {}).get("queryPlan") or [{}]
    found = (
        stages[-1].get("shuffleOutputBytes")
        or (statistics.get("load") or {}).get("outputBytes")
        or (statistics.get("copy") or {}).get("copiedLogicalBytes")
    )
    return None if not found else int(found)
