"""
gcloud-aio's token, made fit for many triggers on one event loop.

Theirs awaits the shared refresh unshielded (one cancelled task cancels it for all), signs on the loop, repeats every
error for a minute, and keeps a token that Google has just refused. Before 5.4 it cannot impersonate as dbt does, and
Google's provider for Airflow keeps it below 5 up to provider 10.21, the one of Airflow 2.8 and 2.9.
"""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

from gcloud.aio.auth import Token

from cosmos_async.exceptions import ApiError, ProfileError
from cosmos_async.triggers.event_loop.clock import Clock
from cosmos_async.triggers.google.credentials import Credentials
from cosmos_async.triggers.google.errors import token_error
from cosmos_async.triggers.google.retry import PROMPT, Retry, after_error

# dbt-bigquery's own, so that a token from here can do what dbt's can: Drive is where tables on spreadsheets are.
SCOPES = [
    "https://www.googleapis.com/auth/bigquery",
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/drive",
    "https://www.googleapis.com/auth/userinfo.email",
]
IMPERSONATION_URI = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{service_account}:generateAccessToken"
_IMPERSONATION_SCOPES = [
    "https://www.googleapis.com/auth/cloud-platform"
]  # of the token that asks for another's

FRESH = 0.5  # of its life, after which a token is renewed in the background
USABLE = 0.9  # of its life, after which it is renewed before it is used
TIMEOUT = 20  # seconds for one request to the token endpoint
LIFETIME = 3600  # seconds; what Google allows everybody


