"""The seam: every request that dbt makes to BigQuery comes by here, and only reads leave the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from . import answers
from .calls import Call
from .jobs import Jobs, Serve, Submission
from .journal import RUN
from .listings import Listings
from .node_context import NodeContext
from .tables import Tables
from .uploads import Uploads

#: Sends a request and returns a ``requests.Response``.
Send = Callable[..., Any]
_CHANGES = frozenset(("DELETE", "PATCH", "PUT", "POST"))


class Wire:
    """
    Answers the requests of all clients of one dbt invocation.

    Whoever stands between dbt and BigQuery gives each request to :meth:`answer`.

    Args:
        context: Of the node that asks.
        uploads: Where to keep the bytes of load jobs.
        serve: As for :class:`.jobs.Jobs`.
    """

    def __init__(self, context: NodeContext, uploads: Uploads, serve: Serve | None = None) -> None:
        self.jobs = Jobs(context, self.dry_run, serve)
        self._tables = Tables(context)
        self._listings = Listings(context)
        self._context = context
        self._uploads = uploads
        self._base = ""
        self._own: tuple[Send, str, str | None] | None = None

    def ask_by(self, send: Send, *, project: str, location: str | None) -> None:
        """
        Take what sends a request of our own: a dry run.

        Args:
            send: Sends a request, as ``requests.Session.request`` does.
            project: In which dry runs are made.
            location: Where.
        """
        self._own = (send, project, location)

    def answer(self, call: Call) -> Any:
        """Return the answer to a request: BigQuery's own, or what it would be if all before it had been done."""
        if self._uploads.is_session(call.url):
            return self._uploaded(call)
        if not call.known:
            return self._unknown(call)
        self._base = self._base or call.base
        if call.is_upload:
            return self._upload(call)
        parts, shape = call.parts, call.shape
        if shape == ("POST", 3, "jobs"):
            return self.jobs.insert(call)
        if shape == ("GET", 4, "jobs"):
            return self.jobs.get(call)
        if shape == ("GET", 4, "queries"):
            return self.jobs.results(call)
        if shape == ("POST", 5, "jobs", "cancel"):
            return self.jobs.cancel(call)
        if shape == ("GET", 6, "datasets", "tables"):
            return (
                self.jobs.result_table(call) if self.jobs.has_result(call.table) else self._tables.get(call)
            )
        if shape == ("GET", 4, "datasets"):
            return self._tables.get_dataset(call)
        if shape in (
            ("GET", 5, "datasets", "tables"),
            ("GET", 5, "datasets", "routines"),
            ("GET", 3, "datasets"),
        ):
            return self._listings.answer(call)
        if shape == ("GET", 6, "datasets", "routines"):
            answer = call.forward()
            # dbt asks for a routine where it found no table. What matters is the table, and that has its guard.
            return answer if answer.status_code == 404 else self._flagged(answer, f"the routine {parts[5]}")
        if call.method in _CHANGES and shape[2:] in (("datasets", "tables"), ("datasets",)):
            return self._tables.change(call)
        return self._unknown(call)

    def _unknown(self, call: Call) -> Any:
        if call.method in ("GET", "HEAD"):
            return self._flagged(call.forward(), call.path)
        self._context.journal.add(self._context.node(), "unknown", method=call.method, path=call.path)
        self._context.leave_to_dbt(
            f"It sends {call.method} {call.path}, which is not known here and was not sent."
        )
        return answers.reply({}, url=call.url)

    def _flagged(self, answer: Any, what: str) -> Any:
        if self._context.node() != RUN:
            self._context.leave_to_dbt(f"It reads {what} from BigQuery, which cannot be compared later.")
        return answer

    def dry_run(self, query: str) -> Any:
        """Return the fields of a query; None where BigQuery does not accept it or does not tell."""
        assert self._own is not None
        send, project, location = self._own
        body: dict[str, Any] = {
            "configuration": {"dryRun": True, "query": {"query": query, "useLegacySql": False}},
            "jobReference": {"projectId": project, **({"location": location} if location else {})},
        }
        answer = send(
            "POST",
            f"{self._base}/bigquery/v2/projects/{project}/jobs",
            data=json.dumps(body),
            headers={"Content-Type": "application/json"},
            timeout=60,
        )
        if answer.status_code >= 300:
            return None
        return ((answer.json().get("statistics") or {}).get("query") or {}).get("schema", {}).get(
            "fields"
        ) or None

    def _upload(self, call: Call) -> Any:
        way = call.query.get("uploadType")
        if call.method == "POST" and way == "resumable":
            location = self._uploads.begin(call.document, call.url)
            return answers.reply(None, url=call.url, headers={"location": location})
        if call.method == "POST" and way == "multipart":
            return self._load(*self._uploads.multipart(call.data, call.headers), call.url)
        return self._unknown(call)

    def _uploaded(self, call: Call) -> Any:
        received, finished = self._uploads.receive(call.url, call.data, call.headers)
        if finished is None:
            return answers.reply(None, status=308, url=call.url, headers={"range": f"bytes=0-{received - 1}"})
        return self._load(*finished, call.url)

    def _load(self, body: Any, content: bytes, url: str) -> Any:
        return self.jobs.record(Submission(body, url, upload=self._uploads.keep(content)))
