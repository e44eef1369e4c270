"""A stand-in, and clients of it that authenticate as they would with Google."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from gcloud.aio.auth import Token
from gcloud.aio.bigquery import Job
from gcloud.aio.storage import Storage

from cosmos_async.testing import FakeGoogle

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


@pytest.fixture
async def google() -> AsyncIterator[FakeGoogle]:
    """A stand-in with one dataset and one bucket."""
    async with FakeGoogle(project_id="p") as started:
        started.add_dataset("p", "shop")
        started.add_bucket("plans")
        yield started


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session of the test's own loop."""
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def token(google: FakeGoogle, session: aiohttp.ClientSession) -> AsyncIterator[Token]:
    """A real token: it signs an assertion and has it exchanged."""
    key_file = io.StringIO(json.dumps(google.key_file))
    async with Token(service_file=key_file, session=session, scopes=SCOPES) as real:
        yield real


@pytest.fixture
def job(google: FakeGoogle, session: aiohttp.ClientSession, token: Token) -> Callable[[str], Job]:
    """A client of one job; gcloud-aio cannot be told in `Job()` to authenticate at another address."""

    def make(job_id: str) -> Job:
        client = Job(
            job_id,
            project="p",
            location="US",
            session=session,
            token=token,
            api_root=f"{google.bigquery_endpoint}/bigquery/v2",
        )
        client._api_is_dev = False
        return client

    return make


def storage_client(endpoint: str, session: aiohttp.ClientSession, token: Token) -> Storage:
    """Return a client that authenticates; its releases for Python 3.9 cannot be told so when they are made."""
    client = Storage(api_root=endpoint, session=session, token=token)
    client._api_is_dev = False
    return client


@pytest.fixture
def storage(google: FakeGoogle, session: aiohttp.ClientSession, token: Token) -> Storage:
    """A client of Cloud Storage."""
    return storage_client(google.storage_endpoint, session, token)


class Api:
    """Plain requests with a token, for what the clients do not offer."""

    def __init__(self, google: FakeGoogle, session: aiohttp.ClientSession) -> None:
        self._root = f"{google.endpoint}/bigquery/v2/projects/p"
        self._session = session
        self._headers = {"Authorization": f"Bearer {google.tokens.issue(google.email)}"}

    async def __call__(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        """Return the status and the JSON of the answer."""
        headers = {**self._headers, **kwargs.pop("headers", {})}
        async with self._session.request(method, self._root + path, headers=headers, **kwargs) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None


@pytest.fixture
def api(google: FakeGoogle, session: aiohttp.ClientSession) -> Api:
    """Plain requests below /projects/p."""
    return Api(google, session)
