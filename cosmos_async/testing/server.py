"""
`FakeGoogle`: BigQuery, Cloud Storage and the token endpoint on one loopback port.

Every request takes the same way: it is recorded, a fault may befall it, its token is checked, it is handled, and a
fault may befall the answer.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from cosmos_async.testing.answers import error_answer, json_answer, partial
from cosmos_async.testing.engine import ApiError
from cosmos_async.testing.faults import Fault, Faults, Harm
from cosmos_async.testing.requests import Request, RequestLog
from cosmos_async.testing.routes import Route

LARGEST_BODY = 1 << 30  # bytes
PIECES = 20  # of a slow body


class Server:
    """
    A loopback HTTP server over routes, with a log of requests and faults.

    Args:
        authenticate: Returns the caller's e-mail address for an Authorization header, or raises 401.
        faults: What goes wrong.
        latency: Seconds that every request waits.
    """

    def __init__(
        self, *, authenticate: Callable[[str | None], str], faults: Faults, latency: float = 0.0
    ) -> None:
        self.requests = RequestLog()
        self.latency = latency
        self.port = 0  #: known once started
        self._authenticate = authenticate
        self._faults = faults
        self._app = web.Application(client_max_size=LARGEST_BODY)
        self._runner: web.AppRunner | None = None

    def add(self, routes: Iterable[Route]) -> None:
        """Serve *routes* to callers with a token."""
        for route in routes:
            self._app.router.add_route(route.method, route.path, self._guarded(route))

    def add_open(
        self, method: str, path: str, operation: str, handler: Callable[[web.Request], Awaitable[Any]]
    ) -> None:
        """Serve a path to everybody."""

        async def answer(request: web.Request, record: Request) -> web.StreamResponse:
            response: web.StreamResponse = await handler(request)
            return response

        self._app.router.add_route(method, path, self._recorded(operation, answer))

    async def start(self, port: int = 0) -> None:
        """Listen on the loopback interface; port 0 means any free one."""
        self.add([Route("*", "/{path:.*}", "unknown", _nobody_serves_this)])
        # handler_cancellation: a client that hangs up ends its long poll here as well.
        self._runner = web.AppRunner(
            self._app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, backlog=4096)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def aclose(self) -> None:
        """Stop listening and end what is under way."""
        self._faults.clear()
        if self._runner:
            await self._runner.cleanup()

    def _guarded(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request, record: Request) -> web.StreamResponse:
            record.email = self._authenticate(request.headers.get("Authorization"))
            return await route.handler(request, record.email)

        return self._recorded(route.operation, answer)

    def _recorded(
        self, operation: str, answer: Callable[[web.Request, Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            record = Request(
                operation, request.method, request.path, request.query, request.headers, await request.read()
            )
            self.requests.add(record)
            fault = self._faults.hit(record)
            if self.latency:
                await asyncio.sleep(self.latency)
            try:
                if fault:
                    await _before(fault)
                if fault and fault.harm is Harm.RESET:
                    return _reset(request)
                response = _partial(request, await answer(request, record))
            except ApiError as error:
                response = error_answer(error)
            finally:
                record.ended = time.monotonic()
            if fault and fault.harm is Harm.LOST:
                return _reset(request)
            record.status = response.status
            if fault and isinstance(response, web.Response):
                return await _after(fault, request, response)
            return response

        return handle


async def _nobody_serves_this(request: web.Request, caller: str) -> web.StreamResponse:
    raise ApiError(404, "notFound", f"Not Found: {request.method} {request.path}")


def _partial(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    mask = request.query.get("fields")
    if not mask or not isinstance(response, web.Response) or response.content_type != "application/json":
        return response
    body = json.loads(response.body) if isinstance(response.body, bytes) else {}
    return json_answer(partial(body, mask), status=response.status)


async def _before(fault: Fault) -> None:
    if fault.harm is Harm.REFUSED and fault.error:
        raise fault.error
    if fault.harm is Harm.DELAYED:
        await asyncio.sleep(fault.seconds)
    if fault.harm is Harm.HELD:
        await fault.released.wait()


async def _after(fault: Fault, request: web.Request, response: web.Response) -> web.StreamResponse:
    body = response.body if isinstance(response.body, bytes) else b""
    if fault.harm is Harm.TRUNCATED:
        stream = await _headers_only(request, response, len(body))
        await stream.write(body[: len(body) // 2])
        return _cut(request, stream)
    if fault.harm is Harm.GARBLED:
        return web.Response(body=body[: len(body) // 2], content_type=response.content_type)
    if fault.harm is Harm.PAGE:
        return web.Response(text="<html><body>Please sign in.</body></html>", content_type="text/html")
    if fault.harm is Harm.SLOW:
        stream = await _headers_only(request, response, len(body))
        size = max(1, -(-len(body) // PIECES))
        for start in range(0, len(body), size):
            await asyncio.sleep(fault.seconds / PIECES)
            await stream.write(body[start : start + size])
        await stream.write_eof()
        return stream
    return response


async def _headers_only(request: web.Request, response: web.Response, size: int) -> web.StreamResponse:
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = size
    await stream.prepare(request)
    return stream


def _reset(request: web.Request) -> web.Response:
    """Reset the connection, so that the client sees neither an answer nor a proper end."""
    transport = request.transport
    if transport is not None:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


def _cut(request: web.Request, stream: web.StreamResponse) -> web.StreamResponse:
    """Close the connection after what has been sent so far."""
    if request.transport is not None:
        request.transport.close()
    return stream
