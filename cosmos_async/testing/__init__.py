"""
Public fakes: Google's side of the wire, for tests and demonstrations without an account.

`FakeGoogle` serves BigQuery's job API, Cloud Storage's JSON API and an OAuth token endpoint on a loopback port.

    async with FakeGoogle() as google:
        google.add_dataset("p", "shop")
        google.on_query("create or replace table .*orders", seconds=2, bytes_processed=4096)
        google.lose_reply("jobs.insert")
        ...  # drive the code under test with google.key_file, google.bigquery_endpoint, google.storage_endpoint
        assert [job.job_id for job in google.inserted_jobs] == ["cosmos_orders_8f3a_1"]

It takes real requests: tokens are checked, connections break, long polls wait. There is no SQL behind it unless an
`Engine` brings one along. Nothing in the package imports this room; it may import aiohttp, which the rest of
`cosmos_async` must not.
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
