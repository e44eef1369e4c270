"""The stand-in as a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import sys
from pathlib import Path

import aiohttp
import pytest
from gcloud.aio.auth import Token

from cosmos_async.testing.__main__ import parser

from .conftest import SCOPES, storage_client


async def test_a_process_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    key_file = tmp_path / "keys" / "key.json"
    command = [sys.executable, "-m", "cosmos_async.testing", "--key-file", str(key_file), "--bucket", "plans"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        async with (
            aiohttp.ClientSession() as session,
            Token(service_file=str(key_file), session=session, scopes=SCOPES) as token,
        ):
            storage = storage_client(ready["storage_endpoint"], session, token)
            await storage.upload("plans", "a", b"1")
            content = await storage.download("plans", "a")
        process.send_signal(signal.SIGTERM)
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert (content, code) == (b"1", 0)
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert [path.name for path in key_file.parent.iterdir()] == ["key.json"]


@pytest.mark.parametrize(("text", "expected"), [("2", (2.0, 2.0)), ("0.5,3", (0.5, 3.0))])
def test_the_time_of_jobs_is_one_number_or_two(text: str, expected: tuple[float, float]) -> None:
    options = parser().parse_args(["--key-file", "k", "--job-seconds", text])

    assert options.job_seconds == expected
