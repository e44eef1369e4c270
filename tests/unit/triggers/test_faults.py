"""Everything that goes wrong between us and Google: what passes is waited out, what stays is told, nobody is disturbed."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from cosmos_async.exceptions import ApiError, Unavailable
from cosmos_async.testing import FakeGoogle, Harm
from cosmos_async.triggers.event_loop.clock import Clock
from cosmos_async.triggers.google import bigquery as bigquery_module
from cosmos_async.triggers.google.bigquery import BigQuery, JobRef
from cosmos_async.triggers.google.rest import Rest
from cosmos_async.triggers.google.session import shared_session
from cosmos_async.triggers.storage import folders
from tests.unit.triggers.bench import SOON, Bench, FakeClock, cancelled, event_of, job, model, target_state
from tests.unit.triggers.ends import is_failure, is_success

Harming = Callable[[FakeGoogle, str], Any]

#: What passes; every one hits one call twice.
PASSING: dict[str, Harming] = {
    "408": lambda google, call: google.fail(call, 408, times=2),
    "429": lambda google, call: google.fail(call, 429, times=2),
    "429 with a pause": lambda google, call: google.fail(call, 429, retry_after=9, times=2),
    "500": lambda google, call: google.fail(call, 500, times=2),
    "502": lambda google, call: google.fail(call, 502, times=2),
    "503": lambda google, call: google.fail(call, 503, times=2),
    "504": lambda google, call: google.fail(call, 504, times=2),
    "403 rateLimitExceeded": lambda google, call: google.fail(call, 403, reason="rateLimitExceeded", times=2),
    "reset": lambda google, call: google.reset(call, times=2),
    "lost reply": lambda google, call: google.lose_reply(call, times=2),
    "truncated body": lambda google, call: google.truncate(call, times=2),
    "half an answer": lambda google, call: google.harm(call, Harm.GARBLED, times=2),
    "a proxy's page": lambda google, call: google.harm(call, Harm.PAGE, times=2),
}

#: Every kind of call that a node makes.
CALLS = [
    "token",
    "objects.get",
    "objects.insert",
    "tables.get",
    "tables.delete",
    "jobs.insert",
    "jobs.get",
    "jobs.getQueryResults",
]


#: A token endpoint has no such word; and what arrives damaged twice is taken for somebody's hand: see below.
NEVER = {
    ("403 rateLimitExceeded", "token"),
    ("half an answer", "objects.get"),
    ("a proxy's page", "objects.get"),
}

#: Each fault with every second call, so that each call meets half of the faults.
PASSING_PAIRS = [
    (fault, call)
    for row, fault in enumerate(PASSING)
    for column, call in enumerate(CALLS)
    if (row + column) % 2 == 0 and (fault, call) not in NEVER
]


def steps() -> tuple[Any, ...]:
    """Return a node that makes every kind of call."""
    from cosmos_async.plan.model import CallOperation

    return (
        target_state("orders", "VIEW"),
        CallOperation("drop", "DELETE", "projects/p/datasets/shop/tables/orders", missing_ok=True),
        job("create table `p`.`shop`.`orders` as select 1"),
    )


@pytest.mark.parametrize(("fault", "call"), PASSING_PAIRS)
async def test_what_passes_is_waited_out_wherever_it_happens(
    bench: Bench, clock: FakeClock, fault: str, call: str
) -> None:
    """The task succeeds, and its statement ran once."""
    bench.google.add_table("p", "shop", "orders", type="VIEW", view={"query": "select 1"})
    bench.google.on_query("create table", seconds=0.01)
    await bench.plan(model("orders", *steps()))
    PASSING[fault](bench.google, call)

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 1
    assert bench.outcome().status.value == "success"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "invalid"),
        (403, "accessDenied"),
        (403, "quotaExceeded"),
        (403, "billingNotEnabled"),
        (404, "notFound"),
        (412, "conditionNotMet"),
    ],
)
@pytest.mark.parametrize("call", ["jobs.insert", "tables.get", "objects.get", "objects.insert"])
async def test_what_stays_is_told_at_once(
    bench: Bench, clock: FakeClock, call: str, status: int, reason: str
) -> None:
    """In Google's words, without a second attempt; BigQuery says of a used-up quota that some seconds do not help."""
    await bench.plan(model("orders", job("create or replace table `p`.`shop`.`orders` as select 1")))
    if call == "tables.get":
        await bench.plan(model("orders"))
    fault = bench.google.fail(call, status, reason=reason, message="Because of this.", times=None)

    event = await bench.run(fails_in_triggerer=False)

    if (call, status) == ("tables.get", 404):
        assert is_success(event)  # an absent table is an answer
        return
    if (call, status) == ("objects.get", 404):
        assert event.payload["status"] == "late"  # the plan was deleted: a worker plans the task alone
        return
    assert event.payload["status"] == "failed", bench.log.text
    assert clock.slept == []
    assert fault.hits == 1
    # A missing plan or bucket has words of its own, and so has an outcome that is there and cannot be read.
    if status != 404 and (call, status) != ("objects.insert", 412):
        assert "Because of this." in bench.log.text


