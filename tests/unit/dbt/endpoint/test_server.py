"""The server that dbt 2 takes for BigQuery: whom it admits, and what it sends on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from cosmos_async.dbt.endpoint import peer
from cosmos_async.dbt.endpoint.server import Refused, Server
from cosmos_async.dbt.scripts.recording import answers
from cosmos_async.dbt.scripts.recording.calls import Call


class Google:
    """Stands for BigQuery, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        google = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                google.asked.append((self.command, self.path, dict(self.headers), body))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Set-Cookie", "a=b")
                self.end_headers()
                self.wfile.write(b'{"kind": "bigquery#table"}')

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def google() -> Iterator[Google]:
    google = Google()
    thread = threading.Thread(target=google.server.serve_forever, args=(0.01,))
    thread.start()
    yield google
    google.server.shutdown()
    google.server.server_close()
    thread.join()


def _forward(call: Call) -> Any:
    return call.forward()


def test_a_request_is_sent_on_as_it_came(google: Google) -> None:
    with Server(_forward, root=google.root).serve() as endpoint, requests.Session() as session:
        answer = session.post(
            f"{endpoint}projects/p/jobs?alt=json", json={"a": 1}, headers={"Authorization": "Bearer t"}
        )

    assert answer.json() == {"kind": "bigquery#table"}
    ((method, path, headers, body),) = google.asked
    assert (method, path, json.loads(body)) == ("POST", "/bigquery/v2/projects/p/jobs?alt=json", {"a": 1})
    assert headers["Authorization"] == "Bearer t"


@pytest.mark.parametrize("below", ["projects/p/jobs", "bigquery/v2/projects/p/jobs"])
def test_a_client_may_add_the_apis_root_once_more(google: Google, below: str) -> None:
    with Server(_forward, root=google.root).serve() as endpoint, requests.Session() as session:
        session.get(endpoint + below)

    assert [path for _, path, _, _ in google.asked] == ["/bigquery/v2/projects/p/jobs"]


def test_who_does_not_know_the_secret_is_not_answered(google: Google) -> None:
    answered: list[Call] = []

    def answer(call: Call) -> Any:
        answered.append(call)
        return call.forward()

    with Server(answer, root=google.root).serve() as endpoint, requests.Session() as session:
        port = endpoint.split(":")[2].split("/")[0]
        statuses = [
            session.get(f"http://127.0.0.1:{port}{path}").status_code
            for path in ("/bigquery/v2/projects/p/jobs", "/0123/bigquery/v2/projects/p/jobs", "/")
        ]

    assert statuses == [403, 403, 403]
    assert (answered, google.asked) == ([], [])


UPLOAD = "/upload/bigquery/v2/projects/p/jobs?uploadType=multipart"


@pytest.mark.parametrize("path", [UPLOAD, "/resumable" + UPLOAD])
def test_an_upload_comes_without_the_secret(google: Google, path: str) -> None:
    """Google's client for Go puts its path in the place of the whole path of the address."""
    with Server(_forward, root=google.root).serve() as endpoint, requests.Session() as session:
        answer = session.post(urljoin(endpoint, path), data=b"rows")

    assert answer.status_code == 200
    assert [(asked, body) for _, asked, _, body in google.asked] == [(path, b"rows")]


def test_an_upload_of_another_user_is_not_answered(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer.os, "geteuid", lambda: 4711)

    with Server(_forward, root=google.root).serve() as endpoint, requests.Session() as session:
        assert session.post(urljoin(endpoint, UPLOAD), data=b"rows").status_code == 403

    assert google.asked == []


def test_nor_is_one_where_nobody_tells_whose_it_is(
    google: Google, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peer, "TABLE", tmp_path / "tcp")

    with Server(_forward, root=google.root).serve() as endpoint, requests.Session() as session:
        assert session.post(urljoin(endpoint, UPLOAD), data=b"rows").status_code == 403


@pytest.mark.parametrize("path", ["/upload/bigquery/v2/projects/p/datasets", "/upload/x/projects/p/jobs"])
def test_nothing_but_jobs_is_uploaded_without_the_secret(google: Google, path: str) -> None:
    with Server(_forward, root=google.root).serve() as endpoint, requests.Session() as session:
        assert session.post(urljoin(endpoint, path), data=b"rows").status_code == 403

    assert google.asked == []


def test_credentials_are_gone_with_the_request_that_brought_them(google: Google) -> None:
    server = Server(lambda call: server.send("GET", f"{google.root}/own"), root=google.root)

    with server.serve() as endpoint, requests.Session() as session:
        session.get(f"{endpoint}projects/p/jobs", headers={"Authorization": "Bearer one"})
        session.get(f"{endpoint}projects/p/jobs")

    assert [headers.get("Authorization") for _, _, headers, _ in google.asked] == ["Bearer one", None]


def test_a_body_in_chunks_is_read(google: Google) -> None:
    with Server(_forward, root=google.root).serve() as endpoint, requests.Session() as session:
        session.post(f"{endpoint}projects/p/jobs", data=iter([b"ab", b"cd"]))

    assert google.asked[0][3] == b"abcd"


def test_a_refusal_is_told_as_bigquery_tells_errors() -> None:
    def refuse(call: Call) -> Any:
        raise Refused("It is not known here.")

    with Server(refuse).serve() as endpoint, requests.Session() as session:
        answer = session.delete(f"{endpoint}projects/p/datasets/d")

    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "It is not known here.")


def test_what_goes_wrong_here_is_an_error_for_dbt_and_is_sent_to_nobody(google: Google) -> None:
    def fail(call: Call) -> Any:
        raise KeyError("jobReference")

    with Server(fail, root=google.root).serve() as endpoint, requests.Session() as session:
        assert session.post(f"{endpoint}projects/p/jobs", json={}).status_code == 501

    assert google.asked == []


def test_nobody_listens_when_the_run_has_ended() -> None:
    with Server(lambda call: answers.reply({})).serve() as endpoint:
        pass

    with pytest.raises(requests.ConnectionError):
        requests.get(f"{endpoint}projects/p/jobs", timeout=5)


def test_it_sends_on_by_the_programs_proxies(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by those of the process it runs in, which may reach other places."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    env = {"HTTP_PROXY": google.root, "NO_PROXY": "127.0.0.1"}
    with (
        Server(_forward, root="http://bigquery.invalid", env=env).serve() as endpoint,
        requests.Session() as session,
    ):
        session.trust_env = False
        answer = session.get(f"{endpoint}projects/p/jobs")

    assert answer.status_code == 200
    assert [path for _, path, _, _ in google.asked] == ["http://bigquery.invalid/bigquery/v2/projects/p/jobs"]


def test_what_needs_no_proxy_is_reached_without(google: Google) -> None:
    env = {"http_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
    with (
        Server(_forward, root=google.root, env=env).serve() as endpoint,
        requests.Session() as session,
    ):
        session.trust_env = False
        assert session.get(f"{endpoint}projects/p/jobs").status_code == 200
