"""
HTTP to the emulator: BigQuery's JSON in, BigQuery's JSON or its error out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from cosmos_async.testing.engine import ApiError, Json

ROOT = "bigquery/v2/projects"
#: A job may take as long as it likes; only connecting has a limit.
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10)


class EmulatorClient:
    """
    One session to the emulator, opened with the first request.

    Args:
        endpoint: Such as "http://127.0.0.1:4711".
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def call(
        self, method: str, *path: str, params: Mapping[str, str | int] | None = None, body: Json | None = None
    ) -> Json:
        """Send one request below /projects and return the answer; ApiError when the emulator refuses."""
        url = "/".join([self._endpoint, ROOT, *(quote(part, safe="") for part in path)])
        async with self._open().request(method, url, params=params, json=body) as response:
            return _answer(response.status, await response.read())

    async def upload(self, project_id: str, job: Json, data: bytes) -> Json:
        """Start the load job *job* with *data*; answers with the job."""
        url = f"{self._endpoint}/upload/{ROOT}/{quote(project_id, safe='')}/jobs"
        with aiohttp.MultipartWriter("related") as parts:
            parts.append_json(job)
            parts.append(data, {"Content-Type": "application/octet-stream"})
            async with self._open().post(url, params={"uploadType": "multipart"}, data=parts) as response:
                return _answer(response.status, await response.read())

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # No limit: jobs that wait for the emulator must not keep `jobs.cancel` from getting through.
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=TIMEOUT)
        return self._session


def _answer(status: int, raw: bytes) -> Json:
    if status < 400:
        answer: Json = json.loads(raw) if raw else {}
        return answer
    try:
        error = json.loads(raw)["error"]
        detail: dict[str, Any] = (error.get("errors") or [{}])[0]
    except (ValueError, KeyError, TypeError):
        text = raw.decode(errors="replace")[:500]
        raise ApiError(500, "internalError", f"The emulator answered {status}: {text}") from None
    reason = str(detail.get("reason", "invalid"))
    raise ApiError(status, reason, str(error.get("message", "")), location=detail.get("location"))
