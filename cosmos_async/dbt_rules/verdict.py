"""
A node's end in dbt's words: what its jobs and their rows say about it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from cosmos_async.dbt_rules.freshness import message_of
from cosmos_async.dbt_rules.statistics import adapter_response, seed_response
from cosmos_async.plan.model import NodePlan, TestRule
from cosmos_async.plan.outcome import Status

Json = dict[str, Any]

_TRUE, _FALSE = ("y", "yes", "t", "true", "on", "1"), ("n", "no", "f", "false", "off", "0")


@dataclass(frozen=True)
class Verdict:
    """How a node ended, without the when and where."""

    status: Status
    message: str | None
    failures: int | None = None
    adapter_response: Json = field(default_factory=dict)
    freshness: Json | None = None  #: a source's entry in ``sources.json``, without its times


@dataclass(frozen=True)
class TestRow:
    """The one row of a data test's query."""

    __test__ = False  # not a test case, whatever its name says

    failures: int
    should_warn: bool
    should_error: bool


def read_test_row(answer: Json) -> TestRow:
    """
    Return a data test's row from the answer of ``getQueryResults``, converted as dbt does (``dbt.task.test``).

    Raises:
        ValueError: It is not one row of dbt's three columns, or dbt refuses a value; in its own words.
    """
    columns = (answer.get("schema") or {}).get("fields") or []
    names = [column["name"].lower() for column in columns]
    rows = answer.get("rows") or []
    if len(rows) != 1:
        raise ValueError(f"the test's query returned {len(rows)} rows, but expected 1 row")
    if sorted(names) != ["failures", "should_error", "should_warn"]:
        raise ValueError(
            f"the test's query returned the columns {', '.join(names)}, "
            "but expected failures, should_warn and should_error"
        )
    values = {
        name: _python_value(column["type"].upper(), cell.get("v"))
        for name, column, cell in zip(names, columns, rows[0]["f"])
    }
    should_warn, should_error = _truth(values["should_warn"]), _truth(values["should_error"])
    return TestRow(_whole(values["failures"]), should_warn, should_error)


def _python_value(kind: str, value: Any) -> Any:
    """Return a cell's value as dbt has it: numbers that are no integers as floats, be they exact or not."""
    if value is None:
        return None
    if kind in ("INTEGER", "INT64"):
        return int(value)
    if kind in ("FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"):
        return float(value)
    if kind in ("BOOLEAN", "BOOL"):
        return str(value).lower() == "true"
    return value


def _whole(value: Any) -> int:
    """Return the number of failures; dbt takes 2.0, but neither 1.5 nor true, nor nothing at all."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value % 1 == 0:
        return int(value)
    raise ValueError(
        f"{value!r} is not of type 'integer'\n\nFailed validating 'type' in schema['properties']['failures']:\n"
        f"    {{'type': 'integer'}}\n\nOn instance['failures']:\n    {value!r}"
    )


def _truth(value: Any) -> bool:
    if not isinstance(value, str):
        return bool(value)
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError(
        f"Macro 'get_test_sql' returns {value!r}.  It is not type 'bool' and cannot not be converted reliably to a bool."
    )


def judge_test(rule: TestRule, row: TestRow) -> Verdict:
    """Return a data test's status and message as dbt gives them (``dbt.task.test.build_test_run_result``)."""
    got = f"Got {row.failures} result{'' if row.failures == 1 else 's'}"
    if rule.severity.upper() == "ERROR" and row.should_error:
        return Verdict(Status.FAIL, f"{got}, configured to fail if {rule.error_if}", row.failures)
    if row.should_warn and rule.warn_error:
        return Verdict(Status.FAIL, f"{got}, configured to fail if {rule.warn_if}", row.failures)
    if row.should_warn:
        return Verdict(Status.WARN, f"{got}, configured to warn if {rule.warn_if}", row.failures)
    return Verdict(Status.PASS, None, 0)


