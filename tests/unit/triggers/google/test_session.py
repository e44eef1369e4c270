"""One session and one token for many tasks; retries within a budget; errors for people."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.exceptions import ApiError, AuthError, ProfileError, Unavailable
from cosmos_async.testing import FakeGoogle
from cosmos_async.testing.google import IMPERSONATION
from cosmos_async.triggers.google.bigquery import BigQuery, JobRef
from cosmos_async.triggers.google.retry import PROMPT
from cosmos_async.triggers.google.session import Session, shared_session
from cosmos_async.triggers.google.token import SCOPES
from tests.unit.triggers.bench import FakeClock, cancelled


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock for sessions that are given one."""
    return FakeClock()


def bigquery(session: Session, google: FakeGoogle) -> BigQuery:
    """Return the API of the stand-in."""
    return BigQuery(session, google.bigquery_endpoint)


class ProfilesFile:
    """The profiles.yml of an identity, to be spoiled and mended."""

    def __init__(self, identity: dict[str, Any]) -> None:
        self._path = Path(identity["profiles_yml"])
        self._text = self._path.read_text(encoding="utf-8")

    def clear(self) -> None:
        """Leave nothing in it."""
        self._path.write_text("{}", encoding="utf-8")

    def restore(self) -> None:
        """Put everything back."""
        self._path.write_text(self._text, encoding="utf-8")


# -- sharing ----------------------------------------------------------------------------------------------------------


async def test_one_session_and_one_token_serve_everybody(
    google: FakeGoogle, identity: dict[str, Any]
) -> None:
    """A thousand tasks ask for one token; the last one closes the session."""

    async def use() -> Session:
        async with shared_session(dict(identity)) as session:
            await bigquery(session, google).get_table("p", "shop", "orders")
            return session

    sessions = await asyncio.gather(*(use() for _ in range(50)))

    assert len(set(map(id, sessions))) == 1
    assert google.tokens.requests == 1
    with pytest.raises(RuntimeError, match="not open"):
        _ = sessions[0].http


async def test_other_identities_have_sessions_of_their_own(
    google: FakeGoogle, identity: dict[str, Any]
) -> None:
    """A token never serves somebody else."""
    other = {**identity, "impersonation_chain": ["somebody@p.iam.gserviceaccount.com"]}

    async with shared_session(identity) as one, shared_session(other) as two:
        assert one is not two
        assert two.who.startswith("somebody@p.iam.gserviceaccount.com")


async def test_requests_count_against_the_quota_project_of_the_profile(
    google: FakeGoogle, identity: dict[str, Any]
) -> None:
    """dbt's `quota_project` travels in a header of every BigQuery request, and of no other."""
    async with shared_session({**identity, "quota_project": "payer"}) as session:
        api = bigquery(session, google)
        await api.get_table("p", "shop", "orders")
        await api.find_job(JobRef("p", "nobody"))

    sent = [(request.operation, request.headers.get("x-goog-user-project")) for request in google.requests]
    assert sent == [("token", None), ("tables.get", "payer"), ("jobs.get", "payer")]


async def test_without_a_quota_project_there_is_no_header(
    google: FakeGoogle, identity: dict[str, Any]
) -> None:
    """The account's own project has the quota."""
    async with shared_session(identity) as session:
        await bigquery(session, google).get_table("p", "shop", "orders")

    assert [request.headers.get("x-goog-user-project") for request in google.requests] == [None, None]


