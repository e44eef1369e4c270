"""The seam: every request of dbt's BigQuery clients comes by here, and only reads leave the machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from . import answers, sql
from .calls import Call
from .journal import RUN, Journal
from .listings import Listings
from .overlay import Overlay
from .uploads import Uploads

_CHANGES = frozenset(("DELETE", "PATCH", "PUT", "POST"))
_TABLE_FIELDS = ("type", "schema", "timePartitioning", "rangePartitioning", "clustering")
_SETTINGS = (
    "materializedView",
    "maxStaleness",
    "expirationTime",
    "encryptionConfiguration",
    "description",
    "labels",
    "resourceTags",
)


class Wire:
    """
    Answers the requests of all clients of one dbt invocation.

    Args:
        journal: Where to write what was seen.
        overlay: What this run has changed so far.
        uploads: Where to keep the bytes of load jobs.
        node: Tells on whose behalf this thread works.
        leave_to_dbt: Ends the recording of the node this thread works for, with a reason.
        leave_for_later: Likewise, where the node can be planned once those before it are built.
    """

    def __init__(
        self,
        journal: Journal,
        overlay: Overlay,
        uploads: Uploads,
        *,
        node: Callable[[], str],
        leave_to_dbt: Callable[[str], Any],
        leave_for_later: Callable[[str], Any],
    ) -> None:
        self.journal = journal
        self.overlay = overlay
        self.uploads = uploads
        self.node = node
        self.leave_to_dbt = leave_to_dbt
        self.leave_for_later = leave_for_later
        self._listings = Listings(
            journal, overlay, node=node, leave_to_dbt=leave_to_dbt, leave_for_later=leave_for_later
        )
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
            return self._answer(Call(send, method, url, args, kwargs))

        session.request = request

    # -- routes ---------------------------------------------------------------------------------------------------

    def _answer(self, call: Call) -> Any:
        if self.uploads.is_session(call.url):
            return self._uploaded(call)
        if not call.known:
            return self._unknown(call)
        self.base = self.base or call.base
        if call.is_upload:
            return self._upload(call)
        parts, shape = call.parts, call.shape
        if shape == ("POST", 3, "jobs"):
            return self._insert(call)
        if shape == ("GET", 4, "jobs"):
            return self._get_job(call)
        if shape == ("GET", 4, "queries"):
            return self._get_results(call)
        if shape == ("POST", 5, "jobs", "cancel"):
            job = self._jobs.get(parts[3])
            return call.forward() if job is None else answers.reply({"job": job}, url=call.url)
        if shape == ("GET", 6, "datasets", "tables"):
            return self._get_table(call)
        if shape == ("GET", 4, "datasets"):
            return self._get_dataset(call)
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
            return self._change(call)
        return self._unknown(call)

    def _unknown(self, call: Call) -> Any:
        if call.method in ("GET", "HEAD"):
            return self._flagged(call.forward(), call.path)
        self.journal.add(self.node(), "unknown", method=call.method, path=call.path)
        self.leave_to_dbt(f"It sends {call.method} {call.path}, which is not known here and was not sent.")
        return answers.reply({}, url=call.url)

    def _flagged(self, answer: Any, what: str) -> Any:
        if self.node() != RUN:
            self.leave_to_dbt(f"It reads {what} from BigQuery, which cannot be compared later.")
        return answer

    # -- jobs -----------------------------------------------------------------------------------------------------

    def _insert(self, call: Call) -> Any:
        project, body, url = call.parts[1], call.document, call.url
        configuration = body["configuration"]
        reference = body.get("jobReference") or {}
        if configuration.get("dryRun"):
            return call.forward()
        job_id, location = reference.get("jobId") or f"job-{id(body)}", reference.get("location")
        query = configuration.get("query")
        kept = self.journal.doing("keeping")
        if kept is not None:
            return self._keep(kept, project, location, job_id, body, url)
        finding = self.journal.doing("finding")
        asks = query is not None and not self.journal.doing("columns_only") and sql.is_read(query["query"])
        if finding is not None and asks:
            return self._keep(finding, project, location, job_id, body, url)
        read = query is not None and self.journal.doing("fetch") is not False and sql.is_read(query["query"])
        if not read:
            return self._record(project, location, job_id, body, url)
        unique_id = self.node()
        test = self.journal.doing("test") if self.journal.doing("phase") == "run" else None
        if test in ("test", "freshness") or (
            test == "unit_test" and not sql.asks_for_columns_only(query["query"])
        ):
            return self._record(project, location, job_id, body, url, rows=True)
        request = {"project": project, "location": location, "configuration": configuration}
        if self.journal.doing("columns_only") or sql.asks_for_columns_only(query["query"]):
            return self._ask_for_columns(request, project, location, job_id, body, url)
        why = self.overlay.why_not_now(
            query["query"], reader=unique_id, legacy=bool(query.get("useLegacySql"))
        )
        if unique_id == RUN:
            self.leave_to_dbt(
                why.reason if why else "It asks BigQuery something that cannot be asked again later."
            )
        elif why:
            (self.leave_for_later if why.late else self.leave_to_dbt)(why.reason)
        predicted = self.overlay.without_rows(query["query"]) or query["query"]
        answer = call.forward() if predicted == query["query"] else call.forward_query(predicted)
        self._accepted(answer)
        if answer.status_code < 300 and unique_id != RUN:
            self._reads[job_id] = self.journal.add(
                unique_id,
                "rows",
                request=request,
                ordered=sql.has_order(query["query"]),
                predicted=predicted != query["query"],
                schema=None,
                total=None,
                pages={},
            )
            self._note_result_table(answer.json())
        return answer

    @contextmanager
    def keeping(self, fields: Any = None, rows: Any = None) -> Iterator[list[dict[str, Any]]]:
        """
        Keep this thread's jobs for their caller: neither sent nor part of the node's events.

        Args:
            fields: The columns of the result that dbt gets.
            rows: Its rows, each a list of values.
        """
        jobs: list[dict[str, Any]] = []
        with self.journal.while_doing(keeping=(jobs, fields, rows)):
            yield jobs

    def _keep(self, kept: Any, project: str, location: str | None, job_id: str, body: Any, url: str) -> Any:
        jobs, fields, rows = kept
        jobs.append(
            json.loads(
                json.dumps({"project": project, "location": location, "configuration": body["configuration"]})
            )
        )
        resource = answers.job(body, project=project, location=location, job_id=job_id, kind="SELECT")
        self._jobs[job_id] = resource
        self._results[job_id] = (fields, rows)
        if "query" in resource["configuration"]:
            self._nowhere[_path(resource["configuration"]["query"]["destinationTable"])] = fields
        return answers.reply(resource, url=url)

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
                self._results[job_id] = answers.TEST_RESULTS[self.journal.doing("test")]
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
            path = _path(configuration["copy"]["destinationTable"])
            table, _, partition = path[2].partition("$")
            if partition:  # of a table that keeps its shape
                self.overlay.wrote((*path[:2], table), by=unique_id)
            else:
                self.overlay.note(path, by=unique_id)
        elif "load" in configuration:
            fields = (configuration["load"].get("schema") or {}).get("fields")
            self.overlay.note(_path(configuration["load"]["destinationTable"]), by=unique_id, columns=fields)
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
            reader = self.node()
            changed = self.overlay.changed_in(text, reader=reader)
            if changed is None:
                self.leave_for_later(
                    "It needs the columns of a query that BigQuery does not accept as it is now."
                )
            elif changed[1] == reader:
                self.leave_to_dbt(
                    f"It needs the columns of a query over {changed[0]}, which it writes itself."
                )
            else:
                self.leave_for_later(
                    f"It needs the columns of a query over {changed[0]}, which this run builds first ({changed[1]})."
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

    def _get_job(self, call: Call) -> Any:
        job_id, url = call.parts[3], call.url
        if job_id in self._jobs:
            return answers.reply(self._jobs[job_id], url=url)
        answer = call.forward()
        if job_id in self._reads:
            self._accepted(answer)
            if answer.status_code < 300:
                self._note_result_table(answer.json())
        return answer

    def _accepted(self, answer: Any) -> None:
        """Leave the node for later where BigQuery refuses a query of it: what it asks for may not be there yet."""
        if answer.status_code in (400, 404):
            message = answer.json().get("error", {}).get("message")
        elif answer.status_code < 300:
            message = (answer.json().get("status", {}).get("errorResult") or {}).get("message")
        else:
            return  # nothing that the query could help
        if message is None or self.node() == RUN:
            return
        if self.node().startswith("operation.") and self.overlay.unchanged:
            return  # a hook before anything is written: dbt meets the same, and says so in its own words
        self.leave_for_later(f"BigQuery does not accept what it asks as things are now: {message}")

    def _get_results(self, call: Call) -> Any:
        job_id, url = call.parts[3], call.url
        if job_id in self._jobs:
            return answers.reply(
                answers.results(self._jobs[job_id], *self._results.get(job_id, (None, None))), url=url
            )
        answer = call.forward()
        read = self._reads.get(job_id)
        if read is not None:
            self._accepted(answer)
        if read is not None and answer.status_code < 300:
            document = answer.json()
            # The client asks for rows with a filter that leaves this field out.
            if document.get("jobComplete", True):
                read["schema"] = document.get("schema") or read["schema"]
                read["total"] = int(document.get("totalRows") or read["total"] or 0)
                if document.get("rows"):
                    read["pages"][call.query.get("pageToken", "")] = document["rows"]
        return answer

    def _note_result_table(self, resource: dict[str, Any]) -> None:
        table = (resource.get("configuration", {}).get("query") or {}).get("destinationTable")
        if table:
            self._result_tables.add(_path(table))

    # -- reads ----------------------------------------------------------------------------------------------------

    def _get_table(self, call: Call) -> Any:
        path, url = (call.parts[1], call.parts[3], call.parts[5]), call.url
        if path in self._nowhere:
            return answers.reply(answers.table(path, fields=self._nowhere[path]), url=url)
        if path in self._result_tables:
            return call.forward()
        if self.journal.doing("blind"):  # dbt asks, but does not look at the answer
            return answers.reply(answers.table(path), url=url)
        altering = self.journal.doing("altering")
        if altering is not None and altering.path == path:
            return self._get_altered(call, altering)
        unique_id = self.node()
        change = self.overlay.change(path)
        if change is None:
            answer = call.forward()
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
            if change.by == unique_id:
                self.leave_to_dbt(f"It reads the columns of {'.'.join(path)}, which it changes itself.")
            else:
                self.leave_for_later(
                    f"It reads the columns of {'.'.join(path)}, which this run builds first ({change.by})."
                )
        resource = answers.table(path, kind=change.kind, fields=fields)
        self._saw_table(unique_id, path, resource, predicted=True)
        return answers.reply(resource, url=url)

    def _get_altered(self, call: Call, altering: Any) -> Any:
        """Answer with a table that dbt is about to write back: it has read the columns before, so they have a guard."""
        if altering.before is None:
            change = self.overlay.change(altering.path)
            if change is None:
                answer = call.forward()
                if answer.status_code >= 300:
                    return answer
                altering.before = (answer.json().get("schema") or {}).get("fields") or []
            else:
                altering.before = change.columns()
            if altering.before is None:
                self.leave_to_dbt("It changes columns of its table that cannot be foretold.")
            return answers.reply(answers.table(altering.path, fields=altering.before), url=call.url)
        return answers.reply(answers.table(altering.path, fields=altering.now()), url=call.url)

    def _saw_table(self, unique_id: str, path: sql.Path, resource: Any, *, predicted: bool) -> None:
        settings = bool(self.journal.doing("settings"))
        if settings and predicted:
            self.leave_to_dbt(f"It looks at the settings of {'.'.join(path)}, which it changes first.")
        fields = (*_TABLE_FIELDS, *_SETTINGS) if settings else _TABLE_FIELDS
        answer = resource and {name: resource[name] for name in fields if name in resource}
        kind = "settings" if settings else "table"
        self.journal.add(unique_id, kind, path=list(path), answer=answer, predicted=predicted)

    def _get_dataset(self, call: Call) -> Any:
        path = (call.parts[1], call.parts[3])
        answer = call.forward()
        if answer.status_code < 300 or answer.status_code == 404:
            found = None if answer.status_code == 404 else {"location": answer.json().get("location")}
            self.journal.add(self.node(), "dataset", path=list(path), answer=found)
        return answer

    def _listed(self, path: sql.Path) -> bool:
        path = self.overlay.full(path)
        change = self.overlay.change(path)
        if change is not None:
            return change.exists
        return len(path) == 3 and path[2] in self.journal.listings.get(".".join(path[:2]), {})

    # -- writes ---------------------------------------------------------------------------------------------------

    def _change(self, call: Call) -> Any:
        unique_id, method, path, parts, url = self.node(), call.method, call.path, call.parts, call.url
        body = call.document if call.data else None
        altering = self.journal.doing("altering")
        written = (body or {}).get("schema") if method == "PATCH" else None
        if altering is not None and written and tuple(parts[1::2]) == altering.path:
            altering.fields = written["fields"]
            return answers.reply(answers.table(altering.path, fields=altering.fields), url=url)
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
                self.overlay.note(table, by=unique_id, exists=False)
            else:
                if "schema" in (body or {}) or method != "PATCH":
                    self.leave_to_dbt(f"It changes the columns of {'.'.join(table)} after reading them.")
                return answers.reply(answers.table(table), url=url)
        else:
            self.leave_to_dbt(f"It changes the dataset {'.'.join(parts[1:4:2])} itself.")
        return answers.reply(None if method == "DELETE" else {}, url=url)

    def _upload(self, call: Call) -> Any:
        way = call.query.get("uploadType")
        if call.method == "POST" and way == "resumable":
            location = self.uploads.begin(call.document, call.url)
            return answers.reply(None, url=call.url, headers={"location": location})
        if call.method == "POST" and way == "multipart":
            return self._load(*self.uploads.multipart(call.data, call.headers), call.url)
        return self._unknown(call)

    def _uploaded(self, call: Call) -> Any:
        received, finished = self.uploads.receive(call.url, call.data, call.headers)
        if finished is None:
            return answers.reply(None, status=308, url=call.url, headers={"range": f"bytes=0-{received - 1}"})
        return self._load(*finished, call.url)

    def _load(self, body: Any, content: bytes, url: str) -> Any:
        reference = body.get("jobReference") or {}
        job_id = reference.get("jobId") or f"load-{id(content)}"
        project = reference.get("projectId") or url.split("/projects/")[1].split("/")[0]
        answer = self._record(project, reference.get("location"), job_id, body, url)
        self.journal.events[self.node()][-1]["upload"] = self.uploads.keep(content)
        return answer


def _path(table: dict[str, str]) -> sql.Path:
    return (table["projectId"], table["datasetId"], table["tableId"])
