#!/usr/bin/env bash
# gcloud-aio-bigquery 7.3.0: Job.result() raises a bare Exception for a job that failed and OSError for one that still
# runs, which is also what a broken connection raises: only the text tells them apart, and "still running" looks like
# something that a retry of connection errors should catch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install -q --disable-pip-version-check gcloud-aio-auth==5.6.0 gcloud-aio-bigquery==7.3.0
"$python" - <<'PYTHON'
import asyncio
import importlib.metadata
import sys

from aiohttp import web
from gcloud.aio.bigquery import Job

ERROR = {"reason": "invalidQuery", "message": "Unrecognized name: nobody"}
JOBS = {
    "failed": {"status": {"state": "DONE", "errorResult": ERROR, "errors": [ERROR]}},
    "running": {"status": {"state": "RUNNING"}},
}


async def job(request: web.Request) -> web.Response:
    return web.json_response(JOBS[request.match_info["job"]])


async def main() -> dict[str, BaseException]:
    app = web.Application()
    app.router.add_get("/projects/p/jobs/{job}", job)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    root = f"http://127.0.0.1:{runner.addresses[0][1]}"
    raised = {}
    for name in JOBS:
        client = Job(name, project="p", api_root=root)
        try:
            await client.result()
        except Exception as error:
            raised[name] = error
        await client.close()
    await runner.cleanup()
    return raised


raised = asyncio.run(main())
print(f"Python {sys.version.split()[0]}, gcloud-aio-bigquery {importlib.metadata.version('gcloud-aio-bigquery')}")
for name, error in raised.items():
    print(f"{name}: {type(error).__name__}: {error}")
assert type(raised["failed"]) is Exception, "the behaviour has changed"
assert type(raised["running"]) is OSError, "the behaviour has changed"
PYTHON
