"""What is replaced in dbt so that it plans instead of building. Nothing of it outlives the process."""

from __future__ import annotations

import functools
import threading
from typing import Any

from ..common import need
from ..recording.calls import Call
from ..recording.node_context import NodeContext
from ..recording.wire import Send, Wire
from .adapter import AdapterPatches
from .datasets import DatasetPatches
from .freshness import FreshnessPatches
from .known_relations import KnownRelations
from .moments import Moments
from .runners import RunnerPatches
from .session import Recording
from .tasks import TaskPatches


def install(recording: Recording) -> None:
    """Put everything in place."""
    replace_clients(recording.wire, recording.context)
    share_credentials()
    AdapterPatches(recording).install()
    DatasetPatches(recording).install()
    RunnerPatches(recording).install()
    TaskPatches(recording).install()
    FreshnessPatches(recording).install()
    Moments(recording).install()
    if recording.overlay.late:
        KnownRelations(recording).install()


def replace_clients(wire: Wire, context: NodeContext) -> None:
    """Let every request of Google's clients come by *wire*."""
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud.bigquery import Client

    need(AuthorizedSession, "request")
    need(Client, "_http", "location")  # its project is set by __init__
    begin, send = Client.__init__, AuthorizedSession.request

    @functools.wraps(begin)
    def init(client: Any, *args: Any, **kwargs: Any) -> None:
        begin(client, *args, **kwargs)
        session = client._http
        session.cosmos_async = True
        wire.ask_by(session.request, project=client.project, location=client.location)
        session.request = _coming_by(wire, session.request)

    @functools.wraps(send)
    def request(session: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        # Another Google client: whatever it is for, it changes nothing while we plan.
        if not hasattr(session, "cosmos_async") and method.upper() not in ("GET", "HEAD"):
            context.leave_to_dbt(f"It sends {method} {url.split('?')[0]}, which is not known here.")
            raise RuntimeError(
                f"{method} {url.split('?')[0]} was not sent, as this run is only being planned"
            )
        return send(session, method, url, *args, **kwargs)

    Client.__init__ = init
    AuthorizedSession.request = request


def share_credentials() -> None:
    """
    Have all of dbt's clients use the same Google credentials.

    dbt opens a client for each node, and with it reads the service account's key and asks for a token once more (dbt-bigquery 1.9
    to 1.12). To check an RSA key takes some 50 ms of a processor, half of what planning a project takes; the requests are the
    same. Google's credentials may be used by several threads.
    """
    from dbt.adapters.bigquery import clients

    create = getattr(clients, "create_google_credentials", None)
    if create is None:  # a newer dbt, which plans as well without
        return
    lock = threading.Lock()
    made: list[tuple[Any, Any]] = []  # by dbt's profile

    @functools.wraps(create)
    def shared(profile: Any) -> Any:
        with lock:
            for known, credentials in made:
                if known is profile:
                    return credentials
            credentials = create(profile)
            made.append((profile, credentials))
            return credentials

    clients.create_google_credentials = shared


def _coming_by(wire: Wire, send: Send) -> Send:
    """Return what sends a session's requests, but for those that *wire* answers itself."""

    def request(method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        # A session that met a 401 calls itself again with this; the first call has been seen already.
        if "_credential_refresh_attempt" in kwargs:
            return send(method, url, *args, **kwargs)
        return wire.answer(Call(send, method, url, args, kwargs))

    return request
