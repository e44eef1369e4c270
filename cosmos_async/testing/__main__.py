"""
Run the stand-in as a process: python -m cosmos_async.testing --key-file key.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from cosmos_async.testing.google import FakeGoogle


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; once ready, one line of JSON on stdout tells the endpoints."""
    asyncio.run(serve(parser().parse_args(arguments)))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        prog="python -m cosmos_async.testing",
        description="A stand-in for BigQuery, Cloud Storage and their token endpoint, in memory, without SQL.",
    )
    result.add_argument(
        "--port", type=int, default=0, help="where to listen; 0, the default, takes any free port"
    )
    result.add_argument(
        "--key-file", type=Path, required=True, help="where to write the service account's key file"
    )
    result.add_argument("--project", default="local-project", help="the service account's project")
    result.add_argument("--location", default="US", help="where datasets and jobs are that name no location")
    result.add_argument("--bucket", action="append", default=[], help="a bucket to make; may be repeated")
    result.add_argument("--dataset", action="append", default=[], help="a dataset to make; may be repeated")
    result.add_argument("--latency-ms", type=float, default=0.0, help="what every request waits")
    result.add_argument(
        "--job-seconds", type=seconds, default=(0.0, 0.0), metavar="LO,HI", help="how long jobs take"
    )
    result.add_argument("--job-slots", type=int, default=None, help="how many jobs run at once")
    result.add_argument("--seed", type=int, default=0, help="where everything random starts")
    return result


def seconds(text: str) -> tuple[float, float]:
    """Return the range in "lo,hi" or "both"."""
    low, _, high = text.partition(",")
    return float(low), float(high or low)


async def serve(options: argparse.Namespace) -> None:
    """Serve until a signal."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    google = FakeGoogle(
        project_id=options.project,
        location=options.location,
        port=options.port,
        latency=options.latency_ms / 1000,
        job_seconds=options.job_seconds,
        job_slots=options.job_slots,
        seed=options.seed,
    )
    async with google:
        for bucket in options.bucket:
            google.add_bucket(bucket)
        for dataset in options.dataset:
            google.add_dataset(options.project, dataset)
        write_private(options.key_file, json.dumps(google.key_file, indent=2))
        ready = {
            "bigquery_endpoint": google.bigquery_endpoint,
            "storage_endpoint": google.storage_endpoint,
            "key_file": str(options.key_file),
        }
        print(json.dumps(ready), flush=True)
        await stopped.wait()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


if __name__ == "__main__":
    main()
