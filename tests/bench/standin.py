"""
The stand-in of whole runs as a process: `python -m tests.bench.standin --key-file key.json`.

Jobs take a time of their own, by the model that they build or test, so that all who are compared have the same to wait for;
tests pass. There is no SQL behind it, which would be the bottleneck of a run on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import zlib
from pathlib import Path

from cosmos_async.testing import FakeGoogle
from cosmos_async.testing.__main__ import write_private

#: What a job takes, in parts of what a job takes on average.
PARTS = (0.6, 0.8, 1.0, 1.2, 1.4)
#: A test's, likewise.
TEST = 0.25
_MODEL = re.compile(r"\bm\d+_\d+\b")


def part(model: str) -> float:
    """Return what the job that builds a model takes, in parts of what a job takes on average."""
    return PARTS[zlib.crc32(model.encode()) % len(PARTS)]


async def serve(options: argparse.Namespace) -> None:
    """Serve until a signal."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with FakeGoogle(project_id=options.project, latency=options.latency_ms / 1000) as google:
        google.add_bucket(options.bucket)
        seconds = options.job_ms / 1000
        for one in PARTS:
            google.on_query(lambda job, one=one: _part(job.sql) == one, seconds=one * seconds)
        google.on_query("select id from", rows=[{"id": 1}])  # what late models read as they are compiled
        google.on_query(
            "should_error",
            seconds=TEST * seconds,
            rows=[{"failures": 0, "should_warn": False, "should_error": False}],
        )
        write_private(options.key_file, json.dumps(google.key_file))
        print(json.dumps({"endpoint": google.endpoint, "token_uri": google.token_uri}), flush=True)
        await stopped.wait()


def _part(sql: str) -> float | None:
    # Of the models that a statement names the first is the one that it builds.
    found = _MODEL.search(sql[sql.find("create ") :]) if "create " in sql else None
    return None if found is None else part(found[0])


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--key-file", type=Path, required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--job-ms", type=int, default=0, help="how long a job takes on average")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="what every request waits")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
