"""
Load jobs together with their bytes, as dbt sends seeds: in one request, or in pieces where they are many.
"""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote

from cosmos_async.exceptions import ApiError
from cosmos_async.triggers.google.rest import Rest
from cosmos_async.triggers.google.session import Before

Json = dict[str, Any]

TIMEOUT = 600  # seconds for the bytes of one request
LARGEST = 8 * 2**20  # bytes in one request; a multiple of 256 KiB, as pieces must be
INCOMPLETE = 308  # the HTTP status of an upload that goes on
#: What an upload is answered that Google no longer knows; a new one has to be begun
#: (https://cloud.google.com/storage/docs/resumable-uploads#practices).
LOST = (404, 410)
MOST_UPLOADS = 3  # that are begun for one job


class Uploads:
    """
    Where bytes are sent to.

    Args:
        rest: Carries the requests.
        endpoint: The API's root without a path.
    """

    def __init__(self, rest: Rest, endpoint: str) -> None:
        self._rest = rest
        self._endpoint = endpoint

    async def insert(
        self,
        project: str,
        body: Json,
        data: bytes,
        *,
        before: Before | None = None,
        deadline: float | None = None,
    ) -> Json:
        """
        Insert the load job *body*, whose id it has, with its bytes.

        Args:
            project: The project that runs the job.
            body: The job.
            data: What is loaded.
            before: See :meth:`Session.call`.
            deadline: When to give up, on the clock's scale.

        Raises:
            ApiError: Google refused.
        """
        what = f"submitting BigQuery job {body['jobReference']['jobId']}"
        url = f"{self._endpoint}/upload/bigquery/v2/projects/{quote(project)}/jobs"
        if len(data) <= LARGEST:
            return await self._at_once(what, url, body, data, before=before, deadline=deadline)
        begun = 0
        while True:
            begun += 1
            try:
                return await self._in_pieces(what, url, body, data, before=before, deadline=deadline)
            except _UploadLost as lost:
                if begun == MOST_UPLOADS:
                    raise lost.error from None

    async def _at_once(
        self, what: str, url: str, body: Json, data: bytes, *, before: Before | None, deadline: float | None
    ) -> Json:
        boundary = uuid.uuid4().hex
        payload = (
            (
                f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(body)}\r\n"
                f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
            ).encode()
            + data
            + f"\r\n--{boundary}--\r\n".encode()
        )
        answer = await self._rest.call(
            what,
            "POST",
            url,
            params={"uploadType": "multipart"},
            payload=payload,
            content_type=f"multipart/related; boundary={boundary}",
            timeout=TIMEOUT,
            before=before,
            deadline=deadline,
        )
        return answer.document

    async def _in_pieces(
        self, what: str, url: str, body: Json, data: bytes, *, before: Before | None, deadline: float | None
    ) -> Json:
        begun = await self._rest.call(
            what,
            "POST",
            url,
            params={"uploadType": "resumable"},
            payload=json.dumps(body).encode(),
            headers={
                "X-Upload-Content-Type": "application/octet-stream",
                "X-Upload-Content-Length": str(len(data)),
            },
            before=before,
            deadline=deadline,
        )
        whole, position = memoryview(data), 0
        while True:
            piece = whole[position : position + LARGEST]
            try:
                answer = await self._rest.call(
                    f"{what} (from byte {position} of {len(data)})",
                    "PUT",
                    begun.headers["Location"],
                    payload=piece,
                    content_type="application/octet-stream",
                    headers={"Content-Range": f"bytes {position}-{position + len(piece) - 1}/{len(data)}"},
                    timeout=TIMEOUT,
                    before=before,
                    deadline=deadline,
                )
            except ApiError as error:
                if error.status in LOST:
                    raise _UploadLost(error) from error
                raise
            if answer.status != INCOMPLETE:
                return answer.document
            # Google tells what has arrived; the rest of a piece is sent again.
            arrived = answer.headers.get("Range")
            position = 0 if arrived is None else int(arrived.rpartition("-")[2]) + 1


class _UploadLost(Exception):
    """Google no longer knows the upload."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(str(error))
        self.error = error
