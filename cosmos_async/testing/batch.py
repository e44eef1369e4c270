"""
Cloud Storage's batch requests: up to a hundred calls in one multipart body.

https://cloud.google.com/storage/docs/batch
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email import message_from_bytes
from email.message import Message
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

from aiohttp import web

from cosmos_async.testing.answers import error_answer
from cosmos_async.testing.engine import ApiError
from cosmos_async.testing.objects import NOT_MET, NotModified

MOST = 100  # calls
_BOUNDARY = "batch_of_answers"
_OBJECT = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)")


def answer_batch(
    content_type: str, body: bytes, delete: Callable[[str, str, Mapping[str, str]], None]
) -> web.Response:
    """
    Answer each call of a batch request.

    Args:
        content_type: ``multipart/mixed`` with the boundary.
        body: The calls.
        delete: Deletes an object, by its bucket, its name and the call's parameters.

    Raises:
        ApiError: That is no batch request, or one of too many calls.
    """
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    if not message.is_multipart():
        raise ApiError(400, "badRequest", "Failed to parse batch request, error: no boundary.")
    calls = [
        (part["Content-ID"] or "", str(part.get_payload()))
        for part in message.get_payload()
        if isinstance(part, Message)
    ]
    if len(calls) > MOST:
        raise ApiError(400, "badRequest", f"The batch request has {len(calls)} calls, more than {MOST}.")
    parts = [f"--{_BOUNDARY}\r\n{_answer(name, call, delete)}\r\n" for name, call in calls]
    return web.Response(
        body="".join([*parts, f"--{_BOUNDARY}--\r\n"]).encode(),
        headers={"Content-Type": f"multipart/mixed; boundary={_BOUNDARY}"},
    )


def _answer(name: str, call: str, delete: Callable[[str, str, Mapping[str, str]], None]) -> str:
    method, target, *_ = call.split("\r\n", 1)[0].split(" ")
    address = urlsplit(target)
    found = _OBJECT.fullmatch(address.path)
    status, content = 204, ""
    try:
        if method != "DELETE" or found is None:
            raise ApiError(400, "badRequest", f"This stand-in has no {method} {target} in batch requests.")
        delete(found[1], unquote(found[2]), dict(parse_qsl(address.query)))
    except (ApiError, NotModified) as error:
        if isinstance(error, NotModified):
            error = ApiError(412, "conditionNotMet", NOT_MET, location="If-Match")
        answer = error_answer(error)
        status, content = answer.status, bytes(answer.body).decode()  # type: ignore[arg-type]
    head = f"Content-Type: application/http\r\nContent-ID: <response-{name.strip('<>')}>\r\n\r\n"
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Length: {len(content.encode())}\r\n"
    kind = "Content-Type: application/json; charset=UTF-8\r\n" if content else ""
    return f"{head}{line}{kind}\r\n{content}"