class SharedToken(Token):
    """One token for everybody with the same identity on this event loop."""

    def __init__(self, credentials: Credentials, *, clock: Clock, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.who = credentials.who
        self.delegates = list(credentials.delegates)
        self.impersonation_uri = (
            IMPERSONATION_URI.format(service_account=credentials.impersonate)
            if credentials.impersonate
            else self.service_data.get("service_account_impersonation_url")
        )
        self.quota_project = credentials.quota_project or self.service_data.get("quota_project_id")
        self._wanted = [*SCOPES, *(scope for scope in credentials.scopes if scope not in SCOPES)]
        self._clock = clock
        self._fresh_until = 0.0
        self._usable_until = 0.0
        self._renewal: asyncio.Task[None] | None = None

    async def ensure_token(self) -> None:
        """
        Have a token that can be used.

        Raises:
            ApiError: There is none to be had.
        """
        now = self._clock.now()
        if self.access_token and now < self._fresh_until:
            return
        renewal = self._renew()
        if not (self.access_token and now < self._usable_until):
            # Shielded: whoever waits here may be cancelled, and the others still want their token.
            await asyncio.shield(renewal)

    async def get(self) -> str | None:
        """Return the token."""
        await self.ensure_token()
        return self.access_token

    def drop(self, value: str | None) -> None:
        """Forget the token *value*, which Google has refused; a newer one is kept."""
        if value is not None and value == self.access_token:
            self.access_token = None

    async def close(self) -> None:
        """Stop a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    def _renew(self) -> asyncio.Task[None]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self.acquire_access_token())
            # In the background nobody awaits it; the next caller meets the error again.
            self._renewal.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._renewal

    # Theirs is wrapped in retries of its own, which repeat every error.
    async def acquire_access_token(self, timeout: int = TIMEOUT) -> None:  # type: ignore[override]
        """Ask for a new token, again after errors that pass."""
        attempt = 0
        while True:
            attempt += 1
            started = self._clock.now()
            try:
                response = await self.refresh(timeout=timeout)
            except Exception as raised:
                error: ApiError = token_error(raised, who=self.who)
                decision = after_error(error, attempt=attempt, jitter=self._clock.jitter(), budget=PROMPT)
                if not isinstance(decision, Retry):
                    raise error from raised
                await self._clock.sleep(decision.wait)
                continue
            self.access_token = response.value
            self._fresh_until = started + response.expires_in * FRESH
            self._usable_until = started + response.expires_in * USABLE
            return

    async def refresh(self, *, timeout: int) -> Any:
        """Ask once for a new token."""
        # Named after the kinds of credentials, but for this one: a person's, who acts as an account.
        kind = self.token_type.value.replace("impersonated_service_account", "source_authorized_user")
        token = await getattr(self, f"_refresh_{kind}")(timeout=timeout)
        if not hasattr(token, "value"):  # gcloud-aio-auth 5.0 and before
            token = _token_in(await token.json())
        return await self._impersonate(token, timeout=timeout) if self.impersonation_uri else token

    async def _refresh_service_account(self, timeout: int) -> Any:
        # Signing takes some 30 ms of arithmetic: in a thread with a loop of its own, only the request stays here.
        signed = await asyncio.to_thread(
            _signed_assertion, dict(self.service_data), self.scopes, self.token_uri
        )
        response = await self.session.post(
            self.token_uri,
            data=signed,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout=timeout,
        )
        return _token_in(await response.json())

    async def _impersonate(self, token: Any, *, timeout: int) -> Any:
        # Theirs asks for the scopes of the token that asks, and so a person's spreadsheets would stay closed.
        assert self.impersonation_uri is not None  # who comes here has looked
        response = await self.session.post(
            self.impersonation_uri,
            data=json.dumps({"lifetime": f"{LIFETIME}s", "scope": self._wanted, "delegates": self.delegates}),
            headers={"Authorization": f"Bearer {token.value}", "Content-Type": "application/json"},
            timeout=timeout,
        )
        content = await response.json()
        return _TokenResponse(value=str(content["accessToken"]), expires_in=LIFETIME)

    async def _get_subject_token(self, credential_source: dict[str, Any], timeout: int) -> str:
        if "file" not in credential_source:
            return await super()._get_subject_token(credential_source, timeout)
        return await asyncio.to_thread(_subject_token_from_file, credential_source)


class GivenToken(Token):
    """A token the user gave as such; it cannot be renewed."""

    def __init__(self, credentials: Credentials) -> None:
        # Not Token's own: that would look for key files.
        self.who = credentials.who
        self.quota_project = credentials.quota_project
        self.access_token = credentials.access_token

    async def ensure_token(self) -> None:
        """Do nothing."""

    async def get(self) -> str | None:
        """Return the token."""
        return self.access_token

    def drop(self, value: str | None) -> None:
        """Keep it; there is no other."""

    async def close(self) -> None:
        """Do nothing."""


class _TokenResponse:
    def __init__(self, *, value: str, expires_in: int) -> None:
        self.value = value
        self.expires_in = expires_in


def _token_in(content: dict[str, Any]) -> _TokenResponse:
    return _TokenResponse(
        value=str(content["access_token"]), expires_in=int(content.get("expires_in", LIFETIME))
    )


async def make_token(credentials: Credentials, *, http: Any, clock: Clock) -> SharedToken | GivenToken:
    """
    Return the token for *credentials*, not yet acquired.

    Raises:
        ProfileError: The key cannot be read.
    """
    if credentials.access_token is not None:
        return GivenToken(credentials)

    def build() -> SharedToken:
        source: Any = credentials.key_path
        if credentials.service_data is not None:
            source = io.StringIO(json.dumps(credentials.service_data))
        return SharedToken(
            credentials,
            clock=clock,
            service_file=source,
            session=http,
            scopes=_IMPERSONATION_SCOPES if credentials.impersonate else [*SCOPES, *credentials.scopes],
        )

    try:
        # In a thread: gcloud-aio reads key files while it constructs.
        return await asyncio.to_thread(build)
    except FileNotFoundError as error:
        raise ProfileError(
            f"The key file {error.filename} for {credentials.who} does not exist on this machine. The triggerer needs "
            "it as well; or put the key itself into the connection."
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise ProfileError(
            f"The credentials of {credentials.who} are of no kind that this gcloud-aio-auth knows "
            f"({type(error).__name__}). Workload identity federation needs its version 5.4 or later."
        ) from None


def _signed_assertion(service_data: dict[str, Any], scopes: str, token_uri: str) -> str:
    import time
    from urllib.parse import urlencode

    import jwt

    now = int(time.time())
    claims = {
        "aud": token_uri,
        "exp": now + 3600,
        "iat": now,
        "iss": service_data["client_email"],
        "scope": scopes,
    }
    assertion = jwt.encode(
        claims,
        service_data["private_key"],
        algorithm="RS256",
        headers={"kid": service_data["private_key_id"]} if service_data.get("private_key_id") else None,
    )
    grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    return urlencode({"assertion": assertion, "grant_type": grant_type})


def _subject_token_from_file(source: dict[str, Any]) -> str:
    with open(source["file"], encoding="utf-8") as file:
        text = file.read()
    form = source.get("format") or {}
    if form.get("type") == "json":
        return str(json.loads(text)[form["subject_token_field_name"]])
    return text.strip()
