"""What BigQuery would have answered, had it been asked."""

from __future__ import annotations

import json
import time
from typing import Any

NOWHERE = "_cosmos_async_nowhere"  # the dataset of results that no query ever wrote


def reply(document: Any, *, status: int = 200, url: str = "", headers: Any = None) -> Any:
    """Return a ``requests.Response``."""
    import requests

    response = requests.Response()
    response.status_code = status
    response.reason = {200: "OK", 404: "Not Found", 308: "Resume Incomplete"}.get(status, "")
    response.url = url
    response.encoding = "utf-8"
    response._content = b"" if document is None else json.dumps(document).encode()
    response.headers.update({"content-type": "application/json; charset=UTF-8", **(headers or {})})
    if url:
        response.request = requests.Request("GET", url).prepare()
    return response


def not_found(what: str, url: str) -> Any:
    """Return BigQuery's answer for something that is not there."""
    message = f"Not found: {what}"
    error = {"code": 404, "message": message, "status": "NOT_FOUND"}
    error["errors"] = [{"message": message, "domain": "global", "reason": "notFound"}]
    return reply({"error": error}, status=404, url=url)


def job(
    body: dict[str, Any], *, project: str, location: str | None, job_id: str, kind: str | None
) -> dict[str, Any]:
    """Return the resource of a job that is done."""
    configuration = json.loads(json.dumps(body["configuration"]))
    now = str(int(time.time() * 1000))
    statistics: dict[str, Any] = {
        "creationTime": now,
        "startTime": now,
        "endTime": now,
        "totalBytesProcessed": "0",
    }
    if "query" in configuration:
        table = {"projectId": project, "datasetId": NOWHERE, "tableId": job_id.replace("-", "_")}
        configuration["query"].setdefault("destinationTable", table)
        statistics["query"] = {
            "statementType": kind,
            "totalBytesProcessed": "0",
            "totalBytesBilled": "0",
            "numDmlAffectedRows": "0",
            "cacheHit": False,
        }
    if "load" in configuration:
        statistics["load"] = {"inputFiles": "1", "inputFileBytes": "0", "outputRows": "0", "outputBytes": "0"}
    place = location or "US"
    return {
        "kind": "bigquery#job",
        "id": f"{project}:{place}.{job_id}",
        "selfLink": "",
        "jobReference": {"projectId": project, "jobId": job_id, "location": place},
        "configuration": configuration,
        "status": {"state": "DONE"},
        "statistics": statistics,
    }


def results(resource: dict[str, Any], fields: Any = None, rows: Any = None) -> dict[str, Any]:
    """Return ``getQueryResults``' answer for a job; without *fields*, that of a statement without a result."""
    answer = {
        "kind": "bigquery#getQueryResultsResponse",
        "jobReference": resource["jobReference"],
        "jobComplete": True,
        "totalBytesProcessed": "0",
        "cacheHit": False,
    }
    if fields is not None:
        answer["schema"] = {"fields": fields}
        answer["totalRows"] = str(len(rows or []))
        answer["rows"] = [{"f": [{"v": value} for value in row]} for row in rows or []]
    return answer


def table(path: Any, *, kind: str = "TABLE", fields: Any = None) -> dict[str, Any]:
    """Return a table's resource."""
    project, dataset, name = path
    return {
        "kind": "bigquery#table",
        "id": f"{project}:{dataset}.{name}",
        "tableReference": {"projectId": project, "datasetId": dataset, "tableId": name},
        "type": kind,
        "schema": {"fields": fields or []},
        "numRows": "0",
        "numBytes": "0",
        "creationTime": "0",
        "lastModifiedTime": "0",
    }


TEST_FIELDS = [
    {"name": "failures", "type": "INTEGER", "mode": "NULLABLE"},
    {"name": "should_warn", "type": "BOOLEAN", "mode": "NULLABLE"},
    {"name": "should_error", "type": "BOOLEAN", "mode": "NULLABLE"},
]
TEST_ROW = ["0", "false", "false"]
FRESHNESS_FIELDS = [
    {"name": "max_loaded_at", "type": "TIMESTAMP", "mode": "NULLABLE"},
    {"name": "snapshotted_at", "type": "TIMESTAMP", "mode": "NULLABLE"},
]
#: Microseconds of Unix time that mean nothing, and that dbt hands on unchanged if it does what we know.
FRESHNESS_ROW = ["946684801000001", "946771203000002"]
UNIT_TEST_FIELDS = [
    {"name": "value", "type": "INTEGER", "mode": "NULLABLE"},
    {"name": "actual_or_expected", "type": "STRING", "mode": "NULLABLE"},
]
#: What passes, by the kind of test.
TEST_RESULTS = {
    "test": (TEST_FIELDS, [TEST_ROW]),
    "freshness": (FRESHNESS_FIELDS, [FRESHNESS_ROW]),
    "unit_test": (UNIT_TEST_FIELDS, [["1", "actual"], ["1", "expected"]]),
}
