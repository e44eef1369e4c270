"""Waiting for many jobs with few requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cosmos_async.exceptions import Unavailable
from cosmos_async.testing import FakeGoogle
from cosmos_async.triggers.google.bigquery import BigQuery
from cosmos_async.triggers.google.session import shared_session
from cosmos_async.triggers.jobs.concurrency import Limit
from cosmos_async.triggers.jobs.waiter import Waiter
from tests.unit.triggers.bench import FakeClock, cancelled

Json = dict[str, Any]


@pytest.fixture
async def bigquery(google: FakeGoogle, identity: dict[str, Any]) -> AsyncIterator[BigQuery]:
    """The API, on a clock that jumps."""
    async with shared_session(identity, clock=FakeClock()) as session:
        yield BigQuery(session, google.bigquery_endpoint)


async def insert(bigquery: BigQuery, number: int, configuration: Json | None = None) -> Json:
    """Insert a job that is held RUNNING."""
    body = {
        "jobReference": {"projectId": "p", "jobId": f"job{number}", "location": "US"},
        "configuration": configuration or {"query": {"query": f"select {number}", "useLegacySql": False}},
    }
    return await bigquery.insert_job("p", body)


async def test_a_long_poll_hears_of_the_end_at_once(google: FakeGoogle, bigquery: BigQuery) -> None:
    """One poll, one look; no interval in between."""
    held = google.on_query("select", held=True)
    waiter = Waiter(bigquery)
    waiting = asyncio.create_task(waiter.wait(await insert(bigquery, 1)))
    await google.requests.arrived("jobs.getQueryResults")

    held.release()

    assert (await waiting)["status"]["state"] == "DONE"
    assert len(google.requests.of("jobs.getQueryResults")) == 1
    assert len(google.requests.of("jobs.get")) == 1
    assert google.requests.of("jobs.getQueryResults")[0].query["maxResults"] == "0"


async def test_a_failed_job_is_returned_as_it_is(google: FakeGoogle, bigquery: BigQuery) -> None:
    """The poll of a failed job answers with its error, even with 503; the job itself tells."""
    google.on_query("select", error=("backendError", "Try later."))

    ended = await Waiter(bigquery).wait(await insert(bigquery, 1))

    assert ended["status"]["errorResult"]["reason"] == "backendError"


async def test_jobs_beyond_the_long_polls_share_one_list(google: FakeGoogle, bigquery: BigQuery) -> None:
    """Twenty jobs, two polls: the other eighteen cost one request per second together."""
    held = google.on_query("select", held=True)
    waiter = Waiter(bigquery, long_polls=2)
    jobs = [await insert(bigquery, number) for number in range(20)]
    waiting = [asyncio.create_task(waiter.wait(job)) for job in jobs]
    await google.requests.arrived("jobs.list", count=3)
    assert len(google.requests.of("jobs.getQueryResults")) == 2

    held.release()
    ended = await asyncio.gather(*waiting)

    assert all(job["status"]["state"] == "DONE" for job in ended)
    listing = google.requests.of("jobs.list")[0]
    assert listing.query["projection"] == "minimal"
    await waiter.aclose()


async def test_loads_and_copies_are_listed(google: FakeGoogle, bigquery: BigQuery) -> None:
    """They have no results to poll for."""
    google.add_table("p", "shop", "raw", rows=[{"id": 1}])
    held = google.on_query(lambda job: job.kind == "copy", held=True)
    table = {"projectId": "p", "datasetId": "shop"}
    copy = {
        "copy": {
            "sourceTable": {**table, "tableId": "raw"},
            "destinationTable": {**table, "tableId": "copied"},
        }
    }
    waiter = Waiter(bigquery)
    waiting = asyncio.create_task(waiter.wait(await insert(bigquery, 1, copy)))
    await google.requests.arrived("jobs.list")

    held.release()

    assert (await waiting)["status"]["state"] == "DONE"
    assert google.requests.of("jobs.getQueryResults") == []
    await waiter.aclose()


async def test_without_permission_to_list_each_job_is_looked_at(
    google: FakeGoogle, bigquery: BigQuery
) -> None:
    """bigquery.jobs.list is not in every role that may run jobs."""
    google.forbid("jobs.list")
    held = google.on_query("select", held=True)
    waiter = Waiter(bigquery, long_polls=0)
    waiting = asyncio.create_task(waiter.wait(await insert(bigquery, 1)))
    await google.requests.arrived("jobs.get", count=5)

    held.release()

    assert (await waiting)["status"]["state"] == "DONE"
    assert len(google.requests.of("jobs.list")) == 1


async def test_without_permission_to_read_results_the_list_does(
    google: FakeGoogle, bigquery: BigQuery
) -> None:
    """A long poll wants bigquery.tables.getData on the result, which the job's owner may lack."""
    google.forbid("jobs.getQueryResults")
    held = google.on_query("select", held=True)
    waiter = Waiter(bigquery)
    waiting = asyncio.create_task(waiter.wait(await insert(bigquery, 1)))
    await google.requests.arrived("jobs.list")

    held.release()

    assert (await waiting)["status"]["state"] == "DONE"
    assert len(google.requests.of("jobs.getQueryResults")) == 1


