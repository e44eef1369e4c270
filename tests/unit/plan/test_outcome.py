"""BigQuery's statistics in dbt's words; the verdict on tests, models and seeds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_async.dbt_rules.statistics import (
    adapter_response,
    counted_table,
    format_bytes,
    format_rows,
    job_record,
)
from cosmos_async.dbt_rules.verdict import TestRow, database_error, judge_build, judge_test, read_test_row
from cosmos_async.exceptions import PlanDamaged
from cosmos_async.plan.model import Level, NodePlan, TestRule
from cosmos_async.plan.outcome import JobRecord, Outcome, Status, dump_outcome, load_outcome


def query_job(statement: str | None, **query: Any) -> dict[str, Any]:
    """Return a finished query job as ``jobs.get`` gives it."""
    return {
        "jobReference": {"projectId": "p", "jobId": "j", "location": "EU"},
        "configuration": {"query": {"query": "…"}},
        "status": {"state": "DONE"},
        "statistics": {
            "startTime": "1772582400000",
            "endTime": "1772582402500",
            "query": {
                "statementType": statement,
                "totalBytesProcessed": "10240",
                "totalBytesBilled": "10485760",
                "totalSlotMs": "1500",
                **query,
            },
        },
    }


# -- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, None),
        (0, 0),  # dbt prints a bare 0, without a unit
        (1, "1.0 Bytes"),
        (1023, "1023.0 Bytes"),
        (1024, "1.0 KiB"),
        (10240, "10.0 KiB"),
        (1024**2 * 1.5, "1.5 MiB"),
        (1024**5, "1.0 PiB"),
        (1024**6, "1024.0 PiB"),
    ],
)
def test_bytes_are_printed_as_dbt_prints_them(number: float | None, text: str | None) -> None:
    """``BigQueryConnectionManager.format_bytes``."""
    assert format_bytes(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0.0"),
        (3, "3.0"),
        (999, "999.0"),
        (1000, "1.0k"),
        (12500, "12.5k"),
        (10**6, "1.0m"),
        (2 * 10**12, "2.0t"),
        (10**15, "1000.0t"),
    ],
)
def test_rows_are_printed_as_dbt_prints_them(number: int, text: str) -> None:
    """``BigQueryConnectionManager.format_rows_number``."""
    assert format_rows(number) == text


# -- adapter responses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "table_rows", "message"),
    [
        (query_job("CREATE_TABLE_AS_SELECT"), 3, "CREATE TABLE (3.0 rows, 10.0 KiB processed)"),
        (query_job("CREATE_TABLE_AS_SELECT"), None, "CREATE TABLE (10.0 KiB processed)"),
        (query_job("CREATE_VIEW", totalBytesProcessed="0"), None, "CREATE VIEW (0 processed)"),
        (query_job("MERGE", numDmlAffectedRows="12500"), None, "MERGE (12.5k rows, 10.0 KiB processed)"),
        (query_job("INSERT", numDmlAffectedRows="0"), None, "INSERT (0.0 rows, 10.0 KiB processed)"),
        (query_job("SELECT"), 1, "SELECT (1.0 rows, 10.0 KiB processed)"),
        (query_job("SCRIPT"), None, "SCRIPT (10.0 KiB processed)"),
        # dbt has no word for these and prints None; so do we.
        (query_job("CREATE_MATERIALIZED_VIEW"), None, "None (10.0 KiB processed)"),
        (query_job("CREATE_MATERIALIZED_VIEW", totalBytesProcessed=None), None, "None"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_message_is_dbts(job: dict[str, Any], table_rows: int | None, message: str) -> None:
    """``BigQueryConnectionManager.execute``."""
    assert adapter_response(job, table_rows=table_rows)["_message"] == message


def test_the_response_has_dbts_fields_and_omits_what_is_not_known() -> None:
    """As ``to_dict(omit_none=True)`` leaves it in run_results.json."""
    assert adapter_response(query_job("CREATE_VIEW")) == {
        "_message": "CREATE VIEW (10.0 KiB processed)",
        "code": "CREATE VIEW",
        "bytes_processed": 10240,
        "bytes_billed": 10485760,
        "location": "EU",
        "project_id": "p",
        "job_id": "j",
        "slot_ms": 1500,
    }


def test_only_ctas_and_select_are_counted_by_their_table() -> None:
    """dbt asks tables.get for these; asking for others would cost a request and change the message."""
    table = {"projectId": "p", "datasetId": "d", "tableId": "t"}
    made = query_job("CREATE_TABLE_AS_SELECT")
    made["configuration"]["query"]["destinationTable"] = table

    assert counted_table(made) == table
    assert counted_table(query_job("CREATE_TABLE_AS_SELECT", ddlTargetTable=table)) == table
    assert counted_table(query_job("MERGE", ddlTargetTable=table)) is None
    assert counted_table({"statistics": {"load": {}}}) is None


def test_a_job_is_recorded_with_its_times_and_cost() -> None:
    """The results and cost reports live on it."""
    record = job_record(query_job("MERGE", numDmlAffectedRows="7", cacheHit=True), purpose="main")

    assert record == JobRecord(
        purpose="main",
        job_id="j",
        project="p",
        location="EU",
        statement_type="MERGE",
        bytes_processed=10240,
        bytes_billed=10485760,
        slot_ms=1500,
        rows=7,
        started_at="2026-03-04T00:00:00+00:00",
        ended_at="2026-03-04T00:00:02.500000+00:00",
        cache_hit=True,
    )


# -- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "row", "status", "message", "failures"),
    [
        (TestRule(), TestRow(0, False, False), Status.PASS, None, 0),
        (TestRule(), TestRow(1, True, True), Status.FAIL, "Got 1 result, configured to fail if != 0", 1),
        (TestRule(), TestRow(2, True, True), Status.FAIL, "Got 2 results, configured to fail if != 0", 2),
        (
            TestRule(severity="warn"),
            TestRow(2, True, True),
            Status.WARN,
            "Got 2 results, configured to warn if != 0",
            2,
        ),
        (
            TestRule(error_if="> 10", warn_if="> 5"),
            TestRow(7, True, False),
            Status.WARN,
            "Got 7 results, configured to warn if > 5",
            7,
        ),
        # Neither threshold is reached: dbt reports no failures, whatever the query counted.
        (TestRule(error_if="> 10", warn_if="> 5"), TestRow(3, False, False), Status.PASS, None, 0),
        # Only severity error looks at error_if.
        (TestRule(severity="WARN"), TestRow(3, False, True), Status.PASS, None, 0),
        (
            TestRule(severity="warn", warn_error=True),
            TestRow(2, True, True),
            Status.FAIL,
            "Got 2 results, configured to fail if != 0",
            2,
        ),
    ],
)
def test_a_test_is_judged_as_dbt_judges_it(
    rule: TestRule, row: TestRow, status: Status, message: str | None, failures: int
) -> None:
    """``dbt.task.test.TestRunner.build_test_run_result``."""
    verdict = judge_test(rule, row)

    assert (verdict.status, verdict.message, verdict.failures) == (status, message, failures)


def answer(
    *rows: list[Any],
    names: tuple[str, ...] = ("failures", "should_warn", "should_error"),
    types: tuple[str, ...] = (),
) -> Any:
    """Return ``getQueryResults``' answer."""
    usual = ("INTEGER" if name == "failures" else "BOOLEAN" for name in names)
    return {
        "schema": {"fields": [{"name": name, "type": kind} for name, kind in zip(names, types or usual)]},
        "rows": [{"f": [{"v": value} for value in row]} for row in rows],
    }


