"""Jobs that ask for a result which BigQuery has made already."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cosmos_async.dbt.endpoint.results import Results
from cosmos_async.dbt.scripts.recording import answers
from cosmos_async.dbt.scripts.recording.calls import Call

ROOT = "http://bigquery"
TABLE = {"projectId": "p", "datasetId": "_anon", "tableId": "made"}
ROWS = {"jobComplete": True, "totalRows": "1", "schema": {"fields": []}}


class BigQuery:
    """Knows jobs that are done, one result table, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.rows = [ROWS]
        self.table: dict[str, Any] | None = TABLE
        self.results = Results()

    def send(self, method: str, url: str, **_: Any) -> Any:
        """Answer a request."""
        path = url[len(f"{ROOT}/bigquery/v2/projects/p/") :].split("?")[0]
        self.asked.append((method, path))
        if path.startswith("queries/"):
            found: Any = self.rows.pop(0) if len(self.rows) > 1 else self.rows[0]
            if "error" in found:
                return answers.reply(found, status=400, url=url)
        elif path.startswith("jobs"):
            found = {"configuration": {"query": {"destinationTable": self.table} if self.table else {}}}
        else:
            found = {"kind": "bigquery#table"}
        return answers.reply(found, url=url)

    def _call(self, method: str, path: str, body: Any = None) -> Call:
        data = None if body is None else json.dumps(body).encode()
        return Call(self.send, method, f"{ROOT}/bigquery/v2/projects/p/{path}", (), {"data": data})

    def submit(self, job: str, query: str = "select 1", location: str = "US") -> Any:
        """Submit a job that is answered as if it were *query*."""
        reference = {"projectId": "p", "jobId": job, "location": location}
        body = {"jobReference": reference, "configuration": {"query": {"query": "select of a test"}}}
        return self.results.insert(self._call("POST", "jobs", body), query)

    def ask(self, path: str, method: str = "GET") -> Any:
        """Ask for something of a job."""
        return self.results.answer(self._call(method, path))


@pytest.fixture
def bigquery() -> BigQuery:
    return BigQuery()


def test_the_first_job_is_sent_and_those_after_it_are_done(bigquery: BigQuery) -> None:
    bigquery.submit("one")
    asked = len(bigquery.asked)

    answer = bigquery.submit("two").json()

    assert bigquery.asked[0] == ("POST", "jobs")
    assert len(bigquery.asked) == asked
    assert answer["status"] == {"state": "DONE"}
    assert answer["configuration"]["query"]["destinationTable"] == TABLE


def test_what_is_asked_of_such_a_job_is_asked_of_the_first_one_once(bigquery: BigQuery) -> None:
    for job in ("one", "two", "three"):
        bigquery.submit(job)
    asked = len(bigquery.asked)

    told = [bigquery.ask(f"queries/{job}?maxResults=0").json() for job in ("two", "three")]
    tables = [bigquery.ask("datasets/_anon/tables/made").json() for _ in range(2)]

    assert [each["totalRows"] for each in told] == ["1", "1"]
    assert [each["jobReference"]["jobId"] for each in told] == ["two", "three"]
    assert tables[0] == tables[1] == {"kind": "bigquery#table"}
    assert bigquery.asked[asked:] == [("GET", "queries/one"), ("GET", "datasets/_anon/tables/made")]
    assert bigquery.ask("jobs/two").json()["status"] == {"state": "DONE"}
    assert bigquery.ask("jobs/two/cancel", "POST").json()["job"]["status"] == {"state": "DONE"}


def test_of_all_other_jobs_and_tables_nothing_is_known(bigquery: BigQuery) -> None:
    bigquery.submit("one")

    assert bigquery.ask("jobs/one") is None  # BigQuery's own
    assert bigquery.ask("queries/another") is None
    assert bigquery.ask("datasets/_anon/tables/another") is None


def test_a_result_is_waited_for_before_it_is_shared(bigquery: BigQuery) -> None:
    bigquery.rows = [{"jobComplete": False}, ROWS]

    bigquery.submit("one")

    assert bigquery.asked.count(("GET", "queries/one")) == 2


@pytest.mark.parametrize("other", [{"query": "select 2"}, {"location": "EU"}])
def test_another_query_and_another_place_have_results_of_their_own(
    bigquery: BigQuery, other: dict[str, str]
) -> None:
    bigquery.submit("one")
    bigquery.submit("two", **other)

    assert bigquery.asked.count(("POST", "jobs")) == 2


def test_what_fails_is_shared_by_nobody(bigquery: BigQuery) -> None:
    """Each job is sent then, and dbt meets BigQuery's own error."""
    bigquery.rows = [{"error": {"message": "no"}}]

    for job in ("one", "two"):
        bigquery.submit(job)

    assert bigquery.asked.count(("POST", "jobs")) == 2


def test_a_result_in_no_table_is_shared_by_nobody(bigquery: BigQuery) -> None:
    bigquery.table = None

    for job in ("one", "two"):
        bigquery.submit(job)

    assert bigquery.asked.count(("POST", "jobs")) == 2
