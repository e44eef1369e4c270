"""What is announced of a run: each table that was built, once for each time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cosmos_async.exceptions import PlanDamaged
from cosmos_async.plan.announcements import (
    Announcement,
    all_made,
    announcements,
    dump_announcements,
    load_announcements,
)
from cosmos_async.plan.model import Index, IndexEntry, Level, RunInfo
from cosmos_async.plan.outcome import JobRecord, Outcome, Status

RUN = RunInfo("d", "r", "2026-01-01T00:00:00+00:00", "h", "shop", "dev", "i", "1.11", "1.11", "0.1")
ORDERS, TOTALS, TEST = "model.shop.orders", "model.shop.totals", "test.shop.unique"
ALIASES = {ORDERS: "shop__orders__run", TOTALS: "shop__totals_run"}


def entry(kind: str = "model", **changes: Any) -> IndexEntry:
    """What the index says of a node."""
    return IndexEntry("n", kind, Level.STATIC, "", "0", **changes)


INDEX = Index(
    RUN,
    {
        ORDERS: entry(relation="p.shop_marts.orders"),
        TOTALS: entry(relation="p.shop.totals"),
        TEST: entry("test", owner=ORDERS),
    },
)


def outcome(unique_id: str, status: Status = Status.SUCCESS, second: int = 1, **changes: Any) -> Outcome:
    """How a node ended."""
    ended = f"2026-01-01T00:00:{second:02}+00:00"
    return Outcome(unique_id, status, None, Level.STATIC, RUN.created_at, ended, 1, **changes)


def found(*outcomes: Outcome, **more: Any) -> list[Announcement]:
    """What is announced of these outcomes."""
    return announcements(INDEX, {one.unique_id: one for one in outcomes}, ALIASES, **more)


def test_what_was_built_is_announced_in_the_order_in_which_it_was() -> None:
    """By the relation of the node and the alias of its task."""
    orders, totals = found(outcome(TOTALS, second=2), outcome(ORDERS))

    assert (orders.relation, orders.alias, orders.made) == (
        "p.shop_marts.orders",
        "shop__orders__run",
        False,
    )
    assert totals.unique_id == TOTALS


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.SUCCESS])
def test_what_did_not_succeed_is_not_announced(status: Status) -> None:
    """A model of which some batches failed is no success either, nor one without anything to do."""
    assert found(outcome(ORDERS, status)) == []


def test_an_event_says_what_dbt_says_of_the_job() -> None:
    """In dbt's words; strings and numbers alone, as Airflow 2.10 takes nothing else."""
    response = {"_message": "OK", "rows_affected": 0, "bytes_processed": 5, "job_id": "j", "slot_ms": 3}

    (one,) = found(outcome(ORDERS, adapter_response={**response, "location": None}))

    assert one.extra == {"unique_id": ORDERS, "rows_affected": 0, "bytes_processed": 5, "job_id": "j"}


def test_a_node_without_a_response_tells_of_its_jobs() -> None:
    """As a microbatch model, which has a response for each of its batches: all bytes, and the last job."""
    jobs = tuple(JobRecord("main", name, "p", "US", bytes_processed=4) for name in ("a", "b"))

    (one,) = found(outcome(ORDERS, jobs=jobs))

    assert one.extra == {
        "unique_id": ORDERS,
        "bytes_processed": 8,
        "job_id": "b",
        "project_id": "p",
        "location": "US",
    }


def test_what_an_earlier_task_has_announced_is_announced_again_only_if_it_was_built_again() -> None:
    """A task that is cleared brings the results task along, which finds the outcomes of all others again."""
    before = all_made(found(outcome(ORDERS), outcome(TOTALS)))

    again = found(outcome(ORDERS), outcome(TOTALS, second=9), earlier=before)

    assert {one.unique_id: one.made for one in again} == {ORDERS: True, TOTALS: False}


def test_what_was_only_to_be_announced_still_is() -> None:
    """The results task may have failed between the two."""
    assert not found(outcome(ORDERS), earlier=found(outcome(ORDERS)))[0].made


@pytest.mark.parametrize(
    ("tested", "status", "count"),
    [
        pytest.param(True, Status.FAIL, 0, id="in one task with a test that fails"),
        pytest.param(True, Status.WARN, 1, id="in one task with a warning"),
        pytest.param(False, Status.FAIL, 1, id="tested by another task"),
    ],
)
def test_where_one_task_builds_and_tests_a_node_both_have_to_succeed(
    tested: bool, status: Status, count: int
) -> None:
    """As the task would announce it, if it did."""
    assert len(found(outcome(ORDERS), outcome(TEST, status), tested=tested)) == count


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="not of this plan"),
        pytest.param({ORDERS: entry(relation=None)}, id="without a relation"),
    ],
)
def test_a_node_without_a_relation_is_not_announced(changes: dict[str, IndexEntry]) -> None:
    """Such as one that was planned by an earlier release."""
    index = replace(INDEX, nodes=changes)

    assert announcements(index, {ORDERS: outcome(ORDERS)}, ALIASES) == []


def test_the_record_comes_back_as_it_was() -> None:
    """And what is none is refused."""
    record = found(outcome(ORDERS), outcome(TOTALS))

    assert load_announcements(dump_announcements(record)) == record
    for data in (b"{", b"[1]", b'[{"alias": "a"}]'):
        with pytest.raises(PlanDamaged, match="no record of announced assets"):
            load_announcements(data)
