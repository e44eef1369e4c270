"""
From what aiohttp raises to what we raise: mapped once, here, in words for a person and without addresses or secrets.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import aiohttp

from cosmos_async.exceptions import ApiError, AuthError
from cosmos_async.triggers.google.retry import NO_ANSWER

#: What an HTTP call can raise, an answer that cannot be read included; anything else is a bug and passes through.
TRANSPORT_ERRORS = (
    aiohttp.ClientError,
    asyncio.TimeoutError,
    ConnectionError,
    OSError,
    json.JSONDecodeError,
    UnicodeDecodeError,
)


def api_error(error: BaseException, *, what: str, who: str) -> ApiError:
    """
    Return our error for one of :data:`TRANSPORT_ERRORS`.

    Args:
        error: What was raised.
        what: What was attempted, such as ``reading table p.d.t``; begins the message.
        who: The identity that attempted it.
    """
    # A page of HTML under a good status is a proxy's doing, not Google's answer.
    if not isinstance(error, aiohttp.ClientResponseError) or error.status < 400:
        return ApiError(f"{what}: no answer from Google ({_name(error)}).", reason=NO_ANSWER)
    message, reason = _google_words(error)
    retry_after = _seconds(error.headers.get("Retry-After") if error.headers else None)
    if error.status == 401:
        return AuthError(
            f"{what}: Google does not accept the credentials of {who}: {message} "
            "Check the connection or the profile behind it.",
            status=401,
            reason=reason,
        )
    if error.status == 403 and reason in ("accessDenied", "forbidden", "insufficientPermissions"):
        message = f"{message} The call was made as {who}; give it the missing role."
    return ApiError(f"{what}: {message}", status=error.status, reason=reason, retry_after=retry_after)


def token_error(error: BaseException, *, who: str) -> ApiError:
    """Return our error for a token that could not be had."""
    if isinstance(error, aiohttp.ClientResponseError) and 400 <= error.status < 500 and error.status != 429:
        body = _body(error.message)
        said = body.get("error_description") or body.get("error") or error.message.partition(":")[0]
        return AuthError(
            f"Google gives no token to {who}: {_as_text(said)}. Check the key, the account and its permissions in the "
            "connection or the profile.",
            status=error.status,
            reason="noToken",
        )
    if isinstance(error, aiohttp.ClientResponseError) and error.status >= 400:
        return ApiError(f"asking for a token as {who}: HTTP status {error.status}", status=error.status)
    if isinstance(error, TRANSPORT_ERRORS):
        return ApiError(f"asking for a token as {who}: no answer ({_name(error)}).", reason=NO_ANSWER)
    # A key that cannot sign, a document without its fields: the text might quote the key, so only the kind is told.
    return AuthError(
        f"The credentials of {who} cannot be used ({type(error).__name__}). Check the key in the connection or the "
        "profile.",
        reason="noToken",
    )


def _google_words(error: aiohttp.ClientResponseError) -> tuple[str, str | None]:
    found = _body(error.message).get("error")
    if not isinstance(found, dict):
        text = re.sub(r"<[^>]*>", " ", error.message)
        return (" ".join(text.split())[:300] or f"HTTP status {error.status}"), None
    details = found.get("errors") or [{}]
    reason = details[0].get("reason") or found.get("status")
    message = _as_text(found.get("message") or f"HTTP status {error.status}")
    return message if message.endswith((".", "]", "!", "?")) else message + ".", reason


def _body(message: str) -> dict[str, Any]:
    # gcloud-aio's message is "<reason phrase>: <the answer's body>".
    start = message.find("{")
    if start < 0:
        return {}
    try:
        document = json.loads(message[start:])
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _seconds(value: str | None) -> float | None:
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:  # the HTTP date form, which Google does not use
        return None


def _name(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "it took too long"
    if isinstance(error, (aiohttp.ContentTypeError, json.JSONDecodeError, UnicodeDecodeError)):
        return "what came is not JSON"
    return type(error).__name__
