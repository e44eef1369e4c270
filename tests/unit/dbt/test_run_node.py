"""
An entry of dbt's ``run_results.json`` becomes an outcome without loss.
"""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.dbt.run_node import outcome_of
from cosmos_async.plan.model import Level
from cosmos_async.plan.outcome import JobRecord, Outcome, Status, dump_outcome, load_outcome

BEGUN, ENDED = "2024-02-29T12:00:00+00:00", "2024-02-29T12:01:00+00:00"


def entry(**changes: Any) -> dict[str, Any]:
    """Return an entry as dbt writes it."""
    return {
        "unique_id": "model.shop.orders",
        "status": "success",
        "timing": [
            {
                "name": "compile",
                "started_at": "2024-02-29T12:00:10.500000Z",
                "completed_at": "2024-02-29T12:00:11.000000Z",
            },
            {
                "name": "execute",
                "started_at": "2024-02-29T12:00:11.000000Z",
                "completed_at": "2024-02-29T12:00:14.500000Z",
            },
        ],
        "message": "CREATE TABLE (3.0 rows, 10.0 KiB processed)",
        "adapter_response": {
            "_message": "CREATE TABLE (3.0 rows, 10.0 KiB processed)",
            "code": "CREATE TABLE",
            "rows_affected": 3,
            "bytes_processed": 10240,
            "bytes_billed": 10485760,
            "location": "EU",
            "project_id": "acme",
            "job_id": "0a1b",
            "slot_ms": 77,
        },
        "failures": None,
        "batch_results": None,
        **changes,
    }


def outcome(result: dict[str, Any]) -> Outcome:
    return outcome_of(result, begun=BEGUN, ended=ENDED, try_number=2, reason="Python model")


def test_a_model_keeps_its_message_its_time_and_its_job():
    """
    The results task shows them as for a node that had a plan.
    """
    found = outcome(entry())

    assert found.status is Status.SUCCESS
    assert found.message == "CREATE TABLE (3.0 rows, 10.0 KiB processed)"
    assert found.level is Level.DBT
    assert found.seconds == 4.0
    assert found.jobs == (
        JobRecord("main", "0a1b", "acme", "EU", None, 10240, 10485760, slot_ms=77, rows=3, main=True),
    )
    assert (found.try_number, found.reason) == (2, "Python model")
    assert load_outcome(dump_outcome(found)) == found


def test_a_node_without_times_has_those_of_the_process():
    """
    dbt writes none for a node that failed before it began.
    """
    found = outcome(entry(timing=[], adapter_response={}, status="error"))

    assert (found.started_at, found.completed_at) == (BEGUN, ENDED)
    assert found.jobs == ()


@pytest.mark.parametrize(
    ("status", "failed"),
    [
        ("success", False),
        ("pass", False),
        ("warn", False),
        ("no-op", False),
        ("skipped", True),
        ("error", True),
        ("fail", True),
        ("partial success", True),
    ],
)
def test_every_word_of_dbt_is_understood(status: str, failed: bool):
    """
    What holds back the children in `dbt build` holds them back here.
    """
    assert outcome(entry(status=status)).status.failed is failed


def test_batches_survive():
    """
    `dbt retry` repeats the failed batches alone.
    """
    batches = {"successful": [["2024-01-01", "2024-01-02"]], "failed": [["2024-01-02", "2024-01-03"]]}

    found = outcome(entry(status="partial success", batch_results=batches))

    assert load_outcome(dump_outcome(found)).batch_results == batches


def test_overloads_survive():
    """
    `dbt retry` makes the failed overloads of a function alone; dbt tells of them since 1.12.
    """
    overloads = {"successful": ["added_text"], "failed": ["added_more"]}

    found = outcome(entry(status="partial success", overload_results=overloads))

    assert load_outcome(dump_outcome(found)).overload_results == overloads