def passes_unit_test(answer: Json) -> bool:
    """
    Tell whether the rows a unit test's query marks ``actual`` are for certain those it marks ``expected``.

    dbt converts values before it compares them, and so what differs here may be equal there; what is the same here is the
    same there.

    Args:
        answer: Of ``getQueryResults``, all its pages' rows under ``rows``.
    """
    names = [column["name"].lower() for column in (answer.get("schema") or {}).get("fields") or []]
    if names.count("actual_or_expected") != 1:
        return False
    at = names.index("actual_or_expected")
    found: dict[str, list[str]] = {"actual": [], "expected": []}
    for row in answer.get("rows") or []:
        values = [cell.get("v") for cell in row["f"]]
        text = json.dumps(values, sort_keys=True)
        # Not a number is not even equal to itself.
        if values[at] not in found or '"NaN"' in text:
            return False
        found[values.pop(at)].append(json.dumps(values, sort_keys=True))
    return sorted(found["actual"]) == sorted(found["expected"])


def judge_build(plan: NodePlan, main: Json | None, *, table_rows: int | None = None) -> Verdict:
    """
    Return the verdict on a model, seed or snapshot all of whose operations succeeded.

    Args:
        plan: The node's plan; its fixed message wins over the job's.
        main: The finished job of dbt's ``main`` statement, where the node has one.
        table_rows: ``numRows`` of :func:`counted_table` of *main*.
    """
    if plan.message is not None:
        return Verdict(Status.SUCCESS, plan.message, adapter_response=plan.response or {})
    if main is None:
        return Verdict(Status.SUCCESS, "OK")
    loaded = (main.get("statistics") or {}).get("load")
    if loaded is not None:
        response = seed_response(int(loaded.get("outputRows") or 0))
    else:
        response = adapter_response(main, table_rows=table_rows)
    return Verdict(Status.SUCCESS, response["_message"], adapter_response=response)


def judge_freshness(entry: Json) -> Verdict:
    """Return the verdict on a source that was measured (:func:`cosmos_async.dbt_rules.freshness.measured`)."""
    return Verdict(Status(entry["status"]), message_of(entry), None, entry["adapter_response"], entry)


def database_error(plan: NodePlan, message: str, job: Json | None = None) -> str:
    """
    Return the message dbt gives a node whose job failed.

    Args:
        plan: The node's plan.
        message: BigQuery's own.
        job: The failed job. dbt hands on what Google's client says of a load, and finds words of its own for the rest.
    """
    if job is not None and "load" in (job.get("configuration") or {}):
        return _client_error(job["status"])
    where = f" ({plan.file})" if plan.file else ""
    text = "\n  ".join(message.strip().splitlines())
    return f"Database Error in {plan.resource_type} {plan.name}{where}\n  {text}"


def _client_error(status: Json) -> str:
    """Return how Google's Python client tells of a job that ended with an error."""
    result = status["errorResult"]
    # google/cloud/bigquery/job/base.py: _error_result_to_exception
    told = "; ".join(
        ", ".join(f"{key}: {value}" for key, value in error.items()) for error in status.get("errors") or ()
    )
    code = _HTTP_CODES.get(result.get("reason", ""), 500)
    return f"{code} {result.get('message', '')}" + (f"; {told}" if told else "")


#: The reasons for which a job fails and the codes that Google's client gives them.
_HTTP_CODES = {
    "accessDenied": 403,
    "billingNotEnabled": 403,
    "billingTierLimitExceeded": 400,
    "blocked": 403,
    "duplicate": 409,
    "invalid": 400,
    "invalidQuery": 400,
    "notFound": 404,
    "notImplemented": 501,
    "policyViolation": 403,
    "quotaExceeded": 403,
    "rateLimitExceeded": 429,
    "resourceInUse": 400,
    "resourcesExceeded": 400,
    "responseTooLarge": 403,
    "stopped": 200,
    "tableUnavailable": 400,
}