async def test_a_bad_minute_of_google_does_not_end_the_waiting(
    google: FakeGoogle, bigquery: BigQuery
) -> None:
    """The job runs on meanwhile; giving up would leave it to nobody."""
    google.fail("jobs.getQueryResults", 503, times=3)
    google.fail("jobs.get", 503, times=10)
    held = google.on_query("select", held=True)
    waiting = asyncio.create_task(Waiter(bigquery).wait(await insert(bigquery, 1)))
    await google.requests.arrived("jobs.getQueryResults", count=4)

    held.release()

    assert (await waiting)["status"]["state"] == "DONE"


async def test_a_list_that_never_answers_ends_all_who_wait_for_it(
    google: FakeGoogle, bigquery: BigQuery
) -> None:
    """With the error, instead of silence."""
    google.fail("jobs.list", 503, times=None)
    google.on_query("select", held=True)
    waiter = Waiter(bigquery, long_polls=0)
    jobs = [await insert(bigquery, number) for number in range(3)]

    ended = await asyncio.gather(*(waiter.wait(job) for job in jobs), return_exceptions=True)

    assert [type(error) for error in ended] == [Unavailable] * 3


@pytest.mark.parametrize("long_polls", [1, 0])
async def test_who_is_cancelled_frees_its_place(
    google: FakeGoogle, bigquery: BigQuery, long_polls: int
) -> None:
    """And leaves the job alone."""
    google.on_query("select", held=True)
    waiter = Waiter(bigquery, long_polls=long_polls)
    waiting = asyncio.create_task(waiter.wait(await insert(bigquery, 1)))
    await google.requests.arrived("jobs.getQueryResults" if long_polls else "jobs.list")

    await cancelled(waiting)

    assert repr(waiter) == f"<Waiter free long polls: {long_polls}, listed jobs: 0>"
    assert google.requests.of("jobs.cancel") == []
    await waiter.aclose()


# -- our own limit ----------------------------------------------------------------------------------------------------


async def test_the_limit_holds_back_what_is_too_much() -> None:
    """Tasks that start in the triggerer pass no pool."""
    limit, inside, most = Limit(3), 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with limit.place():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(20)))

    assert most == 3
    assert limit.waiting == 0


async def test_the_most_urgent_comes_next() -> None:
    """The longest way to the end first; who waits as urgently as another, after it."""
    limit, order = Limit(1), list[str]()

    async def work(name: str, priority: float) -> None:
        async with limit.place(priority):
            order.append(name)
            await asyncio.sleep(0)

    works = [("first", 0.0), ("short", 5.0), ("long", 60.0), ("none", 0.0), ("as long", 60.0)]
    await asyncio.gather(*(work(*each) for each in works))

    assert order == ["first", "long", "as long", "short", "none"]


async def test_a_place_is_not_lost_with_who_waits_for_it() -> None:
    """Killed while it waits, or in the moment in which its turn comes."""
    limit = Limit(1)

    async def work(ended: asyncio.Event) -> None:
        async with limit.place():
            await ended.wait()

    end = asyncio.Event()
    running, waiting, last = (asyncio.create_task(work(end)) for _ in range(3))
    await asyncio.sleep(0)
    assert (limit.full, limit.waiting) == (True, 2)
    await cancelled(waiting)
    end.set()
    await running
    last.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await last

    assert (limit.full, limit.waiting) == (False, 0)


async def test_no_limit_holds_nobody() -> None:
    """0 leaves it to BigQuery's own queue."""
    limit = Limit(0)

    async with limit.place(), limit.place(), limit.place():
        assert not limit.full
