"""
Wait for many jobs of one identity with few requests.

Some hundred query jobs are watched by a long poll each, which BigQuery answers the moment they end. All others (and
load and copy jobs, which know no long poll) share one list of running jobs per second. Whatever says that a job has
ended is a hint; ``jobs.get`` decides.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from cosmos_async.exceptions import ApiError
from cosmos_async.triggers.google.bigquery import BigQuery, JobRef, is_done
from cosmos_async.triggers.google.retry import ONCE, PATIENT, is_transient

Json = dict[str, Any]

log = logging.getLogger(__name__)

#: BigQuery allows some 300 concurrent API requests per user; the rest is for everything else.
LONG_POLLS = 200
#: BigQuery answers after about 200 seconds at the latest; idle connections die earlier in some networks.
LONG_POLL_SECONDS = 50.0
LIST_INTERVAL = 1.0  # seconds
#: Loads and copies are often done at once: seconds before the first looks at one, as long as only a few are watched.
QUICK_LOOKS = (0.2, 0.4)
FEW = 50
#: How far clocks may be apart, for ``minCreationTime``.
CLOCK_SKEW_MS = 120_000
FIRST_LOOK = 1.0  # seconds
LONGEST_LOOK = 10.0  # seconds
#: jobs.get allows 1,000 requests per second and user, and most methods 100; stay far below.
LOOKS_PER_SECOND = 100


@dataclass(eq=False)
class _Watch:
    ref: JobRef
    since_ms: int
    gone: asyncio.Future[None]  #: resolved when the list no longer has it


class Waiter:
    """
    Waits for the jobs of one identity; kept by its session.

    Args:
        bigquery: The API.
        long_polls: How many jobs are watched by a long poll at most.
    """

    def __init__(self, bigquery: BigQuery, *, long_polls: int = LONG_POLLS) -> None:
        self._bigquery = bigquery
        self._clock = bigquery.session.clock
        # The state, changed between awaits only.
        self._free_polls = long_polls
        self._polls_refused = False
        self._lists_refused: set[str] = set()  # projects
        self._watches: dict[str, set[_Watch]] = {}  # by project
        self._listers: dict[str, asyncio.Task[None]] = {}
        self._next_look = 0.0

    def __repr__(self) -> str:
        return f"<Waiter free long polls: {self._free_polls}, listed jobs: {self._watched}>"

    @property
    def _watched(self) -> int:
        return sum(len(watches) for watches in self._watches.values())

    async def wait(self, resource: Json, *, deadline: float | None = None) -> Json:
        """
        Return the resource of a job once it has ended, well or badly.

        Being cancelled leaves the job alone.

        Args:
            resource: The job as BigQuery last told it.
            deadline: When to give up asking, on the session's clock.
        """
        looks = 0
        while not is_done(resource):
            ref = JobRef.of(resource)
            if self._may_poll(resource):
                resource = await self._long_poll(resource, looks, deadline)
            elif not _is_query(resource) and looks < len(QUICK_LOOKS) and self._watched < FEW:
                await self._clock.sleep(QUICK_LOOKS[looks])
                resource = await self._look(ref, deadline)
            elif ref.project not in self._lists_refused:
                await self._listed(resource, looks)
                resource = await self._look(ref, deadline)
            else:
                await self._pace(looks)
                resource = await self._look(ref, deadline)
            looks += 1
        return resource

    async def _look(self, ref: JobRef, deadline: float | None) -> Json:
        return await self._bigquery.get_job(ref, budget=PATIENT, deadline=deadline)

    async def aclose(self) -> None:
        """Stop listing; those who wait are cancelled."""
        listers = list(self._listers.values())
        for lister in listers:
            lister.cancel()
        await asyncio.gather(*listers, return_exceptions=True)

    # -- long polls ---------------------------------------------------------------------------------------------------

    def _may_poll(self, resource: Json) -> bool:
        return _is_query(resource) and self._free_polls > 0 and not self._polls_refused

    async def _long_poll(self, resource: Json, looks: int, deadline: float | None) -> Json:
        """Return the job after a long poll, or as it was if the poll has no news."""
        ref, refused = JobRef.of(resource), False
        seconds = LONG_POLL_SECONDS
        if deadline is not None:
            seconds = max(1.0, min(seconds, deadline - self._clock.now()))
        self._free_polls -= 1
        try:
            answer = await self._bigquery.poll_query(ref, seconds=seconds, budget=ONCE, deadline=deadline)
            if not answer.get("jobComplete"):
                return resource
        except ApiError as error:
            # A failed job answers with its own error, whatever its status; a missing permission (that of reading the
            # result, bigquery.tables.getData) or a bad moment of Google looks just like it. The job itself tells.
            if error.status == 401:
                raise
            refused = error.status is not None and error.status < 500 and not is_transient(error)
        finally:
            self._free_polls += 1
        found = await self._look(ref, deadline)
        if not is_done(found):
            self._polls_refused = self._polls_refused or refused
            await self._pace(looks)
        return found

    # -- the list -----------------------------------------------------------------------------------------------------

    async def _listed(self, resource: Json, looks: int) -> None:
        """Wait until the job is no longer on the list of running ones."""
        ref = JobRef.of(resource)
        created = int((resource.get("statistics") or {}).get("creationTime") or 0)
        if not created:
            created = int(self._clock.utc().timestamp() * 1000)
        if looks:
            # It was off the list and yet not done: the list lags behind, and asking again at once would not help.
            await self._pace(looks)
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watch = _Watch(ref, created - CLOCK_SKEW_MS, gone)
        self._watches.setdefault(ref.project, set()).add(watch)
        if ref.project not in self._listers:
            task = asyncio.get_running_loop().create_task(self._list(ref.project))
            self._listers[ref.project] = task
        try:
            await gone
        finally:
            self._watches[ref.project].discard(watch)

    async def _list(self, project: str) -> None:
        try:
            while True:
                await self._clock.sleep(LIST_INTERVAL)
                watches = list(self._watches.get(project, ()))
                if not watches:
                    return
                since = min(watch.since_ms for watch in watches)
                running = set()
                async for job in self._bigquery.running_jobs(project, since_ms=since, budget=PATIENT):
                    running.add(job["jobReference"]["jobId"])
                for watch in watches:
                    if watch.ref.job_id not in running and not watch.gone.done():
                        watch.gone.set_result(None)
        except ApiError as error:
            if error.status == 403:
                # bigquery.jobs.list is not in every role that may run jobs: look at each job instead.
                self._lists_refused.add(project)
                log.debug("listing jobs of %s is refused; looking at each: %s", project, error)
                self._release(project, None)
            else:
                self._release(project, error)
        except BaseException as error:
            self._release(project, error)
            raise
        finally:
            del self._listers[project]

    def _release(self, project: str, error: BaseException | None) -> None:
        for watch in self._watches.get(project, ()):
            if watch.gone.done():
                continue
            if error is None:
                watch.gone.set_result(None)
            elif isinstance(error, asyncio.CancelledError):
                watch.gone.cancel()
            else:
                watch.gone.set_exception(error)

    # -- one by one ---------------------------------------------------------------------------------------------------

    async def _pace(self, looks: int) -> None:
        """Wait before a job is looked at: longer each time, and never too many jobs per second."""
        wait = min(LONGEST_LOOK, FIRST_LOOK * 1.5**looks)
        at = max(self._clock.now() + wait, self._next_look)
        self._next_look = at + 1 / LOOKS_PER_SECOND
        await self._clock.sleep(at - self._clock.now())


def _is_query(resource: Json) -> bool:
    return "query" in resource.get("configuration", {})
