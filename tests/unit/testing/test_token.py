"""The token endpoint: who gets a token, and what a token is worth."""

from __future__ import annotations

import time
from typing import Any

import aiohttp
import jwt
import pytest
from gcloud.aio.auth import Token

from cosmos_async.testing import FakeGoogle
from cosmos_async.testing.token import GOOGLE_AUDIENCE, GRANT_TYPE


def assertion(key: dict[str, Any], **claims: Any) -> str:
    """Sign what a client would."""
    now = int(time.time())
    usual = {"iss": key["client_email"], "aud": key["token_uri"], "scope": "s", "iat": now, "exp": now + 3600}
    return jwt.encode({**usual, **claims}, key["private_key"], algorithm="RS256")


async def ask(
    session: aiohttp.ClientSession, key: dict[str, Any], signed: str, grant_type: str = GRANT_TYPE
) -> tuple[int, Any]:
    """Send an assertion."""
    form = {"grant_type": grant_type, "assertion": signed}
    async with session.post(key["token_uri"], data=form) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer made-up"}, {"Authorization": "Basic eA=="}])
async def test_a_call_without_an_issued_token_is_refused(
    google: FakeGoogle, session: aiohttp.ClientSession, header: dict[str, str]
) -> None:
    for path in ("/bigquery/v2/projects/p/jobs", "/storage/v1/b/plans/o"):
        async with session.get(google.endpoint + path, headers=header) as answer:
            error = (await answer.json())["error"]

            assert answer.status == 401
            assert error["status"] == "UNAUTHENTICATED"
            assert error["errors"][0]["location"] == "Authorization"


async def test_a_real_token_is_exchanged_once_and_opens_the_door(
    google: FakeGoogle, token: Token, session: aiohttp.ClientSession
) -> None:
    bearer = await token.get()
    assert await token.get() == bearer

    headers = {"Authorization": f"Bearer {bearer}"}
    async with session.get(f"{google.endpoint}/storage/v1/b/plans", headers=headers) as answer:
        assert answer.status == 200
    assert google.tokens.requests == 1
    assert google.requests.of("buckets.get")[0].email == google.email


@pytest.mark.parametrize("audience", [None, GOOGLE_AUDIENCE])
async def test_both_audiences_that_clients_sign_for_are_accepted(
    google: FakeGoogle, session: aiohttp.ClientSession, audience: str | None
) -> None:
    key = google.key_file

    status, answer = await ask(session, key, assertion(key, aud=audience or key["token_uri"]))

    assert status == 200
    assert answer["expires_in"] == 3600


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"aud": "https://elsewhere.example/token"}, "Audience"),
        ({"exp": 1_000_000_000}, "expired"),
        ({"iss": "nobody@example.com"}, "account not found"),
    ],
)
async def test_an_assertion_that_is_not_right_gets_no_token(
    google: FakeGoogle, session: aiohttp.ClientSession, claims: dict[str, Any], sentence: str
) -> None:
    key = google.key_file

    status, answer = await ask(session, key, assertion(key, **claims))

    assert (status, answer["error"]) == (400, "invalid_grant")
    assert sentence in answer["error_description"]


async def test_an_assertion_signed_with_another_key_gets_no_token(
    google: FakeGoogle, session: aiohttp.ClientSession
) -> None:
    mine, other = google.key_file, google.add_account("other@p.iam.gserviceaccount.com")

    status, answer = await ask(session, mine, assertion({**mine, "private_key": other["private_key"]}))

    assert (status, answer["error_description"]) == (400, "Invalid JWT Signature.")
    assert google.tokens.issued == 0


async def test_a_revoked_or_expired_token_is_worth_nothing(
    google: FakeGoogle, session: aiohttp.ClientSession
) -> None:
    revoked = google.tokens.issue(google.email)
    google.tokens.revoke_all()
    google.tokens.lifetime = 0
    expired = google.tokens.issue(google.email)

    for value in (revoked, expired):
        headers = {"Authorization": f"Bearer {value}"}
        async with session.get(f"{google.endpoint}/storage/v1/b/plans", headers=headers) as answer:
            assert answer.status == 401
            assert "invalid_token" in answer.headers["WWW-Authenticate"]


async def test_a_denied_account_gets_no_token_until_it_is_allowed(
    google: FakeGoogle, session: aiohttp.ClientSession
) -> None:
    key = google.key_file
    google.tokens.deny(times=1)

    first, _ = await ask(session, key, assertion(key))
    second, _ = await ask(session, key, assertion(key))
    google.tokens.deny()
    third, _ = await ask(session, key, assertion(key))
    google.tokens.allow()
    fourth, _ = await ask(session, key, assertion(key))

    assert (first, second, third, fourth) == (400, 200, 400, 200)


async def test_only_the_grant_of_service_accounts_is_known(
    google: FakeGoogle, session: aiohttp.ClientSession
) -> None:
    key = google.key_file

    status, answer = await ask(session, key, assertion(key), grant_type="password")

    assert (status, answer["error"]) == (400, "unsupported_grant_type")
