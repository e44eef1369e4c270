"""
The engine without SQL: tests say what a query answers, how long it takes, and how it fails.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cosmos_async.testing.answers import merged
from cosmos_async.testing.catalog import MemoryCatalog
from cosmos_async.testing.effects import Outcome, apply_copy, apply_load, apply_query
from cosmos_async.testing.engine import ChildJob, EngineJob, JobError, JobResult, Json
from cosmos_async.testing.rows import infer_schema
from cosmos_async.testing.signal import Signal
from cosmos_async.testing.sql import statement_type, statements


@dataclass(eq=False)
class Answer:
    """What the jobs that match are going to do."""

    matches: Callable[[EngineJob], bool]
    outcome: Outcome = field(default_factory=Outcome)
    seconds: float = 0.0  #: how long a job is RUNNING
    error: JobError | None = None  #: how it fails; it then has no effect on the catalog
    statistics: Json = field(default_factory=dict)  #: merged into the job's
    children: Sequence[ChildJob] = ()
    times: int | None = None  #: for how many jobs still; None means all
    jobs: list[EngineJob] = field(default_factory=list)  #: the jobs that got this answer
    _released: Signal | None = None
    _arrival: Signal = field(default_factory=Signal)

    def release(self) -> None:
        """Let the jobs it holds RUNNING go on."""
        if self._released:
            self._released.set()

    async def started(self, count: int = 1) -> list[EngineJob]:
        """Wait until *count* jobs with this answer are RUNNING, and return them."""
        while len(self.jobs) < count:
            await self._arrival.wait()
        return self.jobs

    def take(self, job: EngineJob) -> None:
        """Note that *job* gets this answer."""
        if self.times is not None:
            self.times -= 1
        self.jobs.append(job)
        self._arrival.set()
        self._arrival = Signal()

    async def wait(self, seconds: float) -> None:
        """Spend the time a job takes."""
        if self._released:
            await self._released.wait()
        if seconds > 0:
            await asyncio.sleep(seconds)


class ScriptedEngine:
    """
    An `Engine` that answers as told; what nobody spoke of succeeds at once and changes the catalog as its words say.

    Args:
        catalog: Where tables appear and disappear.
        job_seconds: The least and the most a job takes for which nothing else was said.
        seed: Where the choice in between starts.
    """

    def __init__(
        self, catalog: MemoryCatalog, *, job_seconds: tuple[float, float] = (0.0, 0.0), seed: int = 0
    ) -> None:
        self._catalog = catalog
        self._job_seconds = job_seconds
        self._random = random.Random(seed)
        self._answers: list[Answer] = []

    def on_query(
        self,
        sql: str | re.Pattern[str] | Callable[[EngineJob], bool] = "",
        *,
        labels: Mapping[str, str] | None = None,
        rows: Sequence[Any] = (),
        schema: Sequence[Json] | None = None,
        error: tuple[str, str] | JobError | None = None,
        seconds: float = 0.0,
        held: bool = False,
        statement_type: str | None = None,
        affected_rows: int | None = None,
        bytes_processed: int = 0,
        bytes_billed: int = 0,
        slot_ms: int = 0,
        statistics: Json | None = None,
        children: Sequence[ChildJob] = (),
        times: int | None = None,
    ) -> Answer:
        """
        Say what jobs do from now on; of several that match, the latest said applies.

        Args:
            sql: A regular expression to be found in the query's text (case does not matter), or a predicate over the
                job; the latter sees load and copy jobs too.
            labels: Labels the job must have as well.
            rows: The result: mappings or sequences of Python values.
            schema: The result's fields in REST shape; without it they follow from the first row.
            error: BigQuery's reason and message, for a job that fails.
            seconds: How long the job is RUNNING.
            held: Keep the job RUNNING until `release()` is called on the returned answer.
            statement_type: BigQuery's statementType, where the first words of the query do not tell.
            affected_rows: How many rows a DML statement changes.
            bytes_processed: As in the job's statistics, like the next two.
            bytes_billed: Also compared with the job's maximumBytesBilled.
            slot_ms: Slot time in milliseconds.
            statistics: Further statistics, merged over all others.
            children: The statements of a script.
            times: For how many jobs; None means all.
        """
        matches = _matcher(sql, labels or {})
        facts = {
            "totalBytesProcessed": str(bytes_processed),
            "totalSlotMs": str(slot_ms),
            "query": {
                "totalBytesProcessed": str(bytes_processed),
                "totalBytesBilled": str(bytes_billed),
                "totalSlotMs": str(slot_ms),
            },
        }
        fields = schema if schema is not None else infer_schema(rows) if rows else None
        answer = Answer(
            matches,
            Outcome(fields, rows, affected_rows, statement_type),
            seconds=seconds,
            error=JobError(*error) if isinstance(error, tuple) else error,
            statistics=merged(facts, statistics or {}),
            children=children,
            times=times,
            _released=Signal() if held else None,
        )
        self._answers.append(answer)
        return answer

    async def run(self, job: EngineJob) -> JobResult:
        """Do what was said about *job*."""
        answer = self._answer(job)
        answer.take(job)
        refused = _too_expensive(job, answer)
        if refused:
            return JobResult(error=refused)
        await answer.wait(answer.seconds)
        if answer.error:
            return JobResult(error=answer.error, statistics=_for_kind(job, answer.statistics))
        if job.kind == "query":
            result = apply_query(self._catalog, job, answer.outcome)
        elif job.kind == "load":
            result = apply_load(self._catalog, job)
        elif job.kind == "copy":
            result = apply_copy(self._catalog, job)
        else:
            result = JobResult()
        return JobResult(
            schema=result.schema,
            rows=result.rows,
            statistics=merged(result.statistics, _for_kind(job, answer.statistics)),
            configuration=result.configuration,
            children=answer.children,
        )

    async def dry_run(self, job: EngineJob) -> JobResult:
        """Return the schema and the statistics that were said, or the error."""
        answer = self._answer(job)
        refused = answer.error or _too_expensive(job, answer)
        if refused:
            return JobResult(error=refused)
        kind = answer.outcome.statement_type or statement_type(statements(job.sql))
        return JobResult(
            schema=answer.outcome.schema or [],
            statistics=merged({"query": {"statementType": kind}}, _for_kind(job, answer.statistics)),
        )

    def _answer(self, job: EngineJob) -> Answer:
        for answer in reversed(self._answers):
            if answer.times != 0 and answer.matches(job):
                return answer
        low, high = self._job_seconds
        return Answer(lambda job: True, seconds=self._random.uniform(low, high) if high else 0.0)


def _matcher(
    sql: str | re.Pattern[str] | Callable[[EngineJob], bool], labels: Mapping[str, str]
) -> Callable[[EngineJob], bool]:
    if callable(sql):
        right = sql
    else:
        pattern = re.compile(sql, re.IGNORECASE | re.DOTALL) if isinstance(sql, str) else sql

        def right(job: EngineJob) -> bool:
            return job.kind == "query" and pattern.search(job.sql) is not None

    return lambda job: right(job) and labels.items() <= job.labels.items()


def _too_expensive(job: EngineJob, answer: Answer) -> JobError | None:
    limit = job.configuration.get("query", {}).get("maximumBytesBilled")
    billed = int(answer.statistics.get("query", {}).get("totalBytesBilled", 0))
    if limit is None or billed <= int(limit):
        return None
    return JobError(
        "bytesBilledLimitExceeded",
        f"Query exceeded limit for bytes billed: {limit}. {billed} or higher required.",
    )


def _for_kind(job: EngineJob, statistics: Json) -> Json:
    if job.kind == "query":
        return statistics
    return {key: value for key, value in statistics.items() if key != "query"}
