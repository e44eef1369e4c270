"""
What the warehouse was asked, for the process that started it: its log of requests on a port of its own.

`GET /requests?since=N` answers {"next": M, "requests": [...]} with what came after the first N requests. Only requests
that could change something are listed; a number stands for all of them.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from cosmos_async.testing.requests import MUTATIONS, Request, RequestLog

#: A client says in this header for which dbt node it asks.
NODE_HEADER = "X-Dbt-Node"


@contextlib.asynccontextmanager
async def window(log: RequestLog) -> AsyncIterator[str]:
    """Serve *log* on a loopback port and give its root, such as "http://127.0.0.1:4712"."""

    async def requests(request: web.Request) -> web.Response:
        since = int(request.query.get("since", 0))
        seen = list(log)
        shown = [_shown(each) for each in seen[since:] if each.operation in MUTATIONS]
        return web.json_response({"next": len(seen), "requests": shown})

    app = web.Application()
    app.router.add_get("/requests", requests)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _shown(request: Request) -> dict[str, Any]:
    return {
        "operation": request.operation,
        "method": request.method,
        "path": request.path,
        "query": dict(request.query),
        "content_type": request.headers.get("Content-Type", ""),
        "node": request.headers.get(NODE_HEADER),
        "status": request.status,
        "body": base64.b64encode(request.body).decode(),
    }
