"""
Brings the requests of dbt 2's driver to the warehouse; a process of the dbt-2 environment, imported by nothing.

It is an HTTP proxy that knows two hosts: bigquery.googleapis.com, whose requests go to the warehouse or to the endpoint
that the process' profile names, and bigquerystorage.googleapis.com, the emulator's gRPC server. Other hosts are refused.
What the wrapped driver cannot say (`driver.c`) stands behind the SQL, and is done here (`operations.py`).

Prints one line of JSON, {"proxy": "127.0.0.1:…"}, when it answers, and ends with the process that started it; a line on
standard error for each REST request.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import ssl
import sys
from pathlib import Path

import aiohttp
from aiohttp import web
from operations import Operations, options_of

HOP_BY_HOP = ("connection", "content-length", "host", "keep-alive", "transfer-encoding")
LARGEST = 1 << 30  # bytes of a request


class Proxy:
    """
    The proxy, and the REST server behind it.

    Args:
        warehouse: The root of the REST requests of those who name no endpoint.
        storage: The port of the gRPC server.
        certificates: The folder of `make_certificates`.
        endpoints: The folder with a file per process that names one.
    """

    def __init__(self, warehouse: str, storage: int, certificates: Path, endpoints: Path) -> None:
        self._warehouse = warehouse
        self._ports = {"bigquerystorage.googleapis.com": storage}
        self._certificates = certificates
        self._endpoints = endpoints
        self._processes: dict[int, str] = {}  # by the port that the REST server sees
        self._operations: dict[str, Operations] = {}  # by endpoint

    async def serve(self) -> None:
        """Answer until the process that started this one has ended."""
        parent = os.getppid()
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            auto_decompress=False, timeout=timeout, connector=connector
        ) as session:
            self._session = session
            app = web.Application(client_max_size=LARGEST)
            app.router.add_route("*", "/{path:.*}", self._rest)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificates / "certificate.pem", self._certificates / "key.pem")
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            self._ports["bigquery.googleapis.com"] = runner.addresses[0][1]
            server = await asyncio.start_server(self._tunnel, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            print(json.dumps({"proxy": f"127.0.0.1:{port}"}), flush=True)
            while os.getppid() == parent:  # noqa: ASYNC110  there is no event for the end of a parent
                await asyncio.sleep(0.5)

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one CONNECT."""
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split(" ", 2)
            port = self._ports.get(target.partition(":")[0])
            if method != "CONNECT" or port is None:
                writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                return
            there, back = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(back):
                self._processes[back.get_extra_info("sockname")[1]] = _process(head)
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                ways = [
                    asyncio.ensure_future(_pump(reader, back)),
                    asyncio.ensure_future(_pump(there, writer)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        answer = await self._answer(request)
        line = {"method": request.method, "path": request.path_qs, "status": answer.status}
        print(json.dumps(line), file=sys.stderr, flush=True)
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        """Send one request on, to the endpoint of the process that it comes from."""
        assert request.transport is not None
        process = self._processes.get(request.transport.get_extra_info("peername")[1], "")
        file = self._endpoints / process
        endpoint = file.read_text() if process and file.is_file() else self._warehouse
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP_BY_HOP}
        body = await request.read()
        operations = self._operations.setdefault(endpoint, Operations(self._session, endpoint.rstrip("/")))
        answer = await operations.answer(request)
        if answer is not None:
            return answer
        if request.method == "POST" and request.path.endswith("/jobs"):
            job, options = options_of(json.loads(body))
            if options:
                answer = await operations.carry_out(request, job, options)
                if answer is not None:
                    return answer
                body = json.dumps(job).encode()
        url = endpoint.rstrip("/") + request.raw_path
        try:
            async with self._session.request(request.method, url, headers=headers, data=body or None) as sent:
                kept = {key: value for key, value in sent.headers.items() if key.lower() not in HOP_BY_HOP}
                return web.Response(status=sent.status, headers=kept, body=await sent.read())
        except aiohttp.ClientError:
            request.transport.abort()  # whoever talks to that endpoint would see no answer either
            raise


def _process(head: str) -> str:
    """Return the process that a CONNECT comes from, which is its user; "" where it names none."""
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "proxy-authorization":
            return base64.b64decode(value.split()[-1]).decode().partition(":")[0]
    return ""


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--warehouse", required=True)
    parser.add_argument("--storage", type=int, required=True)
    parser.add_argument("--certificates", type=Path, required=True)
    parser.add_argument("--endpoints", type=Path, required=True)
    arguments = parser.parse_args()
    proxy = Proxy(arguments.warehouse, arguments.storage, arguments.certificates, arguments.endpoints)
    asyncio.run(proxy.serve())


if __name__ == "__main__":
    main()
