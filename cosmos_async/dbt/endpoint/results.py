"""
Results that BigQuery makes once, for all jobs of dbt's that ask for the same.

Every test that is recorded gets the row of one that passes, and dbt lists a dataset for its cache several times at once. dbt 2
reads results at BigQuery itself, past our server; so the first job is sent, and those after it are told that they are done
and that their result is where the first one's is.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Optional

from cosmos_async.dbt.scripts.recording import answers, sql
from cosmos_async.dbt.scripts.recording.calls import Call
from cosmos_async.dbt.scripts.recording.jobs import Submission

Json = dict[str, Any]
Key = tuple[str, Optional[str], str]


@dataclass
class _Result:
    """What one query gives."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    job_id: str = ""  #: of the one that was sent; empty until its result is there
    table: Json = field(default_factory=dict)  #: which holds it
    told: Any = None  #: what BigQuery has said of that table
    answers: dict[Any, Json] = field(
        default_factory=dict
    )  #: what BigQuery has said of its rows, by parameters


class Results:
    """Answers jobs whose result is there already. Several threads may call it."""

    def __init__(self) -> None:
        self._results: dict[Key, _Result] = {}
        self._jobs: dict[str, tuple[Json, _Result]] = {}  # those that were not sent
        self._tables: dict[sql.Path, _Result] = {}  # by the tables that hold them
        self._lock = threading.Lock()

    def insert(self, call: Call, query: str) -> Any:
        """
        Answer the submission of a job as if it were this query.

        Args:
            call: The submission.
            query: It may read what this run changes nothing of.
        """
        job = Submission(call.document, call.url)
        with self._lock:
            result = self._results.setdefault((job.project, job.location, query), _Result())
        with result.lock:
            if not result.job_id:
                answer = call.forward_query(query)
                if answer.status_code < 300:
                    self._wait(call, job, result)
                return answer
        resource = answers.job(
            job.body, project=job.project, location=job.location, job_id=job.job_id, kind="SELECT"
        )
        resource["configuration"]["query"]["destinationTable"] = result.table
        self._jobs[job.job_id] = (resource, result)
        return answers.reply(resource, url=call.url)

    def _wait(self, call: Call, job: Submission, result: _Result) -> None:
        """Wait for the result of the job that was sent; where it has none, the next one is sent as well."""
        place = f"&location={job.location}" if job.location else ""
        while True:
            path = f"projects/{job.project}/queries/{job.job_id}?maxResults=0&timeoutMs=10000{place}"
            answer = call.beside("GET", path)
            if answer.status_code >= 300:
                return
            if answer.json().get("jobComplete", True):
                break
        answer = call.beside("GET", f"projects/{job.project}/jobs/{job.job_id}?fields=configuration{place}")
        query = answer.json().get("configuration", {}).get("query", {}) if answer.status_code < 300 else {}
        if "destinationTable" in query:
            result.table = query["destinationTable"]
            self._tables[tuple(result.table[name] for name in ("projectId", "datasetId", "tableId"))] = result
            result.job_id = job.job_id

    def answer(self, call: Call) -> Any | None:
        """Answer what is asked of a job that was not sent, or of the table of its result; None for all else."""
        if call.shape == ("GET", 6, "datasets", "tables"):
            return self._table(call)
        known = self._jobs.get(call.parts[3]) if len(call.parts) > 3 else None
        if known is None:
            return None
        resource, result = known
        if call.shape == ("GET", 4, "queries"):
            return self._rows(call, resource, result)
        if call.shape == ("GET", 4, "jobs"):
            return answers.reply(resource, url=call.url)
        if call.shape == ("POST", 5, "jobs", "cancel"):
            return answers.reply({"job": resource}, url=call.url)
        return None

    def _table(self, call: Call) -> Any | None:
        result = self._tables.get(call.table)
        if result is None:
            return None
        with result.lock:
            if result.told is None:
                answer = call.forward()
                if answer.status_code >= 300:
                    return answer
                result.told = answer
            return result.told

    def _rows(self, call: Call, resource: Json, result: _Result) -> Any:
        key = tuple(sorted(call.query.items()))
        with result.lock:
            if key not in result.answers:
                split = call.url.split("?", 1)
                parameters = f"?{split[1]}" if len(split) > 1 else ""
                answer = call.beside("GET", f"projects/{call.parts[1]}/queries/{result.job_id}{parameters}")
                if answer.status_code >= 300:
                    return answer
                result.answers[key] = answer.json()
        return answers.reply({**result.answers[key], "jobReference": resource["jobReference"]}, url=call.url)
