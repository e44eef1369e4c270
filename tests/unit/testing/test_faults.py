"""What tests can let go wrong, and what the stand-in remembers of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from gcloud.aio.bigquery import Job

from cosmos_async.testing import FakeGoogle, Harm

from .conftest import Api

Client = Callable[[str], Job]


def query(job_id: str) -> dict[str, Any]:
    """Return the body of jobs.insert."""
    return {
        "jobReference": {"projectId": "p", "jobId": job_id, "location": "US"},
        "configuration": {"query": {"query": "select 1", "useLegacySql": False}},
    }


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "invalid"),
        (401, "authError"),
        (403, "accessDenied"),
        (404, "notFound"),
        (409, "duplicate"),
        (412, "conditionNotMet"),
        (429, "rateLimitExceeded"),
        (500, "internalError"),
        (503, "backendError"),
    ],
)
async def test_a_refused_call_answers_as_google_does_and_has_no_effect(
    google: FakeGoogle, api: Api, status: int, reason: str
) -> None:
    google.fail("jobs.insert", status)

    answered, answer = await api("POST", "/jobs", json=query("a"))

    assert answered == status
    assert answer["error"]["code"] == status
    assert answer["error"]["errors"][0]["reason"] == reason
    assert google.inserted_jobs == []
    assert (await api("POST", "/jobs", json=query("a")))[0] == 200


async def test_a_bad_gateway_speaks_html(google: FakeGoogle, job: Client) -> None:
    google.fail("jobs.insert", 502)

    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await job("a").insert(query("a"))

    assert (refused.value.status, "<html>" in refused.value.message) == (502, True)


async def test_a_throttled_call_says_how_long_to_wait(google: FakeGoogle, job: Client) -> None:
    google.fail("jobs.insert", 429, retry_after=7)

    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await job("a").insert(query("a"))

    assert refused.value.headers is not None
    assert refused.value.headers["Retry-After"] == "7"


async def test_a_rate_limit_can_come_as_403(google: FakeGoogle, api: Api) -> None:
    google.fail("jobs.get", 403, reason="rateLimitExceeded", message="Exceeded rate limits", times=2)
    await api("POST", "/jobs", json=query("a"))

    statuses = [(await api("GET", "/jobs/a"))[0] for _ in range(3)]

    assert statuses == [403, 403, 200]


async def test_after_a_lost_reply_the_job_is_there(google: FakeGoogle, job: Client) -> None:
    google.lose_reply("jobs.insert")

    with pytest.raises(aiohttp.ClientError):
        await job("a").insert(query("a"))
    resource = await job("a").get_job()

    assert resource["jobReference"]["jobId"] == "a"
    assert google.requests.of("jobs.insert")[0].status is None


async def test_after_a_reset_the_job_is_not_there(google: FakeGoogle, job: Client) -> None:
    google.reset("jobs.insert")

    with pytest.raises(aiohttp.ClientError):
        await job("a").insert(query("a"))

    assert google.inserted_jobs == []


async def test_a_truncated_answer_is_noticed(google: FakeGoogle, job: Client) -> None:
    google.truncate("jobs.get")
    await job("a").insert(query("a"))

    with pytest.raises(aiohttp.ClientPayloadError):
        await job("a").get_job()

    assert (await job("a").get_job())["status"]


async def test_a_slow_body_arrives_whole_after_its_time(google: FakeGoogle, job: Client) -> None:
    await job("a").insert(query("a"))
    google.harm("jobs.get", Harm.SLOW, seconds=0.1)
    loop = asyncio.get_running_loop()
    begun = loop.time()

    resource = await job("a").get_job()

    assert resource["jobReference"]["jobId"] == "a"
    assert loop.time() - begun >= 0.1


async def test_latency_and_delays_are_waited_for(google: FakeGoogle, api: Api) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    google.latency = 0.05
    google.harm("datasets.list", Harm.DELAYED, seconds=0.05)

    await api("GET", "/datasets")

    assert loop.time() - begun >= 0.1


async def test_a_held_call_waits_until_it_is_released(google: FakeGoogle, api: Api) -> None:
    held = google.hold("jobs.insert")
    call = asyncio.create_task(api("POST", "/jobs", json=query("a")))
    await google.requests.arrived("jobs.insert")
    assert (google.inserted_jobs, call.done()) == ([], False)

    held.release()

    assert (await call)[0] == 200


async def test_a_held_call_does_not_keep_the_stand_in_from_closing() -> None:
    async with FakeGoogle(project_id="p") as google, aiohttp.ClientSession() as session:
        google.hold("jobs.list")
        call = asyncio.create_task(Api(google, session)("GET", "/jobs"))
        await google.requests.arrived("jobs.list")

        await google.aclose()

        assert (await call)[0] == 200


async def test_a_fault_hits_only_the_calls_it_is_for(google: FakeGoogle, api: Api) -> None:
    fault = google.fail("tables.*", 503, times=None, when=lambda request: request.path.endswith("/orders"))
    google.add_table("p", "shop", "orders")
    google.add_table("p", "shop", "customers")

    assert (await api("GET", "/datasets/shop/tables/orders"))[0] == 503
    assert (await api("PATCH", "/datasets/shop/tables/orders", json={}))[0] == 503
    assert (await api("GET", "/datasets/shop/tables/customers"))[0] == 200
    assert fault.hits == 2


async def test_chances_are_the_same_in_every_run() -> None:
    async def statuses() -> list[int]:
        async with FakeGoogle(project_id="p", seed=7) as google, aiohttp.ClientSession() as session:
            google.fail("jobs.list", 503, times=None, probability=0.5)
            api = Api(google, session)
            return [(await api("GET", "/jobs"))[0] for _ in range(20)]

    first = await statuses()

    assert first == await statuses()
    assert set(first) == {200, 503}


async def test_a_missing_permission_lasts(google: FakeGoogle, api: Api) -> None:
    forbidden = google.forbid("jobs.list")

    assert [(await api("GET", "/jobs"))[0] for _ in range(3)] == [403, 403, 403]
    forbidden.release()
    assert (await api("GET", "/jobs"))[0] == 200


async def test_requests_are_remembered_with_who_sent_them(google: FakeGoogle, api: Api) -> None:
    await api("POST", "/jobs?prettyPrint=false", json=query("a"))
    await api("GET", "/jobs/a")

    inserted, got = google.requests

    assert (inserted.operation, inserted.method, inserted.status) == ("jobs.insert", "POST", 200)
    assert inserted.path == "/bigquery/v2/projects/p/jobs"
    assert inserted.query == {"prettyPrint": "false"}
    assert inserted.json["jobReference"]["jobId"] == "a"
    assert inserted.email == google.email
    assert inserted.token
    assert google.mutations == [inserted]
    assert google.requests.of("jobs.get") == [got]


async def test_a_path_nobody_serves_is_not_found(google: FakeGoogle, api: Api) -> None:
    status, answer = await api("GET", "/reservations")

    assert (status, answer["error"]["status"]) == (404, "NOT_FOUND")
    assert google.requests.of("unknown")


async def test_the_log_tells_how_many_calls_were_under_way_at_once(google: FakeGoogle, api: Api) -> None:
    held = google.hold("jobs.list", times=None)
    calls = [asyncio.create_task(api("GET", "/jobs")) for _ in range(5)]
    await google.requests.arrived("jobs.list", count=5)
    held.release()
    await asyncio.gather(*calls)

    await api("GET", "/jobs")

    assert google.requests.most_at_once("jobs.*") == 5
    assert google.requests.most_at_once("tables.get") == 0


def test_a_stand_in_that_is_not_started_has_no_address() -> None:
    """It can be made, and told what to do, where there is no event loop; before Python 3.10 asyncio's own events cannot."""
    asyncio.run(asyncio.sleep(0))  # leaves this thread without one
    google = FakeGoogle(job_slots=1)
    google.hold("jobs.get")
    google.on_query("", held=True)

    with pytest.raises(RuntimeError, match="async with"):
        google.key_file  # noqa: B018