@pytest.mark.parametrize(
    ("values", "row"),
    [
        (["2", "true", "false"], TestRow(2, True, False)),
        (["0", "FALSE", "f"], TestRow(0, False, False)),
        (["1", True, None], TestRow(1, True, False)),
    ],
)
def test_a_tests_row_is_read_as_dbt_reads_it(values: list[Any], row: TestRow) -> None:
    """Booleans arrive as text over REST."""
    assert read_test_row(answer(values)) == row


@pytest.mark.parametrize(
    ("kind", "value", "failures"),
    [
        ("NUMERIC", "3", 3),
        ("BIGNUMERIC", "3.0", 3),
        ("FLOAT", "1e3", 1000),
        ("FLOAT", "-2.0", -2),
        ("INTEGER", "100000000000000000001", 100000000000000000001),
        ("NUMERIC", "100000000000000000001", 100000000000000000000),  # dbt makes a float of it
    ],
)
def test_a_whole_number_of_failures_may_be_of_any_type(kind: str, value: str, failures: int) -> None:
    """A fail_calc such as sum(x) gives a FLOAT or a NUMERIC."""
    given = answer([value, "true", "false"], types=(kind, "BOOLEAN", "BOOLEAN"))

    assert read_test_row(given) == TestRow(failures, True, False)


