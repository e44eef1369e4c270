"""
Google's three ways of uploading, shared by load jobs and Cloud Storage.

media: the body is the content. multipart: metadata and content in one body. resumable: metadata first, then the
content in one or more pieces to an address of its own, which may be asked how far it has come.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.message import Message

from aiohttp import web

from cosmos_async.testing.answers import parse_json
from cosmos_async.testing.engine import ApiError, Json

CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True)
class Upload:
    """What was uploaded."""

    metadata: Json
    content: bytes
    content_type: str | None


@dataclass
class Session:
    """A resumable upload under way."""

    metadata: Json
    content_type: str | None
    finish: Callable[[Upload], Awaitable[web.StreamResponse]]
    content: bytearray = field(default_factory=bytearray)


class Uploads:
    """The resumable uploads under way, by their id."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    async def begin(
        self, request: web.Request, finish: Callable[[Upload], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer the POST that starts a resumable upload; *finish* answers the piece that completes it."""
        upload_id = secrets.token_urlsafe(16)
        metadata = parse_json(await request.read())
        self._sessions[upload_id] = Session(metadata, request.headers.get("X-Upload-Content-Type"), finish)
        address = request.url.update_query(upload_id=upload_id)
        return web.Response(headers={"Location": str(address), "X-GUploader-UploadID": upload_id})

    async def proceed(self, request: web.Request) -> web.StreamResponse:
        """Answer the PUT of a piece, or the question how far the upload has come."""
        upload_id = request.query.get("upload_id", "")
        session = self._sessions.get(upload_id)
        if session is None:
            raise ApiError(404, "notFound", f"No such upload: {upload_id}")
        body = await request.read()
        start, total = _content_range(request.headers.get("Content-Range"))
        if start is None and body:
            # gcloud-aio repeats a failed piece as the whole content, under "bytes */*".
            start, total = 0, len(body)
        elif start is None:
            start = len(session.content)
        if start > len(session.content):
            raise ApiError(400, "invalid", f"Expected a piece from byte {len(session.content)}, got {start}")
        del session.content[start:]
        session.content += body
        if total is None or len(session.content) < total:
            so_far = {"Range": f"bytes=0-{len(session.content) - 1}"} if session.content else {}
            return web.Response(status=308, headers=so_far)
        answer = await session.finish(Upload(session.metadata, bytes(session.content), session.content_type))
        del self._sessions[upload_id]
        return answer


async def multipart(request: web.Request) -> Upload:
    """Return metadata and content of a multipart/related body."""
    header = Message()
    header["Content-Type"] = request.headers.get("Content-Type", "")
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str):
        raise ApiError(400, "badContent", "Malformed multipart body.")
    sections = (b"\r\n" + await request.read()).split(b"\r\n--" + boundary.encode())
    parts = [_part(section) for section in sections[1:-1]]
    if len(parts) != 2:
        raise ApiError(400, "badContent", "Malformed multipart body.")
    (_, metadata), (content_type, content) = parts
    return Upload(parse_json(metadata), content, content_type)


def _part(section: bytes) -> tuple[str | None, bytes]:
    head, separator, content = section.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        return None, head
    for line in head.decode().splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-type":
            return value.strip(), content
    return None, content


def _content_range(header: str | None) -> tuple[int | None, int | None]:
    """Return the first byte and the total size; no header means everything at once."""
    if header is None:
        return 0, 0
    match = CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        raise ApiError(400, "invalid", f"Failed to parse Content-Range header: {header}")
    first, _, total = match.groups()
    return None if first is None else int(first), None if total == "*" else int(total)