async def test_a_host_whose_name_is_not_found_for_a_while(
    bench: Bench, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS fails now and then; nothing is lost by it."""
    loop = asyncio.get_running_loop()
    asked: list[str] = []

    async def look_up(host: str, port: Any, **kwargs: Any) -> Any:
        asked.append(host)
        if len(asked) <= 3:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port)))]

    monkeypatch.setattr(loop, "getaddrinfo", look_up, raising=False)
    await bench.plan(model("orders"))
    port = bench.google.endpoint.rpartition(":")[2]
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT", f"http://bigquery.example:{port}")

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert asked[:3] == ["bigquery.example"] * 3


async def test_a_host_that_is_never_found_is_told(
    bench: Bench, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the budget, with what was attempted; the node's outcome says so as well."""

    async def look_up(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    await bench.plan(model("orders"))
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT", "http://bigquery.example:1")
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up, raising=False)

    event = await bench.run(fails_in_triggerer=False)

    assert event.payload["status"] == "failed"
    assert "reading table p.shop.orders: no answer from Google" in event.payload["message"]
    assert "Tried 6 times" in event.payload["message"]


@pytest.mark.parametrize(
    ("call", "module"),
    [("jobs.get", bigquery_module), ("tables.get", bigquery_module), ("objects.get", folders)],
)
async def test_a_body_that_takes_too_long_is_asked_for_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, clock: FakeClock, call: str, module: Any
) -> None:
    """A connection that trickles must not hold a task for ever."""
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    monkeypatch.setitem(Rest.call.__kwdefaults__, "timeout", 0.2)
    bench.google.on_query("create", seconds=0.01)
    await bench.plan(model("orders"))
    slow = bench.google.harm(call, Harm.SLOW, seconds=30.0, times=1)

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert slow.hits == 1


# -- tokens and clocks ------------------------------------------------------------------------------------------------


