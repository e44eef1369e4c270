"""
One REST call with the identity's token: what neither gcloud-aio's job handle nor its storage client has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gcloud.aio.bigquery import Job

from cosmos_async.exceptions import ApiError
from cosmos_async.triggers.event_loop.threads import parse_json
from cosmos_async.triggers.google.retry import PROMPT, Budget
from cosmos_async.triggers.google.session import Before, Session
from cosmos_async.triggers.google.token import GivenToken, SharedToken

Json = dict[str, Any]

TIMEOUT = 60  # seconds for one call


@dataclass(frozen=True)
class Answer:
    """What one call was answered."""

    status: int
    headers: Mapping[str, str]
    document: Json


class AuthorisedJob(Job):
    """gcloud-aio's job handle, without its switch: an environment variable there turns authentication off."""

    token: SharedToken | GivenToken

    async def headers(self) -> dict[str, str]:
        """Return the headers that say who asks, and at whose quota."""
        sent = {"Authorization": f"Bearer {await self.token.get()}"}
        if self.token.quota_project:
            sent["x-goog-user-project"] = self.token.quota_project  # dbt's `quota_project`
        return sent


class Rest:
    """
    An API's resources by their paths.

    Args:
        session: Carries the calls.
        root: What paths begin with, such as ``https://bigquery.googleapis.com/bigquery/v2``.
    """

    def __init__(self, session: Session, root: str) -> None:
        self.session = session
        self.root = root

    def job(self, project: str, job_id: str | None = None, location: str | None = None) -> AuthorisedJob:
        """Return gcloud-aio's handle of a job."""
        return AuthorisedJob(
            job_id=job_id,
            project=project,
            session=self.session.http,
            token=self.session.token,
            api_root=self.root,
            location=location,
        )

    async def find(self, what: str, path: str, deadline: float | None) -> Json | None:
        """Return the resource below the root, or None where there is none."""
        try:
            return (await self.call(what, "GET", f"{self.root}/{path}", deadline=deadline)).document
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    async def call(
        self,
        what: str,
        method: str,
        url: str,
        *,
        params: Any = None,
        payload: bytes | memoryview | None = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        timeout: float = TIMEOUT,
        budget: Budget = PROMPT,
        before: Before | None = None,
        deadline: float | None = None,
    ) -> Answer:
        """
        Send one request, again after errors that pass; see :meth:`Session.call`.

        Raises:
            ApiError: Google refused, or went on not answering.
        """
        handle = self.job("")

        async def send() -> Answer:
            import aiohttp

            sent = {**await handle.headers(), **(headers or {})}
            if payload is not None:
                sent["Content-Type"] = content_type
            response = await handle.session.request(
                method,
                url,
                headers=sent,
                params=params,
                data=payload,
                timeout=aiohttp.ClientTimeout(total=timeout),
            )
            data = await response.read()
            return Answer(response.status, response.headers, (await parse_json(data)) if data else {})

        return await self.session.call(what, send, budget=budget, before=before, deadline=deadline)