async def test_an_impersonated_account_may_do_what_dbts_may(
    google: FakeGoogle, identity: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token opens spreadsheets, too, and has the scopes that the profile adds."""
    where = google.endpoint + IMPERSONATION.replace("{account}", "{service_account}")
    monkeypatch.setattr("cosmos_async.triggers.google.token.IMPERSONATION_URI", where)
    asked = {"impersonation_chain": ["via@p.iam", "run@p.iam"], "scopes": ["https://example.com/auth/more"]}

    async with shared_session({**identity, **asked}) as session:
        await bigquery(session, google).get_table("p", "shop", "orders")

    [request] = [request for request in google.requests if request.operation == "impersonation"]
    assert request.path.endswith("/serviceAccounts/run@p.iam:generateAccessToken")
    assert request.json["scope"] == [*SCOPES, "https://example.com/auth/more"]
    assert request.json["delegates"] == ["via@p.iam"]
    assert "https://www.googleapis.com/auth/drive" in SCOPES


def test_a_session_is_never_taken_to_another_event_loop(identity: dict[str, Any]) -> None:
    """Reuse on another loop ends in "Event loop is closed"; each loop makes its own."""

    async def use() -> int:
        async with shared_session(identity) as session:
            return id(session.http)

    assert isinstance(asyncio.run(use()), int)
    assert isinstance(asyncio.run(use()), int)


async def test_a_task_cancelled_while_a_token_is_fetched_takes_nobody_along(
    google: FakeGoogle, identity: dict[str, Any]
) -> None:
    """gcloud-aio's own refresh is cancelled by any one of its waiters, and everybody fails with CancelledError."""
    held = google.hold("token")
    async with shared_session(identity) as session:
        waiting = [asyncio.create_task(session.token.get()) for _ in range(5)]
        await google.requests.arrived("token")
        await cancelled(waiting[0])

        held.release()
        tokens = await asyncio.gather(*waiting[1:])

    assert len(set(tokens)) == 1
    assert tokens[0] is not None
    assert google.tokens.requests == 1


async def test_a_task_cancelled_while_the_session_opens_takes_nobody_along(
    google: FakeGoogle, identity: dict[str, Any]
) -> None:
    """Whoever comes first opens it, but not for itself alone."""

    async def use() -> bool:
        async with shared_session(identity) as session:
            return await bigquery(session, google).get_table("p", "shop", "orders") is None

    first, second = asyncio.create_task(use()), asyncio.create_task(use())
    await asyncio.sleep(0)
    await cancelled(first)

    assert await second


async def test_a_session_that_cannot_open_is_tried_anew(identity: dict[str, Any], google: FakeGoogle) -> None:
    """The next task finds the corrected profile."""
    profiles = ProfilesFile(identity)
    profiles.clear()
    with pytest.raises(ProfileError, match="There is no target 'prod' of profile 'shop'"):
        async with shared_session(identity):
            raise AssertionError("it opened")

    profiles.restore()
    async with shared_session(identity) as session:
        assert await bigquery(session, google).get_table("p", "shop", "orders") is None


# -- tokens -----------------------------------------------------------------------------------------------------------


async def test_a_token_that_google_refuses_is_renewed_once(
    google: FakeGoogle, identity: dict[str, Any]
) -> None:
    """Revoked sessions and clocks that are off heal by themselves."""
    async with shared_session(identity) as session:
        api = bigquery(session, google)
        await api.get_dataset("p", "shop")
        google.tokens.revoke_all()

        assert await api.get_dataset("p", "shop") is not None

    assert google.tokens.requests == 2


async def test_a_refusal_that_stays_is_told_with_the_way_out(
    google: FakeGoogle, identity: dict[str, Any]
) -> None:
    """One renewal and no more: a wrong account would otherwise ask for tokens for ever."""
    google.fail("datasets.get", 401, times=None)
    async with shared_session(identity) as session:
        with pytest.raises(AuthError, match=r"does not accept the credentials of cosmos@p\.iam"):
            await bigquery(session, google).get_dataset("p", "shop")

    assert len(google.requests.of("datasets.get")) == 2


async def test_an_account_without_a_grant_fails_at_once(
    google: FakeGoogle, identity: dict[str, Any], fake_clock: FakeClock
) -> None:
    """gcloud-aio repeats this for a minute, although nothing can change."""
    google.tokens.deny("invalid_grant", "Invalid JWT Signature.")
    async with shared_session(identity, clock=fake_clock) as session:
        with pytest.raises(AuthError, match=r"gives no token to cosmos@p.*Invalid JWT Signature"):
            await bigquery(session, google).get_dataset("p", "shop")

    assert google.tokens.requests == 1
    assert fake_clock.slept == []


async def test_a_token_endpoint_that_stumbles_is_asked_again(
    google: FakeGoogle, identity: dict[str, Any], fake_clock: FakeClock
) -> None:
    """503 passes."""
    google.fail("token", 503, times=2)
    async with shared_session(identity, clock=fake_clock) as session:
        assert await bigquery(session, google).get_dataset("p", "shop") is not None

    assert fake_clock.slept == [0.5, 1.0]


async def test_a_token_is_renewed_before_it_ends(
    google: FakeGoogle, identity: dict[str, Any], fake_clock: FakeClock
) -> None:
    """In the background after half its life, and before use near its end."""
    async with shared_session(identity, clock=fake_clock) as session:
        first = await session.token.get()
        fake_clock.time += 2000
        assert await session.token.get() == first  # still good, and being renewed
        await google.requests.arrived("token", count=2)
        fake_clock.time += 3500

        assert await session.token.get() != first


async def test_no_environment_variable_turns_authentication_off(
    google: FakeGoogle, identity: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """gcloud-aio sends no token at all when one of these is set."""
    host = google.endpoint.replace("http://", "")
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", host)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.endpoint)
    async with shared_session(identity) as session:
        await bigquery(session, google).get_dataset("p", "shop")

    assert google.requests.of("datasets.get")[0].email == "cosmos@p.iam.gserviceaccount.com"


# -- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (429, "rateLimitExceeded"),
        (500, "internalError"),
        (502, None),
        (503, "backendError"),
        (403, "rateLimitExceeded"),
    ],
)
async def test_errors_that_pass_are_waited_out(
    google: FakeGoogle, identity: dict[str, Any], fake_clock: FakeClock, status: int, reason: str | None
) -> None:
    """Longer each time."""
    google.fail("datasets.get", status, reason=reason, times=3)
    async with shared_session(identity, clock=fake_clock) as session:
        assert await bigquery(session, google).get_dataset("p", "shop") is not None

    assert fake_clock.slept == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("harm", ["reset", "lose_reply", "truncate"])
