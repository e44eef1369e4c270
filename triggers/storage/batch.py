"""
Batch requests of Cloud Storage's JSON API: a hundred objects are deleted by one request.

https://cloud.google.com/storage/docs/batch
"""

from __future__ import annotations

from collections.abc import Sequence
from email import message_from_bytes
from email.message import Message
from typing import Any
from urllib.parse import quote

from gcloud.aio.storage import Storage

from cosmos_async.exceptions import StoreError

MOST = 100  # calls in one request
TIMEOUT = 60  # seconds for one request
_BOUNDARY = "one-of-the-calls"


def deletions(bucket: str, keys: Sequence[str]) -> bytes:
    """Return the body of the request that deletes *keys* in *bucket*."""
    parts = [
        f"--{_BOUNDARY}\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\n"
        f"DELETE /storage/v1/b/{bucket}/o/{quote(key, safe='')} HTTP/1.1\r\n\r\n"
        for number, key in enumerate(keys)
    ]
    return "\r\n".join([*parts, f"--{_BOUNDARY}--\r\n"]).encode()


def statuses(content_type: str, body: bytes) -> list[int]:
    """
    Return the HTTP status of each call, in the order of the request.

    Args:
        content_type: Of the answer: ``multipart/mixed`` with its boundary.
        body: The answer's.

    Raises:
        StoreError: That is no answer to a batch request.
    """
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    answers = message.get_payload() if message.is_multipart() else [""]
    try:
        # Of each the first line, such as `HTTP/1.1 204 No Content`.
        return [int(_text(answer).split(None, 2)[1]) for answer in answers]
    except (IndexError, ValueError) as error:
        raise StoreError(
            f"Cloud Storage's answer to a batch request, {content_type}, has no calls."
        ) from error


def _text(part: Any) -> str:
    return str(part.get_payload()) if isinstance(part, Message) else ""


async def delete(client: Storage, root: str, bucket: str, keys: Sequence[str]) -> list[str]:
    """
    Delete objects, up to :data:`MOST`; return those of *keys* that may still be there.

    Args:
        client: Who asks.
        root: The API's root without a path.
        bucket: The objects' bucket.
        keys: Their names.

    Raises:
        StoreError: The answer is none to a batch request. What aiohttp raises is for the caller's retries.
    """
    answer = await client.session.post(
        f"{root}/batch/storage/v1",
        headers={**await client._headers(), "Content-Type": f"multipart/mixed; boundary={_BOUNDARY}"},
        data=deletions(bucket, keys),
        timeout=TIMEOUT,
    )
    found = statuses(answer.headers.get("Content-Type", ""), await answer.read())
    if len(found) != len(keys):
        raise StoreError(f"Cloud Storage answered {len(found)} of the {len(keys)} calls of a batch request.")
    # 404: gone already, by an attempt whose answer was lost.
    return [key for key, status in zip(keys, found) if status not in (200, 204, 404)]
