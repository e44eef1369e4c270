"""What is replaced in dbt so that it plans instead of building. Nothing of it outlives the process."""

from __future__ import annotations

import functools
from typing import Any

from ..common import need
from .adapter import AdapterPatches
from .datasets import DatasetPatches
from .freshness import FreshnessPatches
from .known_relations import KnownRelations
from .moments import Moments
from .node_context import NodeContext
from .runners import RunnerPatches
from .session import Recording
from .tasks import TaskPatches
from .wire import Wire


def install(recording: Recording) -> None:
    """Put everything in place."""
    replace_clients(recording.wire, recording.context)
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
        wire.wrap(session, project=client.project, location=client.location)

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
