"""Jobs: queries that only read are sent, columns are asked for by dry run, and all others are written down."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import answers, effects, sql
from .calls import Call
from .journal import RUN
from .node_context import NodeContext
from .overlay import DryRun

#: Answers the submission of a job with a job whose result has these fields and rows.
Serve = Callable[[Call, Any, Any], Any]


class Result(enum.Enum):
    """What is known of the rows that dbt gets for a job."""

    READ = "read"  #: BigQuery has sent them
    FORETOLD = "foretold"  #: there are none, and their columns have a guard
    NO_ROWS = "no rows"  #: there are none, as the job only changes something
    PARTITIONS = "partitions"  #: they are found when the node runs
    MADE_UP = "made up"  #: nobody knows


@dataclass(frozen=True)
class Submission:
    """
    A job that dbt submits.

    Args:
        body: Its resource.
        url: Where it is sent.
        upload: The digest of the bytes that it brings along.
    """

    body: Any
    url: str
    upload: str | None = None

    @property
    def _reference(self) -> dict[str, str]:
        return self.body.get("jobReference") or {}

    @property
    def job_id(self) -> str:
        """The job's id; one of our own where BigQuery would choose it."""
        return self._reference.get("jobId") or f"job-{id(self.body)}"

    @property
    def project(self) -> str:
        """The project it runs in."""
        return self._reference.get("projectId") or self.url.split("/projects/")[1].split("/")[0]

    @property
    def location(self) -> str | None:
        """Where it runs, if dbt tells."""
        return self._reference.get("location")

    @property
    def configuration(self) -> Any:
        """What it is to do."""
        return self.body["configuration"]

    @property
    def query(self) -> Any:
        """The same for a query; None for other jobs."""
        return self.configuration.get("query")

    @property
    def request(self) -> dict[str, Any]:
        """What it takes to submit it once more."""
        return {"project": self.project, "location": self.location, "configuration": self.configuration}


