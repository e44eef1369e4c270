"""
An OAuth token endpoint: a service account's signed assertion or a person's refresh token goes in, a bearer token comes out.

The real way of authentication runs: keys are RSA, assertions are verified (RS256, audience, lifetime), and tokens
that were not issued here, have expired or were revoked are worth nothing.
"""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cosmos_async.testing.answers import json_answer
from cosmos_async.testing.engine import ApiError, Json

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
REFRESH = "refresh_token"  # the grant type of a person's login
#: google-auth signs for this audience whatever the key file's token_uri says; gcloud-aio signs for the token_uri.
GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"
LIFETIME = 3600.0  # seconds


@functools.cache
def _key_pair(number: int) -> tuple[str, str]:
    """Return the private and public PEM of key *number*; made once per process, as making one takes 0.1 s."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


@dataclass(frozen=True)
class Bearer:
    """One issued token."""

    email: str
    scopes: tuple[str, ...]
    expires_at: float  #: on the wall clock, in seconds


@dataclass
class Denial:
    """How the endpoint refuses."""

    error: str
    description: str
    status: int
    times: int | None  #: how often still; None means always


class TokenServer:
    """
    Accounts, their keys, and the tokens issued to them.

    Args:
        clock: The wall clock in seconds; tests may turn it forward.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.lifetime = LIFETIME  #: seconds that new tokens live
        self.requests = 0  #: calls of the endpoint so far
        self.issued = 0  #: tokens given out so far
        self._clock = clock
        self._accounts: dict[str, int] = {}  # email → number of its key
        self._logins: dict[tuple[str, str, str], str] = {}  # client id, client secret, refresh token → email
        self._bearers: dict[str, Bearer] = {}
        self._denial: Denial | None = None

    def add_account(self, email: str, *, project_id: str, token_uri: str) -> Json:
        """Create a service account, unless it exists, and return the content of its key file."""
        number = self._accounts.setdefault(email, len(self._accounts))
        private, _ = _key_pair(number)
        return {
            "type": "service_account",
            "project_id": project_id,
            "private_key_id": f"{number + 1:040x}",
            "private_key": private,
            "client_email": email,
            "client_id": f"{number + 1:021d}",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "universe_domain": "googleapis.com",
        }

    def add_login(self, email: str, *, client_id: str, client_secret: str, refresh_token: str) -> None:
        """Accept a person's refresh token from the client it was given to."""
        self._logins[client_id, client_secret, refresh_token] = email

    def issue(self, email: str, scopes: tuple[str, ...] = ()) -> str:
        """Return a new token for *email* without an assertion, for tests that send their own headers."""
        self.issued += 1
        value = f"ya29.{secrets.token_urlsafe(24)}"
        self._bearers[value] = Bearer(email, scopes, self._clock() + self.lifetime)
        return value

    def revoke_all(self) -> None:
        """Make every token issued so far worthless; new ones can be had."""
        self._bearers.clear()

    def deny(
        self,
        error: str = "invalid_grant",
        description: str = "Invalid grant: account not found",
        *,
        status: int = 400,
        times: int | None = None,
    ) -> None:
        """Refuse the next *times* requests for a token (None: all of them, until `allow`)."""
        self._denial = Denial(error, description, status, times)

    def allow(self) -> None:
        """Take back `deny`."""
        self._denial = None

    def authenticate(self, authorization: str | None) -> Bearer:
        """Return who sent this Authorization header, or refuse with 401 as Google does."""
        scheme, _, value = (authorization or "").partition(" ")
        if not value or scheme.lower() != "bearer":
            raise ApiError(
                401,
                "required",
                "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie "
                "or other valid authentication credential.",
                location="Authorization",
            )
        bearer = self._bearers.get(value)
        if bearer is None or bearer.expires_at <= self._clock():
            raise ApiError(
                401,
                "authError",
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
                "valid authentication credential.",
                location="Authorization",
                headers={
                    "WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
                },
            )
        return bearer

    async def exchange(self, request: web.Request) -> web.Response:
        """Answer POST /token."""
        self.requests += 1
        denial = self._next_denial()
        if denial:
            return _refusal(denial.error, denial.description, status=denial.status)
        form = await request.post()
        if form.get("grant_type") == REFRESH:
            return self._renew(
                *(str(form.get(name)) for name in ("client_id", "client_secret", "refresh_token"))
            )
        if form.get("grant_type") != GRANT_TYPE:
            return _refusal("unsupported_grant_type", "Invalid grant_type")
        try:
            claims = self._verify(str(form.get("assertion", "")), token_uri=str(request.url.with_query(None)))
        except jwt.InvalidSignatureError:
            return _refusal("invalid_grant", "Invalid JWT Signature.")
        except jwt.InvalidTokenError as error:
            return _refusal("invalid_grant", f"Invalid JWT: {error}")
        scopes = tuple(str(claims.get("scope", "")).split())
        if not scopes:
            return _refusal("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return self._answer(str(claims["iss"]), scopes)

    async def impersonate(self, request: web.Request, caller: str) -> web.StreamResponse:
        """Answer POST /v1/projects/-/serviceAccounts/{account}:generateAccessToken; everybody may act as anybody."""
        value = self.issue(request.match_info["account"])
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock() + self.lifetime))
        return json_answer({"accessToken": value, "expireTime": ends})

    @property
    def secrets(self) -> list[str]:
        """The tokens that are worth something now, for tests that look for them where they must not be."""
        return list(self._bearers)

    def _renew(self, client_id: str, client_secret: str, refresh_token: str) -> web.Response:
        email = self._logins.get((client_id, client_secret, refresh_token))
        if email is None:
            return _refusal("invalid_grant", "Token has been expired or revoked.")
        return self._answer(email, ("https://www.googleapis.com/auth/cloud-platform",))

    def _answer(self, email: str, scopes: tuple[str, ...]) -> web.Response:
        value = self.issue(email, scopes)
        return json_answer({"access_token": value, "expires_in": int(self.lifetime), "token_type": "Bearer"})

    def _verify(self, assertion: str, *, token_uri: str) -> Json:
        issuer = jwt.decode(assertion, options={"verify_signature": False}).get("iss")
        number = self._accounts.get(str(issuer))
        if number is None:
            raise jwt.InvalidTokenError("account not found")
        _, public = _key_pair(number)
        claims: Json = jwt.decode(
            assertion,
            public,
            algorithms=["RS256"],
            audience=[token_uri, GOOGLE_AUDIENCE],
            options={"require": ["exp", "iat", "iss", "aud"]},
        )
        return claims

    def _next_denial(self) -> Denial | None:
        denial = self._denial
        if denial and denial.times is not None:
            denial.times -= 1
            if denial.times <= 0:
                self._denial = None
        return denial


def _refusal(error: str, description: str, *, status: int = 400) -> web.Response:
    return json_answer({"error": error, "error_description": description}, status=status)