async def test_a_broken_connection_is_made_again(
    google: FakeGoogle, identity: dict[str, Any], fake_clock: FakeClock, harm: str
) -> None:
    """Networks lose packets."""
    getattr(google, harm)("datasets.get")
    async with shared_session(identity, clock=fake_clock) as session:
        assert await bigquery(session, google).get_dataset("p", "shop") is not None


async def test_the_server_says_how_long_to_wait(
    google: FakeGoogle, identity: dict[str, Any], fake_clock: FakeClock
) -> None:
    """A 429 with Retry-After is obeyed."""
    google.fail("datasets.get", 429, retry_after=7)
    async with shared_session(identity, clock=fake_clock) as session:
        await bigquery(session, google).get_dataset("p", "shop")

    assert fake_clock.slept == [7.0]


async def test_the_budget_of_retries_ends(
    google: FakeGoogle, identity: dict[str, Any], fake_clock: FakeClock
) -> None:
    """The last error is told, with how often it was tried."""
    google.fail("datasets.get", 503, times=None)
    async with shared_session(identity, clock=fake_clock) as session:
        with pytest.raises(Unavailable, match=r"reading dataset p\.shop: .*Tried 6 times") as caught:
            await bigquery(session, google).get_dataset("p", "shop")

    assert caught.value.status == 503
    assert len(google.requests.of("datasets.get")) == PROMPT.attempts


async def test_no_retry_goes_beyond_the_deadline(
    google: FakeGoogle, identity: dict[str, Any], fake_clock: FakeClock
) -> None:
    """Nested waits share the task's deadline."""
    google.fail("datasets.get", 503, times=None)
    async with shared_session(identity, clock=fake_clock) as session:
        with pytest.raises(Unavailable):
            await bigquery(session, google).get_dataset("p", "shop", deadline=fake_clock.now() + 1.2)

    assert sum(fake_clock.slept) < 1.2


@pytest.mark.parametrize(
    ("status", "reason"), [(400, "invalid"), (403, "accessDenied"), (403, "quotaExceeded")]
)
async def test_errors_that_stay_are_not_repeated(
    google: FakeGoogle, identity: dict[str, Any], fake_clock: FakeClock, status: int, reason: str
) -> None:
    """They would only cost time."""
    google.fail("datasets.get", status, reason=reason, message="No.")
    async with shared_session(identity, clock=fake_clock) as session:
        with pytest.raises(ApiError) as caught:
            await bigquery(session, google).get_dataset("p", "shop")

    assert (caught.value.status, caught.value.reason) == (status, reason)
    assert fake_clock.slept == []


async def test_errors_name_no_address(google: FakeGoogle, identity: dict[str, Any]) -> None:
    """A URL in a task's log helps nobody, and may hold more than it should."""
    google.fail("datasets.get", 400, message="Invalid dataset ID.")
    async with shared_session(identity) as session:
        with pytest.raises(ApiError) as caught:
            await bigquery(session, google).get_dataset("p", "shop")

    assert str(caught.value) == "reading dataset p.shop: Invalid dataset ID."


async def test_a_page_of_html_is_no_message(google: FakeGoogle, identity: dict[str, Any]) -> None:
    """Proxies answer with pages; their text is cut down to a line."""
    import aiohttp

    from cosmos_async.triggers.google.errors import api_error

    raised = aiohttp.ClientResponseError(
        None,
        (),
        status=502,
        message="Bad Gateway: <html><h1>502</h1><p>nginx</p></html>",
        headers={},  # type: ignore[arg-type]
    )

    error = api_error(raised, what="reading", who="me")

    assert str(error) == "reading: Bad Gateway: 502 nginx"
    assert json.dumps(error.reason) == "null"