async def test_a_token_that_expired_is_renewed_in_the_middle(bench: Bench) -> None:
    """Google's clock decides, not ours; the job is not submitted twice."""
    held = bench.google.on_query("create or replace", held=True)
    await bench.plan(model("orders"))
    task = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    await bench.google.requests.arrived("jobs.getQueryResults")
    server = bench.google.tokens
    ahead = server._clock
    server._clock = lambda: ahead() + 7200

    held.release()
    event = await task

    assert is_success(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 1


async def test_a_token_that_was_revoked_is_renewed_in_the_middle(bench: Bench) -> None:
    """Somebody rotated something; waiting goes on."""
    held = bench.google.on_query("create or replace", held=True)
    await bench.plan(model("orders"))
    task = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    await bench.google.requests.arrived("jobs.getQueryResults")
    bench.google.tokens.revoke_all()

    held.release()
    event = await task

    assert is_success(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 1


async def test_a_key_that_was_revoked_ends_the_task_and_its_job(bench: Bench) -> None:
    """There is no way to watch it any more, and none to cancel it: the log says that it may still be running."""
    held = bench.google.on_query("create or replace", held=True)
    await bench.plan(model("orders"))
    task = asyncio.create_task(event_of(bench.trigger(fails_in_triggerer=False)))
    await held.started()
    await bench.google.requests.arrived("jobs.getQueryResults")
    bench.google.tokens.deny("invalid_grant", "Invalid JWT Signature.")
    bench.google.tokens.revoke_all()

    held.release()
    event = await task

    assert event.payload["status"] == "failed"
    assert "Invalid JWT Signature" in bench.log.text


class SkewedClock(Clock):
    """A machine whose wall clock is wrong."""

    def __init__(self, hours: float) -> None:
        self._off = timedelta(hours=hours)

    def utc(self) -> datetime:
        return super().utc() + self._off


@pytest.mark.parametrize("hours", [-3, 3])
async def test_a_wrong_wall_clock_loses_no_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    """What was created when is BigQuery's to say; our own clock measures only how long something takes."""
    skewed = SkewedClock(hours)
    monkeypatch.setitem(shared_session.__wrapped__.__kwdefaults__, "clock", skewed)  # type: ignore[attr-defined]
    bench.google.add_table("p", "shop", "raw", rows=[{"id": 1}])
    table = {"projectId": "p", "datasetId": "shop"}
    copy = {"sourceTable": {**table, "tableId": "raw"}, "destinationTable": {**table, "tableId": "orders"}}
    held = bench.google.on_query(lambda made: made.kind == "copy", held=True)
    await bench.plan(model("orders", job("", configuration={"copy": copy})))
    task = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    # A list that leaves the job out would end the waiting too early, one after the other, without end.
    await bench.google.requests.arrived("jobs.list", count=2)

    held.release()
    event = await task

    assert is_success(event), bench.log.text
    assert len(bench.google.requests.of("jobs.get")) <= 4


async def test_google_says_it_when_the_clock_is_too_wrong_for_a_token(bench: Bench, clock: FakeClock) -> None:
    """A signed assertion carries our time; Google's sentence about it is the way out."""
    await bench.plan(model("orders"))
    said = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
    bench.google.tokens.deny("invalid_grant", said)

    event = await bench.run(fails_in_triggerer=False)

    assert said in event.payload["message"]


# -- the store --------------------------------------------------------------------------------------------------------


async def test_an_object_that_arrives_damaged_once_is_read_again(bench: Bench, clock: FakeClock) -> None:
    """Only what is damaged twice was damaged by somebody."""
    await bench.plan(model("orders"))
    for prefix in ("index", "nodes"):
        bench.google.harm(
            "objects.get", Harm.GARBLED, times=1, when=lambda request, prefix=prefix: prefix in request.path
        )

    event = await bench.run()

    assert is_success(event), bench.log.text


async def test_a_store_that_is_down_when_the_outcome_is_written_does_not_run_the_job_again(
    bench: Bench, clock: FakeClock
) -> None:
    """The task fails, for its outcome is nowhere; its restart adopts the job and writes it."""
    await bench.plan(model("orders"))
    down = bench.google.fail("objects.insert", 503, times=None)
    event = await bench.run()
    assert is_failure(event)
    down.release()

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 1
    assert bench.outcome().status.value == "success"


async def test_an_upload_is_read_again_when_it_arrives_damaged(bench: Bench, clock: FakeClock) -> None:
    """A seed's bytes come the same way."""
    data = b"id\n1\n2\n"
    digest = hashlib.sha256(data).hexdigest()
    table = {"projectId": "p", "datasetId": "shop", "tableId": "raw"}
    name = f"plan/uploads/{digest}"
    load = {"load": {"destinationTable": table, "sourceFormat": "CSV"}}
    step = job("", purpose="load", configuration=load, upload=name, upload_digest=digest)
    await bench.plan(model("raw", step, unique_id="seed.shop.raw", resource_type="seed"))
    bucket = bench.google.objects.find("plans")
    bench.google.objects.write(bucket, f"shop/dag/run1/life/{name}", data, {}, {})
    bench.google.harm("objects.get", Harm.GARBLED, times=1, when=lambda request: "uploads" in request.path)

    event = await bench.run("seed.shop.raw")

    assert is_success(event), bench.log.text
    assert bench.google.inserted_jobs[0].spec.data == data


# -- jobs -------------------------------------------------------------------------------------------------------------

#: How BigQuery says that it was its own doing.
ITS_OWN = [
    ("backendError", "Please try again later."),
    ("internalError", "An internal error occurred and the request could not be completed."),
    ("jobBackendError", "Please try again."),
    ("jobInternalError", "Please try again."),
    ("rateLimitExceeded", "Exceeded rate limits: too many table update operations for this table."),
    ("jobRateLimitExceeded", "Exceeded rate limits."),
    ("tableUnavailable", "The table is being moved."),
    ("invalidQuery", "Could not serialize access to table p:shop.orders due to concurrent update"),
]
#: What a person has to mend, or wanted.
THEIRS = [
    ("invalidQuery", "Unrecognized name: amout at [3:5]"),
    ("notFound", "Not found: Table p:shop.gone"),
    ("accessDenied", "Access Denied: Table p:shop.secret"),
    ("resourcesExceeded", "Resources exceeded during query execution"),
    ("quotaExceeded", "Quota exceeded: Your project exceeded quota for imports per table"),
    ("bytesBilledLimitExceeded", "Query exceeded limit for bytes billed"),
    ("responseTooLarge", "Response too large to return"),
    ("duplicate", "Already Exists: Table p:shop.orders"),
    ("timeout", "Operation timed out after 6.0 hours"),
]


@pytest.mark.parametrize(("reason", "message"), ITS_OWN)
async def test_a_job_that_bigquery_spoiled_is_repeated_within_a_budget(
    bench: Bench, clock: FakeClock, reason: str, message: str
) -> None:
    """Five jobs with pauses that grow, then the task fails with BigQuery's message and Airflow's retries decide."""
    bench.google.on_query("create or replace", error=(reason, message))
    await bench.plan(model("orders"))

    event = await bench.run(fails_in_triggerer=False)

    assert event.payload["status"] == "failed"
    assert message in event.payload["message"]
    ids = [made.job_id for made in bench.google.inserted_jobs]
    assert len(set(ids)) == len(ids) == 5
    assert clock.slept == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(("reason", "message"), THEIRS)
async def test_a_person_s_error_is_told_at_once(
    bench: Bench, clock: FakeClock, reason: str, message: str
) -> None:
    """No second job, no pause."""
    bench.google.on_query("create or replace", error=(reason, message))
    await bench.plan(model("orders"))

    event = await bench.run(fails_in_triggerer=False)

    assert message in event.payload["message"]
    assert len(bench.google.inserted_jobs) == 1
    assert clock.slept == []


@pytest.mark.parametrize("statement_type", ["SCRIPT", "CALL"])
async def test_what_may_have_been_done_by_half_is_not_repeated(
    bench: Bench, clock: FakeClock, statement_type: str
) -> None:
    """A script's first statement, or a procedure's, stays when its second fails."""
    bench.google.on_query(
        "begin",
        error=("backendError", "Please try again."),
        statistics={"query": {"statementType": statement_type}},
    )
    await bench.plan(model("orders", job("begin insert into a values (1); select 2; end")))

    event = await bench.run()

    assert is_failure(event)
    assert len(bench.google.inserted_jobs) == 1


# -- nobody disturbs another ------------------------------------------------------------------------------------------


async def two_at(bench: Bench, call: str) -> tuple[asyncio.Task[Any], asyncio.Task[Any], Any]:
    """Have two tasks wait for the same *call*; return them and what holds the call."""
    held = bench.google.hold(call, times=1)
    first = asyncio.create_task(event_of(bench.trigger("model.shop.a")))
    await bench.google.requests.arrived(call)
    second = asyncio.create_task(event_of(bench.trigger("model.shop.b")))
    for _ in range(50):
        await asyncio.sleep(0)
    return first, second, held


@pytest.mark.parametrize("call", ["token", "objects.get", "jobs.insert"])
async def test_who_is_cancelled_while_fetching_for_all_takes_nobody_along(bench: Bench, call: str) -> None:
    """The token, the index, a job that the run needs once: fetched once, wanted by many."""
    create = job("create schema if not exists `p`.`shop`", main=False, shared="create_schema:p.shop")
    await bench.plan(
        *(
            model(name, create, job(f"create or replace table `p`.`shop`.`{name}` as select 1"))
            for name in "ab"
        )
    )
    first, second, held = await two_at(bench, call)

    await cancelled(first, "__airflow_user_action__")
    held.release()
    event = await asyncio.wait_for(second, 20)

    assert is_success(event), bench.log.text
    made = [made.spec.sql for made in bench.google.inserted_jobs]
    assert made.count("create schema if not exists `p`.`shop`") == 1


async def test_who_has_little_time_gives_what_all_need_its_full_time(bench: Bench) -> None:
    """The first task's execution_timeout ends that task, not the job that creates everybody's dataset."""
    create = job("create schema if not exists `p`.`shop`", main=False, shared="create_schema:p.shop")
    await bench.plan(
        *(
            model(name, create, job(f"create or replace table `p`.`shop`.`{name}` as select 1"))
            for name in "ab"
        )
    )
    held = bench.google.on_query("create schema", held=True)
    hurried = asyncio.create_task(event_of(bench.trigger("model.shop.a", seconds=SOON)))
    await held.started()
    patient = asyncio.create_task(event_of(bench.trigger("model.shop.b")))
    assert is_failure(await hurried)

    held.release()

    assert is_success(await patient), bench.log.text
    assert bench.google.requests.of("jobs.cancel") == []


async def test_one_job_s_trouble_is_not_its_neighbour_s(bench: Bench, clock: FakeClock) -> None:
    """The same session, the same waiter: an error of one call ends one task."""
    bench.google.on_query("create or replace", seconds=0.05)
    await bench.plan(model("a"), model("b"))
    bench.google.fail("jobs.insert", 400, times=None, when=lambda request: b"`a`" in request.body)

    bad, good = await asyncio.gather(bench.run("model.shop.a"), bench.run("model.shop.b"))

    assert is_failure(bad)
    assert is_success(good), bench.log.text


async def test_a_dead_list_does_not_end_who_is_polled(bench: Bench, clock: FakeClock) -> None:
    """Copies are watched by a list, queries by a poll of their own each."""
    from cosmos_async.triggers.jobs.waiter import Waiter

    bench.google.fail("jobs.list", 503, times=None)
    held = bench.google.on_query("select", held=True)
    async with shared_session(bench.identity, clock=clock) as session:
        api = BigQuery(session, bench.google.bigquery_endpoint)
        waiter = Waiter(api, long_polls=1)
        resources = []
        for number in range(2):
            body = {
                "jobReference": {"projectId": "p", "jobId": f"job{number}", "location": "US"},
                "configuration": {"query": {"query": "select 1"}},
            }
            resources.append(await api.insert_job("p", body))
        polled = asyncio.create_task(waiter.wait(resources[0]))
        await bench.google.requests.arrived("jobs.getQueryResults")
        listed = asyncio.create_task(waiter.wait(resources[1]))
        with pytest.raises(Unavailable):
            await listed
        held.release()
        assert (await polled)["status"]["state"] == "DONE"
        assert isinstance(await api.get_job(JobRef("p", "job1", "US")), dict)
        await waiter.aclose()


async def test_an_account_that_gets_no_token_is_not_told_to_ask_for_a_bucket(bench: Bench) -> None:
    """A refused impersonation is no missing role on the bucket, though both are 403."""
    await bench.plan(model("orders"))
    bench.google.tokens.deny(
        "access_denied", "Permission iam.serviceAccounts.getAccessToken denied", status=403
    )

    event = await bench.run(fails_in_triggerer=False)

    assert "gives no token" in event.payload["message"]
    assert "objectAdmin" not in event.payload["message"]


def test_an_unreadable_answer_is_no_answer() -> None:
    """And its words are not shown: who knows whose page it is."""
    import json

    import aiohttp

    from cosmos_async.triggers.google.errors import TRANSPORT_ERRORS, api_error

    with pytest.raises(json.JSONDecodeError) as raised:
        json.loads("<html>secret</html>")
    page = aiohttp.ContentTypeError(None, (), status=200, message="unexpected mimetype")  # type: ignore[arg-type]

    told = [api_error(error, what="reading", who="me") for error in (raised.value, page)]

    assert isinstance(raised.value, TRANSPORT_ERRORS)
    assert [str(error) for error in told] == ["reading: no answer from Google (what came is not JSON)."] * 2
    assert all(isinstance(error, ApiError) and error.reason == "noAnswer" for error in told)
