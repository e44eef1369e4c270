"""
The fast stand-in as a process that tells what it saw: `python -m tests.chaos.warehouse --key-file key.json`.

Beside Google's services it serves a second port for the monkey and the checker: faults to deal, jobs and requests to ask
for. Times are the wall clock's, in seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import time
from pathlib import Path

from aiohttp import web

from cosmos_async.testing import FakeGoogle, Harm, Request
from cosmos_async.testing.__main__ import write_private
from tests.chaos.plans import DATASET, JOURNAL, SECONDS, marked_seconds

BUCKET = "chaos-plans"
ERRORS = (429, 500, 502, 503)
_JOB = re.compile(r"/(?:jobs|queries)/([\w-]+)")


class Control:
    """
    What the monkey and the checker ask for.

    Args:
        google: The stand-in.
    """

    def __init__(self, google: FakeGoogle) -> None:
        self._google = google

    def app(self) -> web.Application:
        """Return the routes."""
        app = web.Application()
        app.router.add_post("/faults", self.faults)
        app.router.add_get("/running", self.running)
        app.router.add_get("/report", self.report)
        app.router.add_get("/outcomes", self.outcomes)
        app.router.add_get("/nonces", self.nonces)
        return app

    async def faults(self, request: web.Request) -> web.Response:
        """Deal faults from now on, in place of those before: ``{"lost": 0.05, "errors": 0.05}``."""
        wanted = await request.json()
        self._google.faults.clear()
        if wanted.get("lost"):
            self._google.harm("*", Harm.LOST, times=None, probability=wanted["lost"])
        for status in ERRORS:
            if wanted.get("errors"):
                # One after the other, so each is a little likelier among what the others have left.
                self._google.fail("*", status, times=None, probability=wanted["errors"] / len(ERRORS))
        return web.json_response({})

    async def running(self, request: web.Request) -> web.Response:
        """Answer the ids of the jobs that run now, and how long each will go on."""
        now = time.time()
        left = {
            job.job_id: marked_seconds(job.spec.sql) - (now - (job.started or job.created))
            for job in self._google.jobs
            if job.state.value != "DONE"
        }
        return web.json_response(left)

    async def report(self, request: web.Request) -> web.Response:
        """Answer all jobs, and every request that spoke of one."""
        offset = time.time() - time.monotonic()
        jobs = [
            {
                "id": job.job_id,
                "created": job.created,
                "ended": job.ended,
                "state": job.state.value,
                "error": job.error.reason if job.error else None,
                "sql": job.spec.sql,
            }
            for job in self._google.inserted_jobs
        ]
        spoke = []
        for made in self._google.requests:
            job_id = _job_of(made)
            if job_id:
                entry = {"operation": made.operation, "id": job_id, "at": made.began + offset}
                spoke.append({**entry, "status": made.status})
        return web.json_response({"jobs": jobs, "requests": spoke, "seen": len(self._google.requests)})

    async def outcomes(self, request: web.Request) -> web.Response:
        """Answer the outcomes in the store below a prefix, by object name."""
        prefix = request.query.get("prefix", "")
        found = {
            name: json.loads(data)
            for name, data in self._google.stored(BUCKET).items()
            if name.startswith(prefix) and "/outcomes/" in name
        }
        return web.json_response(found)

    async def nonces(self, request: web.Request) -> web.Response:
        """Answer the nonces of the planned runs in the store below a prefix, by object name."""
        prefix = request.query.get("prefix", "")
        found = {
            name: data.decode()
            for name, data in self._google.stored(BUCKET).items()
            if name.startswith(prefix) and name.endswith("/nonce")
        }
        return web.json_response(found)


def _job_of(request: Request) -> str | None:
    if request.operation == "jobs.insert":
        found = re.search(rb'"jobId":\s*"([\w-]+)"', request.body)
        return found.group(1).decode() if found else None
    if request.operation.startswith("jobs.") and (match := _JOB.search(request.path)):
        return match.group(1)
    return None


async def serve(options: argparse.Namespace) -> None:
    """Serve until a signal."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with FakeGoogle(project_id="p", seed=options.seed) as google:
        google.add_bucket(BUCKET)
        google.add_table("p", DATASET, JOURNAL, schema=[{"name": "node", "type": "STRING"}])
        for seconds in SECONDS:
            mark = f"/* seconds:{seconds} */"
            google.on_query(lambda job, mark=mark: mark in job.sql, seconds=seconds)
            google.on_query(
                lambda job, mark=mark: mark in job.sql and "should_error" in job.sql,
                seconds=seconds,
                rows=[{"failures": 0, "should_warn": False, "should_error": False}],
            )
        runner = web.AppRunner(Control(google).app(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        write_private(options.key_file, json.dumps(google.key_file))
        port = runner.addresses[0][1]
        print(json.dumps({"endpoint": google.endpoint, "control": f"http://127.0.0.1:{port}"}), flush=True)
        await stopped.wait()
        await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--key-file", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    asyncio.run(serve(parser.parse_args()))
