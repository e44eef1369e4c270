"""
What it costs to wait for many jobs at once: `python -m tests.bench.waiting`, or `make bench-waiting`.

A stand-in for BigQuery in a process of its own runs some thousand jobs of half a minute or so. One event loop waits for all of
them, as a triggerer does, and beside it for as many by a long poll each, as a bare client would. Told are the CPU seconds of
the process that waits, how much later than its end a job was known to have ended, the longest time for which the event loop
did nothing else, the requests, and how much the process grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cosmos_async.triggers.google.bigquery import BigQuery
from cosmos_async.triggers.google.session import Session, shared_session
from cosmos_async.triggers.jobs.waiter import Waiter

PROJECT = "bench-project"
AT_ONCE = 50  # inserts
TICK = 0.01  # seconds
Wait = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def measured(endpoint: str, identity: dict[str, Any], jobs: int, *, bare: bool) -> dict[str, float]:
    """Wait for *jobs* jobs and return what that took."""
    async with shared_session(identity) as session:
        bigquery = BigQuery(session, endpoint)
        resources = await _inserted(bigquery, f"{'bare' if bare else 'ours'}_{jobs}_{os.getpid()}", jobs)
        sent = _counted(session)
        waiter = Waiter(bigquery, long_polls=jobs if bare else 200)
        grown, cpu = _size(), time.process_time()
        longest = [0.0]
        ticker = asyncio.create_task(_tick(longest))
        lags = await asyncio.gather(*(_lag(waiter.wait, resource) for resource in resources))
        ticker.cancel()
        lags.sort()
        return {
            "cpu": time.process_time() - cpu,
            "lag p50": statistics.median(lags),
            "lag p95": lags[int(len(lags) * 0.95)],
            "longest block": longest[0],
            "requests": sent[0],
            "grown MB": (_size() - grown) / 1024,
        }


async def _inserted(bigquery: BigQuery, name: str, jobs: int) -> list[dict[str, Any]]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def insert(number: int) -> dict[str, Any]:
        reference = {"projectId": PROJECT, "jobId": f"{name}_{number}", "location": "US"}
        query = {"query": {"query": f"select {number}", "useLegacySql": False}}
        async with gate:
            return await bigquery.insert_job(PROJECT, {"jobReference": reference, "configuration": query})

    return list(await asyncio.gather(*map(insert, range(jobs))))


async def _lag(wait: Wait, resource: dict[str, Any]) -> float:
    ended = await wait(resource)
    return time.time() - int(ended["statistics"]["endTime"]) / 1000


async def _tick(longest: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(TICK)
        longest[0] = max(longest[0], time.perf_counter() - begun - TICK)


def _counted(session: Session) -> list[int]:
    """Count the requests of a session from now on."""
    sent, call = [0], session.call

    async def counting(*args: Any, **kwargs: Any) -> Any:
        sent[0] += 1
        return await call(*args, **kwargs)

    session.call = counting  # type: ignore[method-assign]
    return sent


def _size() -> int:
    """Return the most memory that this process has had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="+", default=[200, 1000, 5000])
    parser.add_argument("--seconds", default="60,90", help="how long jobs take, from and to")
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    parser.add_argument(
        "--one", nargs=2, help=argparse.SUPPRESS
    )  # ours or bare, and how many: in a process of its own
    parser.add_argument("--endpoint", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        who, jobs = options.one
        identity = json.loads(os.environ["BENCH_IDENTITY"])
        print(json.dumps(asyncio.run(measured(options.endpoint, identity, int(jobs), bare=who == "bare"))))
        return
    found = []
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key.json"
        words = [sys.executable, "-m", "cosmos_async.testing", "--project", PROJECT, "--key-file", key]
        words += ["--job-seconds", options.seconds]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            endpoint = json.loads(server.stdout.readline())["bigquery_endpoint"]
            try:
                for jobs in options.jobs:
                    for who in ("ours", "bare"):
                        found.append({"who": who, "jobs": jobs, **_alone(who, jobs, endpoint, key)})
                        print(_line(found[-1]), flush=True)
            finally:
                server.terminate()
    if options.json is not None:
        options.json.write_text(json.dumps({"found": found, **vars(options)}, indent=1, default=str))


def _alone(who: str, jobs: int, endpoint: str, key: Path) -> dict[str, float]:
    connection = {"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": key.read_text()}}
    env = {
        **os.environ,
        "AIRFLOW_CONN_BENCH": json.dumps(connection),
        "BENCH_IDENTITY": json.dumps({"conn_id": "bench"}),
    }
    words = [sys.executable, "-m", "tests.bench.waiting", "--one", who, str(jobs), "--endpoint", endpoint]
    done = subprocess.run(words, env=env, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _line(one: dict[str, Any]) -> str:
    told = ", ".join(f"{name} {value:.2f}" for name, value in one.items() if name not in ("who", "jobs"))
    return f"{one['jobs']:5} jobs, {one['who']}: {told}"


if __name__ == "__main__":
    main()
