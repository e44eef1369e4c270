"""
A server on this machine that stands where BigQuery's REST API is, for one run of one program.

It admits whoever knows its address, a part of which is a secret of this run. Google's clients put the path of an upload in
the place of all that the address has behind the host, so an upload comes without the secret: it is admitted from processes
of this user alone. What the server sends on carries the credentials that came with the request, which are never kept.
"""

from __future__ import annotations

import hmac
import http.server
import json
import logging
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from cosmos_async.dbt.endpoint.peer import Address, is_of_this_user
from cosmos_async.dbt.scripts.recording.calls import Call

logger = logging.getLogger(__name__)

GOOGLE = "https://bigquery.googleapis.com"
_TOKEN = "/token"
SECONDS = 600.0  # to wait for an answer; BigQuery holds those to long polls back for minutes

#: What concerns one connection only, and what is made anew for the next one.
_OF_A_CONNECTION = frozenset(
    (
        *(
            "connection",
            "keep-alive",
            "proxy-authenticate",
            "proxy-authorization",
            "te",
            "trailer",
            "upgrade",
        ),
        *("transfer-encoding", "content-length", "content-encoding", "accept-encoding", "host"),
    )
)
#: An address below the server's: with the secret, for an upload or not, with or without the API's root.
_PATH = re.compile(
    r"^/(?P<secret>[^/]+)(?P<upload>(?:/resumable)?/upload)?(?:/bigquery/v2)*/(?P<path>projects/.*)$"
)
_UPLOAD = re.compile(r"^(?P<upload>(?:/resumable)?/upload)/bigquery/v2/(?P<path>projects/[^/]+/jobs)$")


class Refused(Exception):
    """Answers a request with BigQuery's kind of error; the message is a sentence for a person."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class Server:
    """
    Answers the requests of one program.

    Args:
        answer: Answers one of them with a ``requests.Response``. Several threads call it.
        root: Where requests are sent on to, without ``/bigquery/v2``.
        token: A token that it gives to whoever asks it for one; without it, it gives none.
        env: The program's environment: requests are sent on by its proxies, and with its certificates.
    """

    def __init__(
        self,
        answer: Callable[[Call], Any],
        *,
        root: str = GOOGLE,
        token: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._token = token
        self._proxies = _proxies(env or {}, root)
        bundles = map((env or {}).get, ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"))
        self._certificates = next(filter(None, bundles), True)
        self._answer = answer
        self._secret = secrets.token_hex(16)
        self._here = threading.local()
        self.root = root.rstrip("/")
        self.requests = 0  #: how many have come from who may ask

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Answer until the block ends, and give the address that a profile's ``api_endpoint`` has to be."""
        server = _Listener(("127.0.0.1", 0), self._handler())
        thread = threading.Thread(
            target=server.serve_forever, args=(0.05,), name="bigquery-endpoint", daemon=True
        )
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/{self._secret}/bigquery/v2/"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    @staticmethod
    def token_address(endpoint: str) -> str:
        """Return where it gives its token; *endpoint* is what :meth:`serve` has given."""
        return endpoint.replace("/bigquery/v2/", _TOKEN)

    def send(self, method: str, url: str, **kwargs: Any) -> Any:
        """
        Send a request on behalf of the one that this thread is answering: with its credentials.

        Args:
            method: The HTTP method.
            url: The whole address.
            kwargs: As for ``requests.Session.request``.
        """
        if not hasattr(self._here, "session"):
            self._here.session = self._session()
        headers = {**self._here.credentials, **(kwargs.pop("headers", None) or {})}
        kwargs.setdefault("timeout", SECONDS)
        # Credentials go where they were meant to go, and nowhere else.
        return self._here.session.request(method, url, headers=headers, allow_redirects=False, **kwargs)

    def _session(self) -> Any:
        import requests

        session = requests.Session()
        # The worker's own proxies are not the program's, and a .netrc must not take the place of the credentials that have
        # come along.
        session.trust_env = False
        session.proxies = self._proxies
        session.verify = self._certificates
        return session

    def _admitted(self, path: str, ends: tuple[Address, Address]) -> re.Match[str] | None:
        upload = _UPLOAD.match(path)
        if upload is not None:
            return upload if is_of_this_user(*ends) else None
        match = _PATH.match(path)
        known = match is not None and hmac.compare_digest(match["secret"].encode(), self._secret.encode())
        return match if known else None

    def _call(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        ends: tuple[Address, Address],
    ) -> Call | None:
        """Return a request as it is sent on; None where it comes from nobody who may send it."""
        split = urlsplit(target)
        match = self._admitted(split.path, ends)
        if match is None:
            return None
        kept = {name: value for name, value in headers.items() if name.lower() not in _OF_A_CONNECTION}
        self._here.credentials = {
            name: value
            for name, value in kept.items()
            if name.lower() in ("authorization", "x-goog-user-project", "user-agent")
        }
        url = f"{self.root}{match['upload'] or ''}/bigquery/v2/{match['path']}"
        if split.query:
            url += f"?{split.query}"
        return Call(self.send, method, url, (), {"data": body or None, "headers": kept})

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """One connection."""

            protocol_version = "HTTP/1.1"
            timeout = SECONDS
            # An answer is one write, which waits for nobody to acknowledge an earlier one.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do(self) -> None:
                """Answer one request."""
                body = self._body()
                if server._token is not None and self.path == f"/{server._secret}{_TOKEN}":
                    token = {"access_token": server._token, "expires_in": 3600, "token_type": "Bearer"}
                    self._reply(200, {"Content-Type": "application/json"}, json.dumps(token).encode())
                    return
                ends = self.client_address, self.connection.getsockname()
                call = server._call(self.command, self.path, dict(self.headers.items()), body, ends)
                if call is None:
                    self._reply(403, {}, _error(403, "This address is not for you."))
                    return
                server.requests += 1
                try:
                    answer = server._answer(call)
                except Refused as refused:
                    self._reply(refused.status, {}, _error(refused.status, refused.message))
                except (
                    Exception
                ) as error:  # dbt gets an answer, and the recording knows nothing of this request
                    logger.exception("no answer to %s %s", call.method, call.path)
                    self._reply(501, {}, _error(501, f"cosmos-async has no answer: {type(error).__name__}"))
                else:
                    self._reply(answer.status_code, answer.headers, answer.content)
                finally:
                    server._here.credentials = {}

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do

            def _body(self) -> bytes:
                if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                found = b""
                while True:
                    size = int(self.rfile.readline().split(b";")[0], 16)
                    found += self.rfile.read(size)
                    self.rfile.readline()
                    if not size:
                        return found

            def _reply(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in _OF_A_CONNECTION:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: paths begin with the secret."""

        return Handler


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked has gone away, as a program that is killed does."""
        logger.debug("a connection has ended", exc_info=True)


def _proxies(env: Mapping[str, str], root: str) -> dict[str, str]:
    """Return the proxies by which a program with this environment reaches an address, by the schemes of addresses."""
    from requests.utils import should_bypass_proxies

    named = {name.lower(): value for name, value in sorted(env.items())}  # as everywhere, small letters win
    if should_bypass_proxies(root, named.get("no_proxy", "")):
        return {}
    found = {scheme: named.get(f"{scheme}_proxy") for scheme in ("http", "https", "all")}
    return {scheme: proxy for scheme, proxy in found.items() if proxy}


def _error(status: int, message: str) -> bytes:
    reason = "accessDenied" if status == 403 else "invalid"
    error = {"code": status, "message": message, "errors": [{"message": message, "reason": reason}]}
    return json.dumps({"error": error}).encode()
