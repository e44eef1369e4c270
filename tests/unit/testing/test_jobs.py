"""The job API: what a client may rely on with BigQuery holds with the stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from gcloud.aio.bigquery import Job

from cosmos_async.testing import ApiError, ChildJob, EngineJob, FakeGoogle, JobError, JobResult
from cosmos_async.testing.catalog import MemoryCatalog

from .conftest import Api

Client = Callable[[str], Job]


def query(job_id: str, sql: str = "select 1", location: str = "US", **configuration: Any) -> dict[str, Any]:
    """Return the body of jobs.insert."""
    return {
        "jobReference": {"projectId": "p", "jobId": job_id, "location": location},
        "configuration": {"query": {"query": sql, "useLegacySql": False}, **configuration},
    }


async def test_a_job_goes_from_pending_over_running_to_done(google: FakeGoogle, job: Client) -> None:
    answer = google.on_query("select 1", held=True)
    client = job("a")

    inserted = await client.insert(query("a"))
    await answer.started()
    running = await client.get_job()
    answer.release()
    results = await client.get_query_results(params={"maxResults": 0})
    done = await client.get_job()

    states = [resource["status"]["state"] for resource in (inserted, running, done)]
    assert states == ["PENDING", "RUNNING", "DONE"]
    assert results["jobComplete"] is True
    assert set(inserted["statistics"]) == {"creationTime"}
    assert "endTime" not in running["statistics"]
    assert done["statistics"]["query"]["statementType"] == "SELECT"


async def test_a_job_is_echoed_as_it_was_asked_for(google: FakeGoogle, job: Client) -> None:
    inserted = await job("a").insert(query("a", labels={"dbt_invocation_id": "x-1"}, jobTimeoutMs="60000"))

    assert inserted["configuration"]["labels"] == {"dbt_invocation_id": "x-1"}
    assert inserted["configuration"]["jobType"] == "QUERY"
    assert inserted["configuration"]["query"]["query"] == "select 1"
    assert inserted["jobReference"] == {"projectId": "p", "jobId": "a", "location": "US"}
    assert inserted["user_email"] == google.email


async def test_an_id_is_taken_once(google: FakeGoogle, job: Client) -> None:
    await job("a").insert(query("a"))

    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await job("a").insert(query("a", "select 2"))

    assert refused.value.status == 409
    assert "Already Exists: Job p:US.a" in refused.value.message
    assert '"duplicate"' in refused.value.message
    assert [job.spec.sql for job in google.inserted_jobs] == ["select 1"]


async def test_an_id_is_taken_even_by_a_job_that_failed(google: FakeGoogle, api: Api) -> None:
    google.on_query("broken", error=("invalidQuery", "Unrecognized name: amout at [7:9]"))
    await api("POST", "/jobs", json=query("a", "select broken"))
    await google.job("a").done.wait()

    status, _ = await api("POST", "/jobs", json=query("a", "select broken"))

    assert status == 409


@pytest.mark.parametrize("job_id", ["a b", "a.b", "ä", "x" * 1025])
async def test_an_id_of_other_characters_is_refused(api: Api, job_id: str) -> None:
    status, answer = await api("POST", "/jobs", json=query(job_id))

    assert (status, answer["error"]["errors"][0]["reason"]) == (400, "invalid")


@pytest.mark.parametrize("labels", [{"Key": "v"}, {"1k": "v"}, {"k": "V"}, {"k": "x" * 64}, {"": "v"}])
async def test_labels_that_bigquery_refuses_are_refused(api: Api, labels: dict[str, str]) -> None:
    status, _ = await api("POST", "/jobs", json=query("a", labels=labels))

    assert status == 400


async def test_a_job_outside_the_multi_regions_is_found_with_its_location_only(api: Api) -> None:
    await api("POST", "/jobs", json=query("a", location="europe-west1"))

    assert (await api("GET", "/jobs/a"))[0] == 404
    assert (await api("GET", "/jobs/a?location=US"))[0] == 404
    assert (await api("GET", "/jobs/a?location=EUROPE-WEST1"))[0] == 200


async def test_a_job_without_a_location_runs_where_its_dataset_is(google: FakeGoogle, api: Api) -> None:
    google.add_dataset("p", "marts", location="EU")
    body = query("a")
    del body["jobReference"]["location"]
    body["configuration"]["query"]["defaultDataset"] = {"projectId": "p", "datasetId": "marts"}

    _, inserted = await api("POST", "/jobs", json=body)

    assert inserted["jobReference"]["location"] == "EU"


async def test_a_long_poll_ends_with_its_time_while_the_job_goes_on(google: FakeGoogle, job: Client) -> None:
    answer = google.on_query("select 1", held=True)
    client = job("a")
    await client.insert(query("a"))

    results = await client.get_query_results(params={"timeoutMs": 10})

    assert results["jobComplete"] is False
    assert "rows" not in results
    answer.release()


async def test_a_long_poll_ends_with_the_job(google: FakeGoogle, job: Client) -> None:
    answer = google.on_query("select 1", held=True, rows=[{"n": 1}])
    client = job("a")
    await client.insert(query("a"))
    poll = asyncio.create_task(client.get_query_results(params={"timeoutMs": 60_000}))
    await google.requests.arrived("jobs.getQueryResults")
    assert not poll.done()

    answer.release()
    results = await poll

    assert results["rows"] == [{"f": [{"v": "1"}]}]
    assert results["schema"]["fields"][0]["name"] == "n"


async def test_a_failed_job_answers_a_poll_with_its_error(google: FakeGoogle, api: Api) -> None:
    google.on_query("broken", error=JobError("invalidQuery", "Unrecognized name: amout at [7:9]", "query"))
    await api("POST", "/jobs", json=query("a", "select broken"))

    status, answer = await api("GET", "/queries/a")
    _, resource = await api("GET", "/jobs/a")

    assert status == 400
    assert answer["error"]["code"] == 400
    assert answer["error"]["status"] == "INVALID_ARGUMENT"
    assert answer["error"]["errors"][0]["reason"] == "invalidQuery"
    assert resource["status"] == {
        "state": "DONE",
        "errorResult": {
            "reason": "invalidQuery",
            "message": "Unrecognized name: amout at [7:9]",
            "location": "query",
        },
        "errors": [
            {"reason": "invalidQuery", "message": "Unrecognized name: amout at [7:9]", "location": "query"}
        ],
    }


async def test_a_cancelled_job_is_done_as_stopped_and_had_no_effect(google: FakeGoogle, job: Client) -> None:
    answer = google.on_query("create table", held=True)
    client = job("a")
    await client.insert(query("a", "create table shop.orders as select 1 as n"))
    await answer.started()

    cancelled = await client.cancel()
    await google.job("a").done.wait()

    assert cancelled["kind"] == "bigquery#jobCancelResponse"
    assert google.job("a").error == JobError(
        "stopped", "Job execution was cancelled: User requested cancellation"
    )
    assert google.catalog.tables() == []


async def test_cancelling_a_finished_job_changes_nothing(google: FakeGoogle, job: Client) -> None:
    client = job("a")
    await client.insert(query("a"))
    await google.job("a").done.wait()

    answer = await client.cancel()

    assert answer["job"]["status"] == {"state": "DONE"}
    assert google.job("a").cancels == 0


async def test_a_job_that_takes_longer_than_it_may_is_stopped(google: FakeGoogle, job: Client) -> None:
    google.on_query("select 1", held=True)
    await job("a").insert(query("a", jobTimeoutMs="5"))

    await google.job("a").done.wait()

    error = google.job("a").error
    assert error is not None
    assert (error.reason, "timed out" in error.message) == ("stopped", True)
    assert google.job("a").cancels == 0


async def test_a_query_above_its_limit_of_bytes_fails(google: FakeGoogle, api: Api) -> None:
    google.on_query("select 1", bytes_billed=11_000_000)
    body = query("a")
    body["configuration"]["query"]["maximumBytesBilled"] = "10000000"
    await api("POST", "/jobs", json=body)
    await google.job("a").done.wait()

    assert google.job("a").error == JobError(
        "bytesBilledLimitExceeded",
        "Query exceeded limit for bytes billed: 10000000. 11000000 or higher required.",
    )


async def test_jobs_beyond_the_slots_are_pending() -> None:
    async with FakeGoogle(project_id="p", job_slots=1) as google, aiohttp.ClientSession() as session:
        api = Api(google, session)
        answer = google.on_query("", held=True)
        await api("POST", "/jobs", json=query("a"))
        await api("POST", "/jobs", json=query("b"))
        await answer.started()

        _, pending = await api("GET", "/jobs?stateFilter=pending")
        answer.release()
        await google.job("b").done.wait()

        assert [entry["jobReference"]["jobId"] for entry in pending["jobs"]] == ["b"]


async def test_the_list_comes_in_pages_newest_first(google: FakeGoogle, api: Api) -> None:
    for number in range(5):
        await api("POST", "/jobs", json=query(f"j{number}"))
    found: list[str] = []
    token = ""
    pages = 0

    while pages == 0 or token:
        _, page = await api("GET", f"/jobs?maxResults=2&pageToken={token}")
        found += [entry["jobReference"]["jobId"] for entry in page["jobs"]]
        token = page.get("nextPageToken", "")
        pages += 1

    assert (found, pages) == (["j4", "j3", "j2", "j1", "j0"], 3)


async def test_the_list_is_filtered_by_state_time_and_owner(google: FakeGoogle, api: Api) -> None:
    held = google.on_query("held", held=True)
    await api("POST", "/jobs", json=query("done"))
    await api("POST", "/jobs", json=query("running", "select held"))
    await held.started()
    other = google.tokens.issue("other@p.iam.gserviceaccount.com")
    other_header = {"Authorization": f"Bearer {other}"}
    later = int(google.job("running").created * 1000) + 60_000

    async def listed(parameters: str, **kwargs: Any) -> list[str]:
        _, answer = await api("GET", f"/jobs?{parameters}", **kwargs)
        return [entry["jobReference"]["jobId"] for entry in answer.get("jobs", [])]

    assert await listed("stateFilter=running") == ["running"]
    assert await listed("stateFilter=running&stateFilter=done&stateFilter=pending") == ["running", "done"]
    assert await listed(f"minCreationTime={later}") == []
    assert await listed("", headers=other_header) == []
    assert await listed("allUsers=true", headers=other_header) == ["running", "done"]
    held.release()


async def test_only_the_full_projection_tells_the_configuration(api: Api) -> None:
    await api("POST", "/jobs", json=query("a"))

    _, minimal = await api("GET", "/jobs")
    _, full = await api("GET", "/jobs?projection=full")

    assert "configuration" not in minimal["jobs"][0]
    assert minimal["jobs"][0]["state"]
    assert full["jobs"][0]["configuration"]["query"]["query"] == "select 1"


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("jobs/jobReference/jobId", {"jobs": [{"jobReference": {"jobId": "a"}}]}),
        ("kind,jobs(status(state),jobReference/jobId)", {"kind": "bigquery#jobList", "jobs": [{"status": {"state": "DONE"}, "jobReference": {"jobId": "a"}}]}),
        ("nextPageToken", {}),
    ],
)  # fmt: skip
async def test_only_the_fields_asked_for_are_sent(
    google: FakeGoogle, api: Api, mask: str, expected: dict[str, Any]
) -> None:
    await api("POST", "/jobs", json=query("a"))
    await google.job("a").done.wait()

    assert await api("GET", "/jobs", params={"fields": mask}) == (200, expected)


@pytest.mark.parametrize("mask", ["jobs(", "jobs)", ","])
async def test_fields_that_make_no_sense_are_refused(api: Api, mask: str) -> None:
    assert (await api("GET", "/jobs", params={"fields": mask}))[0] == 400


async def test_rows_come_in_pages(google: FakeGoogle, api: Api) -> None:
    google.on_query("select 1", rows=[{"n": number} for number in range(5)])
    await api("POST", "/jobs", json=query("a"))

    _, first = await api("GET", "/queries/a?maxResults=3")
    _, second = await api("GET", f"/queries/a?maxResults=3&pageToken={first['pageToken']}")
    _, none = await api("GET", "/queries/a?maxResults=0")

    assert [row["f"][0]["v"] for row in first["rows"] + second["rows"]] == ["0", "1", "2", "3", "4"]
    assert "pageToken" not in second
    assert (none["totalRows"], "rows" in none) == ("5", False)


async def test_a_dry_run_tells_the_schema_and_makes_no_job(google: FakeGoogle, api: Api) -> None:
    google.on_query("from orders", schema=[{"name": "id", "type": "INTEGER"}], bytes_processed=7)

    status, answer = await api("POST", "/jobs", json=query("a", "select id from orders", dryRun=True))

    assert status == 200
    assert answer["statistics"]["query"]["schema"] == {"fields": [{"name": "id", "type": "INTEGER"}]}
    assert answer["statistics"]["totalBytesProcessed"] == "7"
    assert "jobId" not in answer["jobReference"]
    assert (google.inserted_jobs, google.mutations) == ([], [])


async def test_a_dry_run_of_a_wrong_query_is_refused(google: FakeGoogle, api: Api) -> None:
    google.on_query("broken", error=("invalidQuery", "Syntax error: Unexpected end of script at [1:7]"))

    status, answer = await api("POST", "/jobs", json=query("a", "select broken", dryRun=True))

    assert (status, answer["error"]["message"]) == (400, "Syntax error: Unexpected end of script at [1:7]")


async def test_the_short_way_of_asking_waits_and_answers_with_rows(google: FakeGoogle, api: Api) -> None:
    google.on_query("select 1", rows=[{"n": 1}])
    body = {"query": "select 1", "useLegacySql": False, "requestId": "r1"}

    _, first = await api("POST", "/queries", json=body)
    _, again = await api("POST", "/queries", json=body)

    assert first["rows"] == [{"f": [{"v": "1"}]}]
    assert first["jobReference"] == again["jobReference"]
    assert len(google.inserted_jobs) == 1


async def test_statistics_tell_what_was_read_billed_and_changed(google: FakeGoogle, api: Api) -> None:
    google.add_table("p", "shop", "orders")
    google.on_query("merge", affected_rows=3, bytes_processed=10, bytes_billed=20, slot_ms=30)
    await api(
        "POST", "/jobs", json=query("a", "merge into p.shop.orders using s on true when matched then delete")
    )
    await google.job("a").done.wait()

    statistics = google.job("a").statistics()

    assert (statistics["totalBytesProcessed"], statistics["totalSlotMs"]) == ("10", "30")
    assert statistics["query"] == {
        "statementType": "MERGE",
        "totalBytesProcessed": "10",
        "totalBytesBilled": "20",
        "totalSlotMs": "30",
        "cacheHit": False,
        "numDmlAffectedRows": "3",
        "dmlStats": {"insertedRowCount": "0", "updatedRowCount": "3", "deletedRowCount": "0"},
    }


async def test_the_statements_of_a_script_are_its_children(google: FakeGoogle, api: Api) -> None:
    child = ChildJob(
        {"query": {"query": "select 1"}}, JobResult(statistics={"query": {"statementType": "SELECT"}})
    )
    google.on_query("begin", children=[child, child])
    await api("POST", "/jobs", json=query("a", "begin select 1; select 1; end"))
    await google.job("a").done.wait()

    _, parent = await api("GET", "/jobs/a")
    _, children = await api("GET", "/jobs?parentJobId=a&projection=full")
    _, top = await api("GET", "/jobs")

    assert parent["statistics"]["numChildJobs"] == "2"
    assert parent["statistics"]["query"]["statementType"] == "SCRIPT"
    assert [entry["statistics"]["parentJobId"] for entry in children["jobs"]] == ["a", "a"]
    assert [entry["jobReference"]["jobId"] for entry in top["jobs"]] == ["a"]


async def test_answers_may_be_limited_to_labels_and_to_a_number_of_jobs(google: FakeGoogle, api: Api) -> None:
    google.on_query("", labels={"node": "orders"}, error=("backendError", "Retrying may help"), times=1)
    for job_id, node in (("other", "customers"), ("first", "orders"), ("second", "orders")):
        await api("POST", "/jobs", json=query(job_id, labels={"node": node}))
        await google.job(job_id).done.wait()

    errors = {job.job_id: job.error.reason for job in google.inserted_jobs if job.error}

    assert errors == {"first": "backendError"}


class BrokenEngine:
    """An engine with a bug, and one that refuses."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def run(self, job: EngineJob) -> JobResult:
        """Fail."""
        raise self._error

    async def dry_run(self, job: EngineJob) -> JobResult:
        """Fail."""
        raise self._error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ApiError(404, "notFound", "Not found: Table p:d.t"), "notFound"),
        (ZeroDivisionError(), "internalError"),
    ],
)
async def test_what_an_engine_raises_ends_the_job(error: Exception, reason: str) -> None:
    google = FakeGoogle(project_id="p", engine=BrokenEngine(error), catalog=MemoryCatalog())
    async with google, aiohttp.ClientSession() as session:
        await Api(google, session)("POST", "/jobs", json=query("a"))
        await google.job("a").done.wait()

    ended = google.job("a").error
    assert ended is not None
    assert ended.reason == reason


async def test_a_thousand_jobs_run_beside_each_other(google: FakeGoogle, api: Api) -> None:
    answer = google.on_query("", held=True)
    await asyncio.gather(*(api("POST", "/jobs", json=query(f"j{number}")) for number in range(1000)))
    await answer.started(1000)

    _, running = await api("GET", "/jobs?stateFilter=running&maxResults=1000")
    answer.release()
    await asyncio.gather(*(job.done.wait() for job in google.inserted_jobs))

    assert len(running["jobs"]) == 1000
