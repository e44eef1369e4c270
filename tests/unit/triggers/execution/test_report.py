"""The task's log as dbt users know it."""

from __future__ import annotations

import pytest

from cosmos_async.exceptions import ApiError, JobFailed
from cosmos_async.plan.model import CallOperation, Level
from cosmos_async.plan.outcome import JobRecord, Outcome, Status
from cosmos_async.triggers.execution import report
from tests.unit.triggers.bench import data_test, model


def outcome(status: Status, message: str | None = None, failures: int | None = None) -> Outcome:
    """Return an outcome that took 2.31 seconds."""
    return Outcome(
        unique_id="model.shop.orders",
        status=status,
        message=message,
        level=Level.STATIC,
        started_at="2026-03-04T00:00:00+00:00",
        completed_at="2026-03-04T00:00:02.310000+00:00",
        try_number=1,
        failures=failures,
        jobs=(
            JobRecord("main", "j1", "p", "EU", bytes_processed=10240, bytes_billed=10485760, slot_ms=1500),
            JobRecord("post-hook", "j2", "p", "EU", slot_ms=250),
        ),
    )


SEED = model(
    "raw", resource_type="seed", unique_id="seed.shop.raw", relation="p.shop.raw", materialized="seed"
)
SNAPSHOT = model("snap", resource_type="snapshot", relation="p.snaps.snap", materialized="snapshot")


@pytest.mark.parametrize(
    ("plan", "status", "message", "line"),
    [
        (
            model("orders"),
            Status.SUCCESS,
            "CREATE TABLE (3.0 rows, 10.0 KiB processed)",
            "OK created sql table model shop.orders ......................................... "
            "[CREATE TABLE (3.0 rows, 10.0 KiB processed) in 2.31s]",
        ),
        (
            model("orders"),
            Status.ERROR,
            "Database Error",
            "ERROR creating sql table model shop.orders ..................................... [ERROR in 2.31s]",
        ),
        (
            SEED,
            Status.SUCCESS,
            "INSERT 3",
            "OK loaded seed file shop.raw ................................................... [INSERT 3 in 2.31s]",
        ),
        (
            SNAPSHOT,
            Status.SUCCESS,
            "MERGE (1.0 rows, 5.0 Bytes processed)",
            "OK snapshotted snaps.snap ...................................................... "
            "[MERGE (1.0 rows, 5.0 Bytes processed) in 2.31s]",
        ),
        (
            data_test("unique_orders_id"),
            Status.PASS,
            None,
            "PASS unique_orders_id .......................................................... [PASS in 2.31s]",
        ),
    ],
    ids=["model", "failed model", "seed", "snapshot", "test"],
)
def test_a_nodes_last_line_is_dbts(plan: object, status: Status, message: str | None, line: str) -> None:
    """Eighty columns and dots, as on dbt's console."""
    assert report.end_line(plan, outcome(status, message), number=1, total=1) == line  # type: ignore[arg-type]


def test_of_several_nodes_each_says_which_it_is() -> None:
    """dbt counts them as well."""
    line = report.end_line(data_test("t"), outcome(Status.FAIL, "…", 2), number=3, total=12)

    assert line.startswith("3 of 12 FAIL 2 t ....")
    assert line.endswith("[FAIL 2 in 2.31s]")


def test_the_cost_of_all_jobs_is_one_line() -> None:
    """What was billed, and the slot time that reservations are paid by."""
    assert report.cost(outcome(Status.SUCCESS).jobs) == (
        "2 jobs, 10.0 KiB processed, 10.0 MiB billed, 1.8 s slot time"
    )


@pytest.mark.parametrize(
    ("purpose", "path", "line"),
    [
        ("describe", "projects/p/datasets/shop/tables/orders", "described p.shop.orders"),
        ("drop", "projects/p/datasets/shop/tables/orders", "dropped p.shop.orders"),
        ("PUT", "projects/p/datasets/shop", "PUT p.shop"),
    ],
)
def test_a_call_says_what_it_has_changed(purpose: str, path: str, line: str) -> None:
    """A word alone says nothing."""
    assert report.sent_line(CallOperation(purpose, "PATCH", path)) == line


def test_sql_is_numbered_and_its_failing_line_marked() -> None:
    """The position in BigQuery's message counts the lines of what was sent."""
    assert report.numbered("select\n  a,\n  b\nfrom t", "Unrecognized name: b at [3:3]") == (
        "  1 | select\n  2 |   a,\n> 3 |   b\n  4 | from t"
    )


def test_of_a_long_query_only_the_surroundings_are_shown() -> None:
    """A thousand lines would hide the one."""
    sql = "\n".join(f"line {number}" for number in range(1, 1001))

    shown = report.numbered(sql, "at [500:1]").splitlines()

    assert len(shown) == 19
    assert shown[0] == "  … 491 lines above"
    assert "> 500 | line 500" in shown
    assert shown[-1] == "  … 492 lines below"


@pytest.mark.parametrize("position", ["", "at [0:1]", "at [99:1]"])
def test_a_position_outside_of_the_text_marks_nothing(position: str) -> None:
    """The message may speak of a view's or a script's own text."""
    assert ">" not in report.numbered("select\n1", position)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("invalidQuery", "Fix models/orders.sql, then clear the setup task together with this one."),
        ("backendError", "Clear this task to try again, or give it retries."),
        ("accessDenied", "Give the identity of this task the missing permission"),
        ("notFound", "`location` in the dbt target is where the data is"),
        ("stopped", "Clear this task to run it again."),
        ("somethingNew", "Fix models/orders.sql"),
    ],
)
def test_every_failure_ends_with_a_way_out(reason: str, says: str) -> None:
    """For the person at 3 a.m."""
    job = {
        "jobReference": {"projectId": "p", "jobId": "j", "location": "EU"},
        "configuration": {"query": {"query": "select 1"}},
    }

    told = report.failure(model("orders"), JobFailed("No.", reason=reason, job=job))

    assert told.startswith("model.shop.orders (models/orders.sql) failed: No.")
    assert f"BigQuery job p:EU.j ended with {reason};" in told
    assert "bq:EU:j" in told
    assert says in told.splitlines()[-1]


def test_a_failure_without_a_job_says_what_it_knows() -> None:
    """Such as a table that may not be read."""
    assert report.failure(model("orders"), ApiError("reading table p.d.t: No.")) == (
        "model.shop.orders: reading table p.d.t: No."
    )


def test_rows_that_a_test_keeps_are_one_query_away() -> None:
    """``store_failures``."""
    told = report.test_failure(
        data_test("t", relation="p.shop_dbt_test__audit.t"),
        outcome(Status.FAIL, "Got 2 results, configured to fail if != 0", 2),
    )

    assert told.splitlines()[-1] == "The failing rows are kept: select * from `p.shop_dbt_test__audit.t`"
