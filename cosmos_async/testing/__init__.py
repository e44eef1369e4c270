"""
Public fakes: Google's side of the wire, for tests and demonstrations without an account.

`FakeGoogle` serves BigQuery's job API, Cloud Storage's JSON API and an OAuth token endpoint on a loopback port.
Nothing in the package imports this room; it may import aiohttp, which the rest of `cosmos_async` must not.
"""

from __future__ import annotations

from cosmos_async.testing.engine import (
    ApiError,
    Catalog,
    ChildJob,
    Engine,
    EngineJob,
    JobError,
    JobResult,
)
from cosmos_async.testing.faults import Fault, Harm
from cosmos_async.testing.google import FakeGoogle
from cosmos_async.testing.requests import Request
from cosmos_async.testing.script import Answer

__all__ = [
    "Answer",
    "ApiError",
    "Catalog",
    "ChildJob",
    "Engine",
    "EngineJob",
    "FakeGoogle",
    "Fault",
    "Harm",
    "JobError",
    "JobResult",
    "Request",
]
