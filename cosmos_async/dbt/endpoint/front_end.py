"""
Gives dbt 2's requests to the core of the recorder, with what has to be said of each: who asks, and what for.

dbt 2 (2.0.0-alpha.4) asks some things in SQL that dbt 1 asks by REST: which datasets there are, which relations, and whether
one is there. These are understood here; all else is the core's. What is not understood is not sent, or leaves its node to
real dbt.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NoReturn
from urllib.parse import quote

from cosmos_async.dbt.endpoint import descriptions
from cosmos_async.dbt.endpoint.results import Results
from cosmos_async.dbt.endpoint.server import Refused, Server
from cosmos_async.dbt.endpoint.spans import Ambiguous, Asker, Spans
from cosmos_async.dbt.scripts.recording import answers, effects, sql
from cosmos_async.dbt.scripts.recording.calls import Call
from cosmos_async.dbt.scripts.recording.fields import rows_query
from cosmos_async.dbt.scripts.recording.jobs import Submission
from cosmos_async.dbt.scripts.recording.journal import RUN, Journal
from cosmos_async.dbt.scripts.recording.listings import Listings
from cosmos_async.dbt.scripts.recording.node_context import NodeContext
from cosmos_async.dbt.scripts.recording.overlay import Overlay
from cosmos_async.dbt.scripts.recording.tables import Tables
from cosmos_async.dbt.scripts.recording.uploads import Uploads
from cosmos_async.dbt.scripts.recording.wire import Wire

#: dbt's descriptions of its own queries (``dbt-adapter/src``, ``with_desc``).
_FILLS_CACHE = frozenset(("list_relations_in_parallel", "get_relation > list_relations call"))
_ONE_RELATION = "get_relation adapter call"
_LOCATION = "get_dataset_location adapter call"
_COLUMNS = "get_column_schema_from_query adapter call"
_DESCRIBES = "update_table_description adapter call"
#: Has no description of dbt's: the text of this query is the word none, and its driver sends none.
_DESCRIBES_COLUMNS = "update_columns_descriptions"

_WHICH_TABLE = re.compile(r"table_name\s*=\s*'([^']*)'", re.I)
_WHICH_DATASET = re.compile(r"schema_name\s*=\s*'([^']*)'", re.I)
#: Where BigQuery keeps results of queries (40 hexadecimal digits) and of scripts.
_RESULTS_DATASET = re.compile(r"_(?:[0-9a-f]{40}|script[0-9a-f]+)$")
_COMMENT = re.compile(r"^\s*/\*.*?\*/|/\*.*?\*/\s*;?\s*$", re.S)
_RELATION_FIELDS = [
    {"name": name, "type": "STRING"} for name in ("table_catalog", "table_schema", "table_name", "table_type")
]
#: How INFORMATION_SCHEMA calls what the REST API calls TABLE.
_TYPES = {"TABLE": "BASE TABLE", "MATERIALIZED_VIEW": "MATERIALIZED VIEW"}
#: What dbt writes into the query of a test (``get_test_sql``) or a unit test (``get_unit_test_sql``).
_TESTS = {"test": "dbt_internal_test", "unit_test": "actual_or_expected"}
_TABLE = ("projectId", "datasetId", "tableId")
MOST_ROWS = 10_000  #: of a query; a node that reads more is left to real dbt


class FrontEnd:
    """
    Records one run of dbt 2, or several that are parts of one.

    Args:
        uploads: Where to keep the bytes of load jobs.
        root: The root of the BigQuery API.
        project: In which names without a project are.
        env: dbt's environment.
    """

    def __init__(
        self, uploads: str, *, root: str, project: str, env: Mapping[str, str] | None = None
    ) -> None:
        self.journal = Journal()
        self.overlay = Overlay(project, node=self._node)
        self.server = Server(self.answer, root=root, env=env)
        self.spans: Spans | None = None  #: of the process of dbt that is recorded now
        self.ambiguous = 0  #: requests of which it is not certain who has sent them
        self._built: dict[sql.Path, str] = {}
        self._paths: dict[str, sql.Path] = {}
        self._reads: dict[str, Collection[str]] = {}
        self._unknown: list[str] = []
        self._assuming: Collection[str] = ()
        context = NodeContext(
            self.journal,
            self.overlay,
            node=self._node,
            leave_to_dbt=lambda reason: self._leave(reason, late=False),
            leave_for_later=lambda reason: self._leave(reason, late=True),
            assumes=lambda unique_id: unique_id in self._assuming,
        )
        self._uploads = Uploads(uploads)
        self.wire = Wire(context, self._uploads, serve=self._serve)
        self.wire.ask_by(self.server.send, project=project, location=None)
        self._tables, self._listings = Tables(context), Listings(context)
        self._results = Results()
        self._listing = threading.Lock()
        self._listed: set[sql.Path] = set()  # datasets, whether they are there or not
        self._owners: dict[str, Asker] = {}  # of jobs
        self._columns: dict[sql.Path, Any] = {}  # of tables that are being described
        self._lock = threading.Lock()

    def builds(
        self,
        built: dict[sql.Path, str],
        *,
        reads: Mapping[str, Collection[str]],
        unknown: Iterable[str],
        assuming: Collection[str] = (),
    ) -> None:
        """
        Say what the nodes of this run build. on-run-start hooks find all that as it was.

        Args:
            built: Nodes by what they build.
            reads: What each node depends on that may look at it; one that may look at any table at all is said to depend on
                all.
            unknown: Those that are not recorded.
            assuming: Those that may be planned by what is there now, see :meth:`~.node_context.NodeContext.assume`.
        """
        self._assuming = assuming
        self._built = built
        self._paths = {unique_id: path for path, unique_id in built.items()}
        self._reads = dict(reads)
        self._unknown = list(unknown)

    def is_unknown(self, unique_id: str) -> None:
        """Take note that nobody can foretell what a node makes."""
        path = self._paths.get(unique_id)
        if path is not None:
            self.overlay.note(path, by=unique_id)

    def _nodes_begin(self) -> None:
        with self._lock:
            if self.overlay.built is not self._built:
                self.overlay.built = self._built
                for unique_id in self._unknown:
                    self.is_unknown(unique_id)

    def answer(self, call: Call) -> Any:
        """
        Return the answer to one request of dbt's.

        Raises:
            Refused: The request, or its node, is not recorded any further.
        """
        answer = self._results.answer(call)
        if answer is not None:
            return answer
        if call.shape == ("GET", 6, "datasets", "tables"):
            if self.wire.jobs.has_result(call.table):
                return self.wire.jobs.result_table(call)
            if self._is_bigquerys_own(call.table):
                return call.forward()
        describing = self._describing(call)
        askers = [describing] if describing else self._askers(call)
        if len(askers) > 1 and call.method not in ("GET", "HEAD"):
            self._is_ambiguous(call, [asker.unique_id for asker in askers])
        if len(askers) > 1 and call.shape == ("GET", 6, "datasets", "tables"):
            askers = self._readers_of(call.table, askers)
        return self._answer_all(call, askers)

    def _is_bigquerys_own(self, table: sql.Path) -> bool:
        """Tell whether a table is a result, which BigQuery keeps in a dataset of its own; a user's name may begin alike."""
        ours = (path[:2] for path in self.overlay.project)
        return _RESULTS_DATASET.match(table[1]) is not None and table[:2] not in ours

    def has_sent(self, job_id: str) -> bool:
        """Tell whether a job has come by."""
        return job_id in self._owners

    def _readers_of(self, table: sql.Path, askers: list[Asker]) -> list[Asker]:
        """Return who of those at work may look at a table."""
        change = self.overlay.change(table)
        owner = self.overlay.project.get(table) or (None if change is None else change.by)
        # Who builds it is before all that read it, so while it is at work nobody else looks there.
        builder = [asker for asker in askers if owner is not None and asker.unique_id == owner]
        children = [asker for asker in askers if owner in self._reads.get(asker.unique_id or "", ())]
        return builder or children or askers

    def _answer_all(self, call: Call, askers: list[Asker]) -> Any:
        """Let whoever may have read something have a guard for it, or none of them."""
        try:
            return [self._answer(call, asker) for asker in askers][-1]
        except Refused as refused:
            for asker in askers:
                self.journal.flag(asker.unique_id or RUN, refused.message)
            raise

    def _answer(self, call: Call, asker: Asker) -> Any:
        unique_id = asker.unique_id or RUN
        if unique_id != RUN and not unique_id.startswith("operation."):
            self._nodes_begin()
        with self.journal.while_doing(
            node=unique_id,
            phase="compile" if asker.phase == "RENDER" else "run",
            macros=("run_hooks",) if asker.hook else (),
            columns_only=asker.purpose == _COLUMNS,
            rendering=True,
        ):
            if unique_id in self.journal.flags and call.shape == ("POST", 3, "jobs"):
                raise Refused(self.journal.flags[unique_id])
            if call.is_upload:
                if call.query.get("uploadType") != "multipart":
                    self._leave("Its file is larger than what dbt 2 sends with one request.", late=False)
                return self.wire.answer(call)
            if call.shape == ("POST", 3, "jobs"):
                return self._submitted(call, asker)
            if asker.purpose == _DESCRIBES:
                with self.journal.while_doing(blind=True):  # its driver looks at nothing but the etag
                    return self.wire.answer(call)
            if asker.purpose == _DESCRIBES_COLUMNS:
                return self._describes_columns(call)
            if call.shape == ("GET", 6, "datasets", "tables"):
                self._foretells_columns_only(call)
            if (
                call.shape == ("GET", 4, "datasets")
                and tuple(call.parts[1::2]) in self.overlay.created_datasets
            ):
                self._leave(
                    f"It looks at the dataset {call.parts[1]}.{call.parts[3]}, which this run makes.",
                    late=False,
                )
            return self.wire.answer(call)

    def _foretells_columns_only(self, call: Call) -> None:
        """
        Leave a node that looks at its own table when this run has changed that.

        dbt asks for how its table is partitioned with the very same request, and of all other tables for their columns alone.
        """
        change = self.overlay.change(call.table)
        if change is not None and change.exists and self._paths.get(self._node()) == call.table:
            name, by = ".".join(call.table), change.by
            whose = "which it has written" if by == self._node() else f"which this run builds first ({by})"
            self._leave(f"It looks at its table {name} in BigQuery, {whose}.", late=False)

    def _describes_columns(self, call: Call) -> Any:
        """Let dbt's driver describe columns whose descriptions it does not see, and write down what it says."""
        if call.method == "GET":
            answer = self._tables.get(call)
            if answer.status_code >= 300:
                return answer
            table = answer.json()
            fields = (table.get("schema") or {}).get("fields") or []
            why = descriptions.why_not(fields)
            if why:
                self._leave(why, late=False)
            self._columns[call.table] = fields
            return answers.reply(
                {**table, "schema": {"fields": descriptions.marked(fields)}}, url=call.url, headers={}
            )
        columns = descriptions.told(call.document["schema"]["fields"])
        lost = descriptions.lost(columns, self._columns[call.table])
        if lost:
            self._leave(
                f"It takes away the description of {lost[0]}, in a way that is not known here.", late=False
            )
        said = {name: {"description": text} for name, text in columns.items() if text}
        if said:
            payload = {"columns": said, "checked": False, "keep_tags": True}
            self.journal.add(
                self._node(), "native", kind="update_columns", path=list(call.table), payload=payload
            )
        return answers.reply(answers.table(call.table, fields=self._columns[call.table]), url=call.url)

    # -- who asks ------------------------------------------------------------------------------------------------

    def _node(self) -> str:
        return str(self.journal.doing("node") or RUN)

    def _askers(self, call: Call) -> list[Asker]:
        """Return who may have sent a request."""
        assert self.spans is not None
        job_id = call.parts[3] if len(call.parts) > 3 and call.parts[2] in ("jobs", "queries") else None
        if job_id is not None and job_id in self._owners:
            return [self._owners[job_id]]
        if call.shape != ("POST", 3, "jobs"):
            return self.spans.at_work() or [Asker(None)]
        if call.is_upload:
            return [self._loader(call)]
        job = Submission(call.document, call.url)
        try:
            asker = self.sender(job)
        except Ambiguous as error:
            if not error.args or {asker.purpose for asker in error.args} - _FILLS_CACHE:
                self._is_ambiguous(call, [asker.unique_id for asker in error.args])
            asker = error.args[0]  # whoever lists a dataset first lists it for all
        self._owners[job.job_id] = asker
        return [asker]

    def _describing(self, call: Call) -> Asker | None:
        """Return the node that describes the table which a request is about, if it does so at this moment."""
        assert self.spans is not None
        unique_id = self._built.get(call.table) if call.shape[1:] == (6, "datasets", "tables") else None
        if unique_id is None or call.method not in ("GET", "PATCH"):
            return None
        # Once the node has written its table it describes it, or looks there in a way that leaves it to dbt.
        patient = call.method == "PATCH" or self.overlay.has_written(call.table, by=unique_id)
        purpose = self.spans.purpose_of(unique_id, _what_it_describes, patient=patient)
        return Asker(unique_id, "RUN", purpose=purpose) if purpose else None

    def _loader(self, call: Call) -> Asker:
        """Return the seed whose file an upload brings along: the one that builds the table which it is loaded into."""
        assert self.spans is not None
        whole = call.query.get("uploadType") == "multipart"
        body = self._uploads.multipart(call.data, call.headers)[0] if whole else call.document
        job, at_work = Submission(body, call.url), self.spans.at_work()
        table = (job.configuration.get("load") or {}).get("destinationTable") or {}
        owner = self._built.get(tuple(str(table.get(name)) for name in _TABLE))
        found = [asker for asker in at_work if owner is not None and asker.unique_id == owner]
        if not found:
            self._is_ambiguous(call, [asker.unique_id for asker in at_work])
        self._owners[job.job_id] = found[0]
        return found[0]

    def _is_ambiguous(self, call: Call, unique_ids: Iterable[str | None]) -> NoReturn:
        """Leave all who may have sent a request to real dbt."""
        self.ambiguous += 1
        reason = f"It is not certain which node sends {call.method} {call.path}."
        for unique_id in list(unique_ids) or [None]:
            self.journal.flag(unique_id or RUN, reason)
        raise Refused(reason)

    def sender(self, job: Submission) -> Asker:
        """
        Return who sends a job.

        Raises:
            Ambiguous: Nobody does, or several.
        """
        assert self.spans is not None
        if job.query is None:
            askers = self.spans.at_work()
            if len(askers) != 1:
                raise Ambiguous(*askers)
            return askers[0]
        text = job.query["query"]
        try:
            return self.spans.asker_of(text)
        except Ambiguous:
            bare = _COMMENT.sub("", text)
            if bare == text:
                raise
            return self.spans.asker_of(bare)

    def _leave(self, reason: str, *, late: bool) -> None:
        unique_id = self._node()
        self.journal.flag(unique_id, reason, late=late)
        if unique_id != RUN:
            raise Refused(reason)

    # -- jobs ----------------------------------------------------------------------------------------------------

    def _submitted(self, call: Call, asker: Asker) -> Any:
        job = Submission(call.document, call.url)
        text = "" if job.query is None else str(job.query["query"])
        if text and sql.is_read(text):
            views = [path for path in sql.paths(text) if "INFORMATION_SCHEMA" in path]
            if len(views) == 1 and asker.purpose in _FILLS_CACHE:
                return self._fills_cache(call, views[0][:2])
            if len(views) == 1 and asker.purpose == _ONE_RELATION:
                return self._asks_for_relation(call, views[0][:2], _WHICH_TABLE.findall(text))
            if len(views) == 1 and asker.purpose == _LOCATION:
                return self._asks_for_location(call, views[0][0], _WHICH_DATASET.findall(text))
            if asker.unique_id is None and views and views[0][-1] == "SCHEMATA":
                return (
                    call.forward()
                )  # which datasets there are: each that dbt makes then, it makes if it is not there
        macros = self._macros(text, asker)
        if "create_schema" in macros and self._is_made(text):
            with self.wire.jobs.keeping():  # dbt makes it once for each node there
                return self.wire.answer(call)
        with self.journal.while_doing(macros=macros, test=self._test(text, asker)):
            answer = self.wire.answer(call)
        if self.wire.jobs.was_read(job.job_id) and answer.status_code < 300:
            self._read_rows(call, job)
        return answer

    def _test(self, text: str, asker: Asker) -> str | None:
        """Return the kind of test that consists of a query, as dbt's own macro writes it; None where it is none."""
        kind = str(asker.unique_id).split(".")[0]
        written = _TESTS.get(kind)
        return kind if written is not None and asker.phase != "RENDER" and written in text else None

    def _macros(self, text: str, asker: Asker) -> tuple[str, ...]:
        """Return what the recorder within dbt knows of the macros that send a statement."""
        found = [effects.effect(statement) for statement in sql.statements(text)]
        if (
            asker.unique_id is None
            and [what.kind for what in found] == ["SCHEMA"]
            and found[0].verb == "create"
        ):
            return ("create_schema",)
        if (
            any(statement.words[0] in ("grant", "revoke") for statement in sql.statements(text))
            and not asker.hook
        ):
            return ("apply_grants",)
        return tuple(self.journal.doing("macros"))

    def _is_made(self, text: str) -> bool:
        """Tell whether the dataset that a statement makes is one that this run has made already."""
        path = effects.effect(sql.statements(text)[0]).path
        dataset = path if len(path) == 2 else (self.overlay.default_project, *path)
        return dataset in self.overlay.created_datasets

    def _serve(self, call: Call, fields: Any, rows: Any) -> Any:
        """Have BigQuery make a result: dbt 2 reads it there, by gRPC and past this server."""
        return self._results.insert(call, rows_query(fields, rows))

    def _read_rows(self, call: Call, job: Submission) -> None:
        """Read the rows of a query for its guard, as dbt will."""
        path = f"projects/{job.project}/queries/{quote(job.job_id)}"
        location = f"&location={job.location}" if job.location else ""
        token, complete, seen = "", False, 0
        while not complete or token:
            page = f"&pageToken={quote(token)}" if token else ""
            answer = self.wire.jobs.results(
                self._own(call, "GET", f"{path}?maxResults={MOST_ROWS}&timeoutMs=10000{location}{page}")
            )
            if answer.status_code >= 300:
                return
            document = answer.json()
            complete = document.get("jobComplete", True)
            token = document.get("pageToken") or ""
            seen += len(document.get("rows") or ())
            if seen > MOST_ROWS or int(document.get("totalRows") or 0) > MOST_ROWS:
                self._leave(f"It reads more than {MOST_ROWS} rows.", late=False)

    def _own(self, call: Call, method: str, path: str) -> Call:
        """Return a request of our own, beside dbt's."""
        return Call(self.server.send, method, f"{call.base}/bigquery/v2/{path}", (), {})

    # -- metadata ------------------------------------------------------------------------------------------------

    def _fills_cache(self, call: Call, dataset: sql.Path) -> Any:
        """dbt lists a dataset for its cache: once a run, however late."""
        with self._listing:
            if dataset not in self._listed:
                self._listed.add(dataset)
                self._lists(call, dataset)
        # Whoever lists it first lists it for all.
        return self._results.insert(call, call.document["configuration"]["query"]["query"])

    def _lists(self, call: Call, dataset: sql.Path) -> None:
        token = ""
        with self.journal.while_doing(node=RUN):
            while True:
                page = f"&pageToken={quote(token)}" if token else ""
                path = f"projects/{dataset[0]}/datasets/{dataset[1]}/tables?maxResults=10000{page}"
                answer = self._listings.answer(self._own(call, "GET", path))
                token = answer.json().get("nextPageToken") if answer.status_code < 300 else ""
                if not token:
                    return

    def _asks_for_relation(self, call: Call, dataset: sql.Path, names: list[str]) -> Any:
        """dbt looks whether a relation is there (``get_relation``)."""
        if len(names) != 1:
            self._leave("It looks for a relation in a way that is not known here.", late=False)
        path = (*dataset, names[0])
        change = self.overlay.change(path)
        if change is None:
            answer = self._own(
                call, "GET", f"projects/{path[0]}/datasets/{path[1]}/tables/{quote(path[2])}"
            ).forward()
            if answer.status_code >= 300 and answer.status_code != 404:
                self._leave(f"It looks whether {'.'.join(path)} is there, and BigQuery refuses.", late=False)
            state = "absent" if answer.status_code == 404 else answer.json().get("type") or "TABLE"
        else:
            state = change.kind if change.exists else "absent"
        unique_id = self._node()
        if unique_id != RUN and (change is None or change.by != unique_id):
            self.journal.add(
                unique_id, "relation", path=list(path), state=state, predicted=change is not None
            )
        if change is None:
            return call.forward()
        row = [*path, _TYPES.get(state, state)]
        return self._serve(call, _RELATION_FIELDS, [row] if change.exists else [])

    def _asks_for_location(self, call: Call, project: str, names: list[str]) -> Any:
        """dbt asks where a dataset is (``get_dataset_location``)."""
        if len(names) != 1:
            self._leave("It asks for a dataset in a way that is not known here.", late=False)
        if (project, names[0]) in self.overlay.created_datasets:
            self._leave(
                f"It asks where the dataset {project}.{names[0]} is, which this run makes.", late=False
            )
        self._tables.get_dataset(self._own(call, "GET", f"projects/{project}/datasets/{names[0]}"))
        return call.forward()


def _what_it_describes(text: str, purpose: str) -> str:
    """Return what a query of dbt's describes, which is none for BigQuery; empty for all others."""
    if purpose == _DESCRIBES:
        return purpose
    return _DESCRIBES_COLUMNS if _COMMENT.sub("", text).strip() == "none" else ""