class Jobs:
    """
    Answers what is asked of jobs and of their results.

    Args:
        context: Of the node that asks.
        dry_run: Returns the fields of a query; None where BigQuery does not accept it or does not tell.
        serve: Makes results that are not BigQuery's, for whoever reads results past us; without it they are answered here.
    """

    def __init__(self, context: NodeContext, dry_run: DryRun, serve: Serve | None = None) -> None:
        self._context = context
        self._journal = context.journal
        self._overlay = context.overlay
        self._dry_run = dry_run
        self._serve = serve
        self._served: set[str] = set()  # the jobs whose results were made
        self._jobs: dict[str, dict[str, Any]] = {}  # the jobs that were never sent
        self._known: dict[str, Result] = {}  # what is known of their rows
        self._results: dict[str, tuple[Any, Any]] = {}  # their fields and rows, where they have any
        self._reads: dict[str, dict[str, Any]] = {}  # events of the queries that were sent
        self._nowhere: dict[sql.Path, Any] = {}  # the fields of result tables that do not exist
        self._result_tables: set[sql.Path] = set()  # and those of result tables that do

    def insert(self, call: Call) -> Any:
        """Answer the submission of a job."""
        job = Submission(call.document, call.url)
        if job.configuration.get("dryRun"):
            return call.forward()
        kept = self._journal.doing("keeping")
        if kept is not None:
            return self._keep(kept, job)
        query, reads = job.query, job.query is not None and sql.is_read(job.query["query"])
        columns_only = self._journal.doing("columns_only")
        if columns_only and not reads:
            self._context.leave_to_dbt(
                "It needs the columns of a script, which BigQuery tells of queries only."
            )
        finding = self._journal.doing("finding")
        if finding is not None and reads and not columns_only:
            return self._keep(finding, job)
        if not reads or self._journal.doing("fetch") is False:
            return self.record(job)
        columns_only = columns_only or sql.asks_for_columns_only(query["query"])
        test = self._journal.doing("test") if self._journal.doing("phase") == "run" else None
        if test in ("test", "freshness") or (
            test == "unit_test" and not sql.asks_for_columns_only(query["query"])
        ):
            return self._with_result(call, job, self.record(job, rows=True))
        if columns_only:
            return self._with_result(call, job, self._ask_for_columns(job))
        unique_id = self._context.node()
        why = self._overlay.why_not_now(
            query["query"], reader=unique_id, legacy=bool(query.get("useLegacySql"))
        )
        assumed = None
        if unique_id == RUN:
            self._context.leave_to_dbt(
                why.reason if why else "It asks BigQuery something that cannot be asked again later."
            )
        elif why is not None:
            assumed = (self._context.assume if why.late else self._context.leave_to_dbt)(why.reason)
        predicted = self._overlay.without_rows(query["query"]) or query["query"]
        answer = call.forward() if predicted == query["query"] else call.forward_query(predicted)
        self._accepted(answer, assumed)
        if answer.status_code < 300 and unique_id != RUN:
            self._reads[job.job_id] = self._journal.add(
                unique_id,
                "rows",
                request=job.request,
                ordered=sql.has_order(query["query"]),
                predicted=predicted != query["query"],
                assumed=assumed,
                schema=None,
                total=None,
                pages={},
            )
            self._note_result_table(answer.json())
        return answer

    def _with_result(self, call: Call, job: Submission, answer: Any) -> Any:
        """Return the answer to a job whose result is known, such that whoever submits it can read that."""
        if self._serve is None:
            return answer
        resource = self._jobs.pop(job.job_id)
        del self._nowhere[_result_of(resource)]
        self._served.add(job.job_id)
        answer = self._serve(call, *self._results.pop(job.job_id))
        if answer.status_code < 300:
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
        with self._journal.while_doing(keeping=(jobs, fields, rows)):
            yield jobs

    def was_read(self, job_id: str) -> bool:
        """Tell whether a job is a query that was sent, and whose rows have a guard."""
        return job_id in self._reads

    def result_of(self, job_id: str) -> Result:
        """Return what is known of the rows of a job that is done."""
        return self._known.get(job_id, Result.MADE_UP if job_id in self._jobs else Result.READ)

    def _keep(self, kept: Any, job: Submission) -> Any:
        jobs, fields, rows = kept
        jobs.append(json.loads(json.dumps(job.request)))
        resource = self._begin(job, "SELECT")
        if kept is self._journal.doing("finding"):
            self._known[job.job_id] = Result.PARTITIONS
        self._results[job.job_id] = (fields, rows)
        if "query" in resource["configuration"]:
            self._nowhere[_result_of(resource)] = fields
        return answers.reply(resource, url=job.url)

    def _begin(self, job: Submission, kind: str | None) -> Any:
        """Take note of a job that is not sent, and return it as BigQuery would."""
        resource = answers.job(
            job.body, project=job.project, location=job.location, job_id=job.job_id, kind=kind
        )
        self._jobs[job.job_id] = resource
        return resource

    def record(self, job: Submission, *, rows: bool = False) -> Any:
        """
        Write a job down, and answer as if it had been done.

        Args:
            job: The job.
            rows: Whether its result is a test's.
        """
        unique_id, configuration, query = self._context.node(), job.configuration, job.query
        kind = None if query is None else effects.statement_type(query["query"])
        resource = self._begin(job, kind)
        self._journal.add(
            unique_id,
            "job",
            job_id=job.job_id,
            project=job.project,
            location=job.location,
            configuration=configuration,
            kind=kind or next(iter(set(configuration) & {"load", "copy", "extract"}), None),
            rows=rows,
            dataset=self._created_dataset(query),
            upload=job.upload,
        )
        if query is not None:
            if rows:
                self._results[job.job_id] = answers.TEST_RESULTS[self._journal.doing("test")]
            else:
                self._overlay.apply(query["query"], by=unique_id, dry_run=self._dry_run, exists=self._listed)
                if sql.gives_no_rows(query["query"]):
                    self._known[job.job_id] = Result.NO_ROWS
            self._nowhere[_result_of(resource)] = []
        elif "copy" in configuration:
            path = _path(configuration["copy"]["destinationTable"])
            table, _, partition = path[2].partition("$")
            if partition:  # of a table that keeps its shape
                self._overlay.wrote((*path[:2], table), by=unique_id)
            else:
                self._overlay.note(path, by=unique_id)
        elif "load" in configuration:
            fields = (configuration["load"].get("schema") or {}).get("fields")
            self._overlay.note(_path(configuration["load"]["destinationTable"]), by=unique_id, columns=fields)
        return answers.reply(resource, url=job.url)

    def _created_dataset(self, query: Any) -> str | None:
        """Return the dataset that is being created for the run, if it is that."""
        if query is None or "create_schema" not in (self._journal.doing("macros") or ()):
            return None
        found = [
            what for what in map(effects.effect, sql.statements(query["query"])) if what.kind == "SCHEMA"
        ]
        if len(found) != 1:
            return None
        return ".".join(
            found[0].path if len(found[0].path) == 2 else (self._overlay.default_project, *found[0].path)
        )

    def _ask_for_columns(self, job: Submission) -> Any:
        """Ask for the columns of a query by dry run, which costs nothing."""
        text = job.query["query"]
        predicted = any(self._overlay.change(path) for path in sql.paths(text))
        fields, assumed = self._overlay.foretell(text, self._dry_run), None
        if fields is None:
            fields, assumed = self._columns_now(text)
        self._journal.add(
            self._context.node(),
            "schema",
            request=job.request,
            answer=fields,
            predicted=predicted,
            assumed=assumed,
        )
        resource = self._begin(job, "SELECT")
        self._known[job.job_id] = Result.FORETOLD
        self._results[job.job_id] = (fields, [])
        self._nowhere[_result_of(resource)] = fields
        return answers.reply(resource, url=job.url)

    def _columns_now(self, text: str) -> tuple[Any, str]:
        """Return the columns of a query that nobody can foretell, as they are now, and why that is no more than an assumption."""
        reader = self._context.node()
        changed = self._overlay.changed_in(text, reader=reader)
        if changed is None:
            self._context.leave_for_later(
                "It needs the columns of a query that BigQuery does not accept as it is now."
            )
        relation, by = changed or ("", "")
        if by == reader:
            self._context.leave_to_dbt(
                f"It needs the columns of a query over {relation}, which it writes itself."
            )
        reason = f"It needs the columns of a query over {relation}, which this run builds first ({by})."
        assumed = self._context.assume(reason)
        fields = self._dry_run(text)
        if fields is None:
            self._context.leave_for_later(reason)
        return fields, assumed

    def cancel(self, call: Call) -> Any:
        """Answer the cancelling of a job."""
        job = self._jobs.get(call.parts[3])
        return call.forward() if job is None else answers.reply({"job": job}, url=call.url)

    def get(self, call: Call) -> Any:
        """Return a job."""
        job_id, url = call.parts[3], call.url
        if job_id in self._jobs:
            return answers.reply(self._jobs[job_id], url=url)
        answer = call.forward()
        if job_id in self._reads:
            self._accepted(answer, self._reads[job_id]["assumed"])
        if (job_id in self._reads or job_id in self._served) and answer.status_code < 300:
            self._note_result_table(answer.json())
        return answer

    def _accepted(self, answer: Any, assumed: str | None) -> None:
        """
        Leave the node for later where BigQuery refuses a query of it: what it asks for may not be there yet.

        Args:
            answer: BigQuery's.
            assumed: Why its answer is no more than an assumption, if it is one.
        """
        if answer.status_code in (400, 404):
            message = answer.json().get("error", {}).get("message")
        elif answer.status_code < 300:
            message = (answer.json().get("status", {}).get("errorResult") or {}).get("message")
        else:
            return  # nothing that the query could help
        if message is None or self._context.node() == RUN:
            return
        if self._context.node().startswith("operation.") and self._overlay.unchanged:
            return  # a hook before anything is written: dbt meets the same, and says so in its own words
        self._context.leave_for_later(
            assumed or f"BigQuery does not accept what it asks as things are now: {message}"
        )

    def results(self, call: Call) -> Any:
        """Return the rows of a job."""
        job_id, url = call.parts[3], call.url
        if job_id in self._jobs:
            return answers.reply(
                answers.results(self._jobs[job_id], *self._results.get(job_id, (None, None))), url=url
            )
        answer = call.forward()
        read = self._reads.get(job_id)
        if read is not None:
            self._accepted(answer, read["assumed"])
        if read is not None and answer.status_code < 300:
            document = answer.json()
            # The client asks for rows with a filter that leaves this field out.
            if document.get("jobComplete", True):
                read["schema"] = document.get("schema") or read["schema"]
                read["total"] = int(document.get("totalRows") or read["total"] or 0)
                if document.get("rows"):
                    read["pages"][call.query.get("pageToken", "")] = document["rows"]
        return answer

    def has_result(self, table: sql.Path) -> bool:
        """Tell whether a table holds the result of a query."""
        return table in self._nowhere or table in self._result_tables

    def result_table(self, call: Call) -> Any:
        """Return such a table."""
        if call.table not in self._nowhere:
            return call.forward()
        return answers.reply(answers.table(call.table, fields=self._nowhere[call.table]), url=call.url)

    def _note_result_table(self, resource: dict[str, Any]) -> None:
        table = (resource.get("configuration", {}).get("query") or {}).get("destinationTable")
        if table:
            self._result_tables.add(_path(table))

    def _listed(self, path: sql.Path) -> bool:
        path = self._overlay.full(path)
        change = self._overlay.change(path)
        if change is not None:
            return change.exists
        return len(path) == 3 and path[2] in self._journal.listings.get(".".join(path[:2]), {})


def _result_of(resource: Any) -> sql.Path:
    return _path(resource["configuration"]["query"]["destinationTable"])


def _path(table: dict[str, str]) -> sql.Path:
    return (table["projectId"], table["datasetId"], table["tableId"])
