"""The seam: every request of dbt's BigQuery clients comes by here, and only reads leave the machine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from . import answers, sql
from .journal import RUN, Journal
from .overlay import Overlay
from .uploads import Uploads

Send = Callable[..., Any]

_PATH = re.compile(r"^(?P<base>.*?)(?P<upload>/(?:resumable/)?upload)?/bigquery/v2/(?P<path>projects/.*)$")
_TABLE_FIELDS = ("type", "schema", "timePartitioning", "rangePartitioning", "clustering")


class Wire:
    """
    Answers the requests of all clients of one dbt invocation.

    Args:
        journal: Where to write what was seen.
        overlay: What this run has changed so far.
        uploads: Where to keep the bytes of load jobs.
        node: Tells on whose behalf this thread works.
        leave_to_dbt: Ends the recording of the node this thread works for, with a reason.
    """

    def __init__(
        self,
        journal: Journal,
        overlay: Overlay,
        uploads: Uploads,
        *,
        node: Callable[[], str],
        leave_to_dbt: Callable[[str], Any],
    ) -> None:
        self.journal = journal
        self.overlay = overlay
        self.uploads = uploads
        self.node = node
        self.leave_to_dbt = leave_to_dbt
        self.base = ""
        self._own: Any = None  # how to send a request of our own, for which project, and where
        self._jobs: dict[str, dict[str, Any]] = {}  # the jobs that were never sent
        self._results: dict[str, tuple[Any, Any]] = {}  # their fields and rows, where they have any
        self._reads: dict[str, dict[str, Any]] = {}  # events of the queries that were sent
        self._nowhere: dict[sql.Path, Any] = {}  # the fields of result tables that do not exist
        self._result_tables: set[sql.Path] = set()  # and those of result tables that do

    def wrap(self, session: Any, *, project: str, location: str | None) -> None:
        """Let a session's requests come by here."""
        send = session.request
        self._own = (send, project, location)

        def request(method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            # A session that met a 401 calls itself again with this; the first call has been seen already.
            if "_credential_refresh_attempt" in kwargs:
                return send(method, url, *args, **kwargs)
            return self._request(send, method.upper(), url, *args, **kwargs)

        session.request = request

    # -- routes ---------------------------------------------------------------------------------------------------

    def _request(self, send: Send, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        data = args[0] if args else kwargs.get("data")
        split = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        if self.uploads.is_session(url):
            return self._uploaded(method, url, data, kwargs.get("headers") or {})
        match = _PATH.match(f"{split.scheme}://{split.netloc}{split.path}")
        if match is None:
            return self._unknown(send, method, url, split.path, data, args, kwargs)
        self.base = self.base or match["base"]
        path = match["path"].rstrip("/")
        parts = [unquote(part) for part in path.split("/")]
        forward = lambda: send(method, url, *args, **kwargs)  # noqa: E731

        if match["upload"]:
            return self._upload(method, url, query, data, kwargs.get("headers") or {})
        shape = (method, len(parts), *parts[2::2])
        if shape == ("POST", 3, "jobs"):
            return self._insert(send, parts[1], _document(data), url, args, kwargs)
        if shape == ("GET", 4, "jobs"):
            return self._get_job(parts[3], url, forward)
        if shape == ("GET", 4, "queries"):
            return self._get_results(parts[3], url, query, forward)
        if shape == ("POST", 5, "jobs", "cancel"):
            return (
                answers.reply({"job": self._jobs[parts[3]]}, url=url) if parts[3] in self._jobs else forward()
            )
        if shape == ("GET", 6, "datasets", "tables"):
            return self._get_table((parts[1], parts[3], parts[5]), url, forward)
        if shape == ("GET", 4, "datasets"):
            return self._get_dataset((parts[1], parts[3]), forward)
        if shape == ("GET", 5, "datasets", "tables"):
            return self._list(parts, forward, "the list of the tables")
        if shape == ("GET", 5, "datasets", "routines"):
            return self._list(parts, forward, "the list of the routines")
        if shape == ("GET", 3, "datasets"):
            return self._list(parts, forward, "the list of the datasets")
        if shape == ("GET", 6, "datasets", "routines"):
            answer = forward()
            # dbt asks for a routine where it found no table. What matters is the table, and that has its guard.
            return answer if answer.status_code == 404 else self._flagged(answer, f"the routine {parts[5]}")
        if method in ("DELETE", "PATCH", "PUT", "POST") and shape[2:] in (
            ("datasets", "tables"),
            ("datasets",),
        ):
            return self._change(method, path, parts, data, url)
        return self._unknown(send, method, url, path, data, args, kwargs)

    def _unknown(
        self, send: Send, method: str, url: str, path: str, data: Any, args: Any, kwargs: Any
    ) -> Any:
        unique_id = self.node()
        if method in ("GET", "HEAD"):
            return self._flagged(send(method, url, *args, **kwargs), path)
        self.journal.add(unique_id, "unknown", method=method, path=path)
        self.leave_to_dbt(f"It sends {method} {path}, which is not known here and was not sent.")
        return answers.reply({}, url=url)

    def _flagged(self, answer: Any, what: str) -> Any:
        if self.node() != RUN:
            self.leave_to_dbt(f"It reads {what} from BigQuery, which cannot be compared later.")
        return answer

    # -- jobs -----------------------------------------------------------------------------------------------------

    def _insert(self, send: Send, project: str, body: Any, url: str, args: Any, kwargs: Any) -> Any:
        configuration = body["configuration"]
        reference = body.get("jobReference") or {}
        if configuration.get("dryRun"):
            return send("POST", url, *args, **kwargs)
        job_id, location = reference.get("jobId") or f"job-{id(body)}", reference.get("location")
        query = configuration.get("query")
        read = query is not None and self.journal.doing("fetch") is not False and sql.is_read(query["query"])
        if not read:
            return self._record(project, location, job_id, body, url)
        unique_id = self.node()
        if self.journal.doing("phase") == "run" and self.journal.doing("test"):
            return self._record(project, location, job_id, body, url, rows=True)
        request = {"project": project, "location": location, "configuration": configuration}
        if self.journal.doing("columns_only") or sql.asks_for_columns_only(query["query"]):
            return self._ask_for_columns(request, project, location, job_id, body, url)
        self._refuse_if_changed(unique_id, query)
        answer = send("POST", url, *args, **kwargs)
        if answer.status_code < 300 and unique_id != RUN:
            self._reads[job_id] = self.journal.add(
                unique_id,
                "rows",
                request=request,
                ordered=sql.has_order(query["query"]),
                schema=None,
                total=None,
                pages={},
            )
            self._note_result_table(answer.json())
        return answer

    def _record(
        self, project: str, location: str | None, job_id: str, body: Any, url: str, *, rows: bool = False
    ) -> Any:
        unique_id = self.node()
        configuration = body["configuration"]
        query = configuration.get("query")
        kind = None if query is None else sql.statement_type(query["query"])
        resource = answers.job(body, project=project, location=location, job_id=job_id, kind=kind)
        self._jobs[job_id] = resource
        self.journal.add(
            unique_id,
            "job",
            job_id=job_id,
            project=project,
            location=location,
            configuration=configuration,
            kind=kind or next(iter(set(configuration) & {"load", "copy", "extract"}), None),
            rows=rows,
            dataset=self._created_dataset(query),
        )
        if query is not None:
            if rows:
                self._results[job_id] = (answers.TEST_FIELDS, [answers.TEST_ROW])
            else:
                self.overlay.apply(query["query"], by=unique_id, dry_run=self.dry_run, exists=self._listed)
            table = resource["configuration"]["query"].get("destinationTable")
            self._nowhere[_path(table)] = []
            last = sql.statements(query["query"])[-1:]
            if (
                not rows
                and self.journal.doing("fetch")
                and kind in ("SCRIPT", "CALL")
                and last
                and (kind == "CALL" or sql.effect(last[0]).verb == "read")
            ):
                self.leave_to_dbt("It uses the result of a script that may also change something.")
        elif "copy" in configuration:
            self.overlay.set(_path(configuration["copy"]["destinationTable"]), by=unique_id)
        elif "load" in configuration:
            fields = (configuration["load"].get("schema") or {}).get("fields")
            self.overlay.set(_path(configuration["load"]["destinationTable"]), by=unique_id, columns=fields)
        return answers.reply(resource, url=url)

    def _created_dataset(self, query: Any) -> str | None:
        """Return the dataset that is being created for the run, if it is that."""
        if query is None or "create_schema" not in (self.journal.doing("macros") or ()):
            return None
        found = [what for what in map(sql.effect, sql.statements(query["query"])) if what.kind == "SCHEMA"]
        if len(found) != 1:
            return None
        return ".".join(
            found[0].path if len(found[0].path) == 2 else (self.overlay.default_project, *found[0].path)
        )

    def _ask_for_columns(
        self, request: Any, project: str, location: str | None, job_id: str, body: Any, url: str
    ) -> Any:
        """Ask for the columns of a query by dry run, which costs nothing."""
        text = request["configuration"]["query"]["query"]
        predicted = any(self.overlay.change(path) for path in sql.paths(text))
        fields = self.overlay.foretell(text, self.dry_run)
        if fields is None:
            who = self._changed(text)
            self.leave_to_dbt(
                f"It needs the columns of a query over {who}, which this run builds first."
                if who
                else "It needs the columns of a query that BigQuery does not accept as it is now."
            )
        self.journal.add(self.node(), "schema", request=request, answer=fields, predicted=predicted)
        resource = answers.job(body, project=project, location=location, job_id=job_id, kind="SELECT")
        self._jobs[job_id] = resource
        self._results[job_id] = (fields, [])
        self._nowhere[_path(resource["configuration"]["query"]["destinationTable"])] = fields
        return answers.reply(resource, url=url)

    def dry_run(self, query: str) -> Any:
        """Return the fields of a query; None where BigQuery does not accept it or does not tell."""
        send, project, location = self._own
        body: dict[str, Any] = {
            "configuration": {"dryRun": True, "query": {"query": query, "useLegacySql": False}},
            "jobReference": {"projectId": project, **({"location": location} if location else {})},
        }
        answer = send(
            "POST",
            f"{self.base}/bigquery/v2/projects/{project}/jobs",
            data=json.dumps(body),
            headers={"Content-Type": "application/json"},
            timeout=60,
        )
        if answer.status_code >= 300:
            return None
        return ((answer.json().get("statistics") or {}).get("query") or {}).get("schema", {}).get(
            "fields"
        ) or None

    def _get_job(self, job_id: str, url: str, forward: Any) -> Any:
        if job_id in self._jobs:
            return answers.reply(self._jobs[job_id], url=url)
        answer = forward()
        if answer.status_code < 300 and job_id in self._reads:
            self._note_result_table(answer.json())
        return answer

    def _get_results(self, job_id: str, url: str, query: dict[str, str], forward: Any) -> Any:
        if job_id in self._jobs:
            return answers.reply(
                answers.results(self._jobs[job_id], *self._results.get(job_id, (None, None))), url=url
            )
        answer = forward()
        read = self._reads.get(job_id)
        if read is not None and answer.status_code < 300:
            document = answer.json()
            # The client asks for rows with a filter that leaves this field out.
            if document.get("jobComplete", True):
                read["schema"] = document.get("schema") or read["schema"]
                read["total"] = int(document.get("totalRows") or read["total"] or 0)
                if document.get("rows"):
                    read["pages"][query.get("pageToken", "")] = document["rows"]
        return answer

    def _note_result_table(self, resource: dict[str, Any]) -> None:
        table = (resource.get("configuration", {}).get("query") or {}).get("destinationTable")
        if table:
            self._result_tables.add(_path(table))

    # -- reads ----------------------------------------------------------------------------------------------------

    def _get_table(self, path: sql.Path, url: str, forward: Any) -> Any:
        if path in self._nowhere:
            return answers.reply(answers.table(path, fields=self._nowhere[path]), url=url)
        if path in self._result_tables:
            return forward()
        if self.journal.doing("blind"):  # dbt asks, but does not look at the answer
            return answers.reply(answers.table(path), url=url)
        unique_id = self.node()
        change = self.overlay.change(path)
        if change is None:
            answer = forward()
            if answer.status_code == 404:
                self._saw_table(unique_id, path, None, predicted=False)
            elif answer.status_code < 300:
                self._saw_table(unique_id, path, answer.json(), predicted=False)
            return answer
        if not change.exists:
            self._saw_table(unique_id, path, None, predicted=True)
            return answers.not_found(f"Table {path[0]}:{path[1]}.{path[2]}", url)
        fields = change.columns()
        if fields is None:
            whose = "it" if change.by == unique_id else change.by
            self.leave_to_dbt(
                f"It reads the columns of {'.'.join(path)}, which {whose} changes first in this run."
            )
        resource = answers.table(path, kind=change.kind, fields=fields)
        self._saw_table(unique_id, path, resource, predicted=True)
        return answers.reply(resource, url=url)

    def _saw_table(self, unique_id: str, path: sql.Path, resource: Any, *, predicted: bool) -> None:
        answer = resource and {name: resource[name] for name in _TABLE_FIELDS if name in resource}
        self.journal.add(unique_id, "table", path=list(path), answer=answer, predicted=predicted)

    def _get_dataset(self, path: sql.Path, forward: Any) -> Any:
        answer = forward()
        if answer.status_code < 300 or answer.status_code == 404:
            found = None if answer.status_code == 404 else {"location": answer.json().get("location")}
            self.journal.add(self.node(), "dataset", path=list(path), answer=found)
        return answer

    def _list(self, parts: list[str], forward: Any, what: str) -> Any:
        answer = forward()
        where = " of " + ".".join(parts[1:4:2])
        if self.node() != RUN:
            self.leave_to_dbt(f"It reads {what}{where}, which this run may change.")
        if parts[4:5] == ["tables"] and answer.status_code < 300:
            listing = self.journal.listings.setdefault(f"{parts[1]}.{parts[3]}", {})
            for table in answer.json().get("tables") or []:
                listing[table["tableReference"]["tableId"]] = table.get("type", "TABLE")
        return answer

    def _listed(self, path: sql.Path) -> bool:
        path = self.overlay.full(path)
        change = self.overlay.change(path)
        if change is not None:
            return change.exists
        return len(path) == 3 and path[2] in self.journal.listings.get(".".join(path[:2]), {})

    def _changed(self, query: str) -> str | None:
        """Return the first relation of *query* that this run writes."""
        for path in sorted(sql.paths(query)):
            if self.overlay.writer(path):
                return ".".join(self.overlay.full(path))
        return None

    def _refuse_if_changed(self, unique_id: str, query: dict[str, Any]) -> None:
        text = query["query"]
        writes = self.overlay.datasets()
        for path in sql.paths(text):
            upper = [part.upper() for part in path]
            if any(part.startswith("INFORMATION_SCHEMA") for part in upper):
                before = self.overlay.full((*path[: _index(upper)], ""))[:-1]
                # A region's or a project's view speaks of every dataset in it.
                if len(before) < 2 or any("region-" in part.lower() for part in before) or before in writes:
                    if "apply_grants" in (self.journal.doing("macros") or ()):
                        self.leave_to_dbt(
                            "It has grants, which are compared with those its relation has by then."
                        )
                    self.leave_to_dbt(f"It asks {'.'.join(path)} about objects that this run changes.")
        if query.get("useLegacySql"):
            changed = next((p for d in (self.overlay.built,) for p in d if p[-1] in text), None)
            who = changed and ".".join(changed)
        else:
            who = self._changed(text)
        if who:
            by = self.overlay.writer(tuple(who.split(".")))
            itself = " itself" if by == unique_id else f" ({by})" if by else ""
            self.leave_to_dbt(f"Its SQL depends on the rows of {who}, which this run builds first{itself}.")

    # -- writes ---------------------------------------------------------------------------------------------------

    def _change(self, method: str, path: str, parts: list[str], data: Any, url: str) -> Any:
        unique_id = self.node()
        body = _document(data) if data else None
        self.journal.add(
            unique_id,
            "call",
            method=method,
            path=path,
            body=body,
            missing_ok=bool(self.journal.doing("missing_ok")),
        )
        if len(parts) == 6:
            table = (parts[1], parts[3], parts[5])
            if method == "DELETE":
                self.overlay.set(table, by=unique_id, exists=False)
            else:
                if "schema" in (body or {}) or method != "PATCH":
                    self.leave_to_dbt(f"It changes the columns of {'.'.join(table)} after reading them.")
                return answers.reply(answers.table(table), url=url)
        else:
            self.leave_to_dbt(f"It changes the dataset {'.'.join(parts[1:4:2])} itself.")
        return answers.reply(None if method == "DELETE" else {}, url=url)

    def _upload(self, method: str, url: str, query: dict[str, str], data: Any, headers: Any) -> Any:
        if method != "POST" or query.get("uploadType") not in ("resumable", "multipart"):
            self.leave_to_dbt(
                f"It uploads in a way that is not known here ({method} {query.get('uploadType')})."
            )
        if query["uploadType"] == "multipart":
            body, content = self.uploads.multipart(data, headers)
            return self._load(body, content, url)
        location = self.uploads.begin(_document(data), url)
        return answers.reply(None, url=url, headers={"location": location})

    def _uploaded(self, method: str, url: str, data: Any, headers: Any) -> Any:
        received, finished = self.uploads.receive(url, data, headers)
        if finished is None:
            return answers.reply(None, status=308, url=url, headers={"range": f"bytes=0-{received - 1}"})
        return self._load(*finished, url)

    def _load(self, body: Any, content: bytes, url: str) -> Any:
        reference = body.get("jobReference") or {}
        job_id = reference.get("jobId") or f"load-{id(content)}"
        project = reference.get("projectId") or url.split("/projects/")[1].split("/")[0]
        answer = self._record(project, reference.get("location"), job_id, body, url)
        self.journal.events[self.node()][-1]["upload"] = self.uploads.keep(content)
        return answer


def _document(data: Any) -> Any:
    return json.loads(data.decode() if isinstance(data, bytes) else data)


def _path(table: dict[str, str]) -> sql.Path:
    return (table["projectId"], table["datasetId"], table["tableId"])


def _index(upper: list[str]) -> int:
    return next(at for at, part in enumerate(upper) if part.startswith("INFORMATION_SCHEMA"))