@pytest.mark.parametrize(
    ("kind", "value", "called"),
    [
        ("FLOAT", "1.5", "1.5"),
        ("NUMERIC", "0.25", "0.25"),
        ("FLOAT", "NaN", "nan"),
        ("FLOAT", "Infinity", "inf"),
        ("INTEGER", None, "None"),
        ("BOOLEAN", "true", "True"),
        ("STRING", "3", "'3'"),
    ],
)
def test_what_is_no_whole_number_of_failures_is_refused_in_dbts_words(
    kind: str, value: Any, called: str
) -> None:
    """Cut off, one and a half would be one, and a half nothing: a green test that dbt has fail."""
    given = answer([value, "true", "true"], types=(kind, "BOOLEAN", "BOOLEAN"))

    with pytest.raises(ValueError, match="Failed validating 'type'") as refused:
        read_test_row(given)
    assert str(refused.value).splitlines()[0] == f"{called} is not of type 'integer'"


@pytest.mark.parametrize(
    ("kind", "value", "truth"),
    [
        ("INTEGER", "2", True),
        ("INTEGER", "0", False),
        ("FLOAT", "0.5", True),
        ("FLOAT", "0.0", False),
        ("STRING", "Yes", True),
        ("STRING", "off", False),
        ("BOOLEAN", None, False),
    ],
)
def test_whether_a_test_warns_is_read_as_python_reads_it(kind: str, value: Any, truth: bool) -> None:
    """Only a text has to be one of the words for yes and no."""
    given = answer(["1", value, "true"], types=("INTEGER", kind, "BOOLEAN"))

    assert read_test_row(given) == TestRow(1, truth, True)


def test_the_order_of_a_tests_columns_does_not_matter() -> None:
    """dbt reads them by name, in any case."""
    names = ("SHOULD_ERROR", "failures", "Should_Warn")

    assert read_test_row(answer(["true", "4", "false"], names=names)) == TestRow(4, False, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (answer(), "returned 0 rows, but expected 1 row"),
        (answer(["1", "true", "true"], ["1", "true", "true"]), "returned 2 rows"),
        (answer(["1"], names=("failures",)), "returned the columns failures, but expected"),
        (
            answer(["1", "maybe", "true"], types=("INTEGER", "STRING", "BOOLEAN")),
            "'get_test_sql' returns 'maybe'",
        ),
    ],
)
def test_what_is_no_tests_row_is_refused(given: Any, said: str) -> None:
    """Guessing would turn a broken test green."""
    with pytest.raises(ValueError, match=said):
        read_test_row(given)


def node(**changes: Any) -> NodePlan:
    """Return a plan."""
    return NodePlan(
        **{
            "unique_id": "model.shop.orders",
            "name": "orders",
            "resource_type": "model",
            "level": Level.STATIC,
            "file": "models/orders.sql",
            **changes,
        }
    )


def test_a_model_is_judged_by_its_main_statement() -> None:
    """Its adapter response is that job's, as in run_results.json."""
    verdict = judge_build(node(), query_job("MERGE", numDmlAffectedRows="3"))

    assert verdict.status is Status.SUCCESS
    assert verdict.message == "MERGE (3.0 rows, 10.0 KiB processed)"
    assert verdict.adapter_response["rows_affected"] == 3


@pytest.mark.parametrize(
    ("message", "response"),
    [
        ("INSERT 3", {"_message": "INSERT 3", "code": "INSERT", "rows_affected": 3}),
        ("CREATE 0", {"_message": "CREATE 0", "code": "CREATE", "rows_affected": 0}),
        ("COPY TABLE with materialization: table", {}),
        ("NO-OP", {}),
    ],
)
def test_a_fixed_message_wins_over_the_job(message: str, response: dict[str, Any]) -> None:
    """Seeds count the file's rows; the copy materialization says nothing of its job."""
    verdict = judge_build(node(message=message, response=response), query_job("SELECT"))

    assert (verdict.message, verdict.adapter_response) == (message, response)


def test_a_failed_node_has_dbts_message() -> None:
    """As in run_results.json and on the console."""
    assert database_error(node(), "Unrecognized name: amout at [7:9]") == (
        "Database Error in model orders (models/orders.sql)\n  Unrecognized name: amout at [7:9]"
    )


def test_a_failed_load_has_the_message_of_googles_client() -> None:
    """dbt hands it on as it is."""
    error = {"reason": "invalid", "message": "CSV table encountered too many errors."}
    more = {"reason": "invalid", "location": "codes.csv", "message": "Could not parse 'two' as INT64"}
    job = {"configuration": {"load": {}}, "status": {"errorResult": error, "errors": [error, more]}}

    assert database_error(node(), "CSV table encountered too many errors.", job) == (
        "400 CSV table encountered too many errors.; reason: invalid, message: CSV table encountered too many errors.; "
        "reason: invalid, location: codes.csv, message: Could not parse 'two' as INT64"
    )


# -- the record -------------------------------------------------------------------------------------------------------


@given(
    st.builds(
        Outcome,
        unique_id=st.text(),
        status=st.sampled_from(Status),
        message=st.none() | st.text(),
        level=st.sampled_from(Level),
        started_at=st.just("2026-03-04T00:00:00+00:00"),
        completed_at=st.just("2026-03-04T00:00:02.500000+00:00"),
        try_number=st.integers(1, 9),
        failures=st.none() | st.integers(0, 9),
        adapter_response=st.dictionaries(st.text(), st.integers() | st.text()),
        jobs=st.lists(
            st.builds(JobRecord, purpose=st.text(), job_id=st.text(), project=st.text(), location=st.text())
        ).map(tuple),
    )
)
def test_an_outcome_survives_the_store(outcome: Outcome) -> None:
    """What the trigger leaves is what the results task reads."""
    assert load_outcome(dump_outcome(outcome)) == outcome
    assert outcome.seconds == 2.5


def test_what_is_no_outcome_is_refused() -> None:
    """With a word for what is wrong."""
    with pytest.raises(PlanDamaged, match="not a node's outcome"):
        load_outcome(b'{"status": "great"}')


@pytest.mark.parametrize(
    ("status", "level", "mains", "unwritten", "told"),
    [
        (Status.ERROR, Level.STATIC, [False], False, True),
        (Status.ERROR, Level.STATIC, [False, True], False, False),
        (Status.ERROR, Level.STATIC, [], False, False),
        (Status.SUCCESS, Level.STATIC, [False], False, False),
        (Status.ERROR, Level.DBT, [False], False, False),
        (Status.ERROR, Level.DBT, [], True, True),
    ],
    ids=["a pre-hook failed", "the statement", "nothing sent", "well", "real dbt", "real dbt, before"],
)
def test_it_is_known_whether_a_node_came_to_its_statement(
    status: Status, level: Level, mains: list[bool], unwritten: bool, told: bool
) -> None:
    """dbt names the statement's file in the manifest from then on; of real dbt the worker has seen it."""
    jobs = tuple(JobRecord("hook", "j", "p", "EU", main=main) for main in mains)
    at = "2026-01-01T05:00:00+00:00"

    found = Outcome("model.s.a", status, None, level, at, at, 1, jobs=jobs, unwritten=unwritten)

    assert found.ended_before_its_statement is told
