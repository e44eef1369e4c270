"""The trigger of a node's task, from its plan in the bucket to its event."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from cosmos_async.airflow.compat import ENDS_IN_TRIGGERER, FAILS_IN_TRIGGERER
from cosmos_async.plan.announcements import ANNOUNCEMENTS_FILE, Announcement, dump_announcements
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import FORMAT, CallOperation, Guard, GuardKind, Level, TestRule
from cosmos_async.plan.outcome import Status
from cosmos_async.plan.store import index_object, outcome_object, upload_object
from cosmos_async.testing import Request
from cosmos_async.triggers.base import EndingTrigger
from cosmos_async.triggers.dbt import BigQueryDbtTrigger
from cosmos_async.triggers.teardown import TeardownTrigger
from tests.unit.triggers.bench import (
    FOLDER,
    SETUP,
    TEST_SCHEMA,
    Bench,
    FakeClock,
    data_test,
    event_of,
    job,
    model,
    target_state,
    test_row,
)
from tests.unit.triggers.ends import is_failure, is_success


def payload(event: TriggerEvent) -> dict:
    """Return what a worker is told; the end events carry no such thing."""
    assert type(event) is TriggerEvent, event
    return event.payload


# -- the good case ----------------------------------------------------------------------------------------------------


async def test_a_model_is_built_and_its_task_ends_here(bench: Bench) -> None:
    """A plan is fetched, carried out, its outcome left in the store, and the task ended without a worker."""
    bench.google.on_query(
        "create or replace table",
        rows=[{"id": 1}, {"id": 2}, {"id": 3}],
        bytes_processed=10240,
        bytes_billed=10485760,
        slot_ms=1500,
    )
    await bench.plan(model("orders"))

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 1
    outcome = bench.outcome()
    assert outcome.status is Status.SUCCESS
    assert outcome.message == "CREATE TABLE (3.0 rows, 10.0 KiB processed)"
    assert outcome.adapter_response["rows_affected"] == 3
    assert outcome.jobs[0].rows == 3
    assert outcome.try_number == 1


async def test_the_log_speaks_as_dbt_does(bench: Bench) -> None:
    """Start and end lines are dbt's; the SQL, the job, its console link and its cost stand between them."""
    bench.google.on_query(
        "create or replace table",
        rows=[{"id": 1}],
        bytes_processed=10240,
        bytes_billed=10485760,
        slot_ms=1500,
    )
    await bench.plan(model("orders"))

    await bench.run()

    text, submitted = bench.log.text, bench.google.inserted_jobs[0]
    assert "START sql table model shop.orders ...." in text
    assert "select 1 as id" in text
    assert f"submitted BigQuery job p:US.{submitted.job_id} (main)" in text
    assert "model.shop.orders: " not in text  # in the node's own log
    assert (
        f"https://console.cloud.google.com/bigquery?project=p&j=bq:US:{submitted.job_id}&page=queryresults"
        in text
    )
    assert "1 job, 10.0 KiB processed, 10.0 MiB billed, 1.5 s slot time" in text
    assert "OK created sql table model shop.orders ...." in text
    assert "[CREATE TABLE (1.0 rows, 10.0 KiB processed) in " in text


async def test_the_jobs_are_left_in_small_xcoms(bench: Bench) -> None:
    """Downstream tasks and the link in Airflow's UI find the job."""
    await bench.plan(model("orders"))

    await bench.run()

    (facts,) = bench.airflow.left["dbt_jobs"]
    assert facts["job_id"] == bench.google.inserted_jobs[0].job_id
    assert facts["unique_id"] == "model.shop.orders"
    assert facts["status"] == "success"
    assert facts["job_id"] in bench.airflow.left["_link_BigQueryJobLink"]


async def test_a_task_with_something_for_a_worker_is_resumed_there(bench: Bench) -> None:
    """Success callbacks, listeners and the like run on workers only."""
    await bench.plan(model("orders"))

    event = await bench.run(succeeds_in_triggerer=False)

    assert payload(event)["status"] == "success"
    assert payload(event)["results"]["model.shop.orders"]["status"] == "success"


@pytest.mark.parametrize(
    ("arguments", "counted"),
    [
        pytest.param({}, ["start", "end"], id="begins and ends in the triggerer"),
        pytest.param({"succeeds_in_triggerer": False}, ["start"], id="ends on a worker"),
        pytest.param({"deferred_by_worker": True}, ["end"], id="begins on a worker"),
    ],
)
async def test_the_triggerer_counts_what_no_worker_does(
    bench: Bench, arguments: dict[str, Any], counted: list[str]
) -> None:
    """Airflow's metrics of tasks are counted by its workers; nothing is counted twice."""
    await bench.plan(model("orders"))

    await bench.run(**arguments)

    if not ENDS_IN_TRIGGERER:
        counted = counted[:-1] if counted[-1] == "end" else counted
    assert [one[0] for one in bench.airflow.counted] == counted
    assert all(one[2] == "success" for one in bench.airflow.counted if one[0] == "end")


@pytest.mark.parametrize(("tries", "state"), [(None, "failed"), (0, "failed"), (2, "up_for_retry")])
async def test_a_failure_is_counted_as_what_airflow_makes_of_it(
    bench: Bench, tries: int | None, state: str
) -> None:
    """A task with tries left is up for a retry, as a worker counts it."""
    await bench.plan(model("orders"))
    bench.google.on_query("create", error=("invalidQuery", "Syntax error"))
    told = {"operator": "DbtRunAsyncOperator", "started": None, "max_tries": tries}

    await bench.run(instance=told, deferred_by_worker=True)

    assert bench.airflow.counted == ([("end", "shop.orders.run", state)] if FAILS_IN_TRIGGERER else [])


async def test_the_sql_goes_out_as_dbt_would_send_it(bench: Bench) -> None:
    """Configuration, labels included, is dbt's; the id is ours."""
    configuration = {
        "query": {"query": "create or replace view `p`.`shop`.`v` as select 1", "useLegacySql": False},
        "labels": {"dbt_invocation_id": "i"},
        "jobTimeoutMs": "600000",
    }
    await bench.plan(model("v", job("", configuration=configuration), materialized="view"))

    await bench.run("model.shop.v")

    (request,) = bench.google.requests.of("jobs.insert")
    assert request.json["configuration"] == configuration
    assert request.json["jobReference"]["jobId"].startswith("cosmos_v_t1_0_")
    assert request.json["jobReference"]["location"] == "US"


# -- failures ---------------------------------------------------------------------------------------------------------


async def test_a_failing_query_is_explained_in_full(bench: Bench) -> None:
    """The message is BigQuery's, untouched; node, file, job and the SQL with its line stand beside it."""
    sql = "create or replace table `p`.`shop`.`orders` as (\n  select id,\n    amout\n  from raw\n)"
    bench.google.on_query("amout", error=("invalidQuery", "Unrecognized name: amout at [3:5]"))
    await bench.plan(model("orders", target_state("orders"), job(sql)))

    event = await bench.run()

    assert is_failure(event)
    text = bench.log.text
    assert "model.shop.orders (models/orders.sql) failed: Unrecognized name: amout at [3:5]" in text
    assert "> 3 |     amout" in text
    assert "ended with invalidQuery; a retry would fail the same way." in text
    assert "Fix models/orders.sql, then clear" in text
    assert "ERROR creating sql table model shop.orders ...." in text
    outcome = bench.outcome()
    assert outcome.status is Status.ERROR
    assert outcome.message == (
        "Database Error in model orders (models/orders.sql)\n  Unrecognized name: amout at [3:5]"
    )
    assert outcome.jobs[0].job_id == bench.google.inserted_jobs[0].job_id


async def test_a_failure_that_a_worker_must_see_is_told_there(bench: Bench) -> None:
    """Callbacks with all of their context, and retries before Airflow 3.3, need a worker."""
    bench.google.on_query("create", error=("invalidQuery", "Syntax error at [1:1]"))
    await bench.plan(model("orders"))

    event = await bench.run(fails_in_triggerer=False)

    assert payload(event)["status"] == "failed"
    assert "Syntax error at [1:1]" in payload(event)["message"]


async def test_a_table_that_may_not_be_read_names_who_tried(bench: Bench) -> None:
    """A missing permission is an error with a way out, not a traceback."""
    bench.google.forbid("tables.get")
    await bench.plan(model("orders"))

    event = await bench.run(fails_in_triggerer=False)

    assert payload(event)["status"] == "failed"
    assert "reading table p.shop.orders" in payload(event)["message"]
    assert "cosmos@p.iam.gserviceaccount.com" in payload(event)["message"]
    assert bench.google.mutations == [r for r in bench.google.mutations if r.operation.startswith("objects.")]


async def test_nothing_secret_is_ever_logged(bench: Bench) -> None:
    """Neither the key nor a token, even where authentication fails."""
    await bench.plan(model("orders"))
    key = bench.private_key
    bench.google.tokens.deny()

    event = await bench.run(fails_in_triggerer=False)

    told = bench.log.text + json.dumps(payload(event))
    assert "gives no token" in told
    assert key[30:60] not in told
    assert "ya29." not in told


# -- guards -----------------------------------------------------------------------------------------------------------


async def test_a_guard_that_differs_has_the_node_planned_anew(bench: Bench) -> None:
    """A plan for a first run must not replace what exists by now."""
    bench.google.add_table("p", "shop", "orders", rows=[{"id": 1}])
    await bench.plan(model("orders"))

    event = await bench.run()

    assert payload(event)["status"] == "late"
    (node,) = payload(event)["dbt"]
    assert node["unique_id"] == "model.shop.orders"
    assert node["way"] == "late"
    assert "A worker plans the node anew" in bench.log.text
    assert "planned 'absent', found 'TABLE'" in node["reason"]
    assert bench.google.mutations == []


@pytest.mark.parametrize("expected", ["absent", "TABLE"])
async def test_what_several_guards_ask_is_asked_once(bench: Bench, expected: str) -> None:
    """dbt reads a table as often as its macros like; each guard still has its own say."""
    create = job("create or replace table `p`.`shop`.`orders` as select 1 as id")
    guards = [target_state("orders"), target_state("orders", expected), target_state("others")]
    await bench.plan(model("orders", *guards, create))

    event = await bench.run()

    assert is_success(event) is (expected == "absent")
    inserted = bench.google.requests.of("jobs.insert")
    before = [
        request.path.rpartition("/")[2]
        for request in bench.google.requests.of("tables.get")
        if not inserted or request.began < inserted[0].began
    ]
    assert sorted(before) == ["orders", "others"]


async def test_nothing_is_written_after_a_guard_that_differs(bench: Bench) -> None:
    """A guard between two writes stops before the second."""
    fields = [{"name": "id", "type": "INTEGER", "mode": "NULLABLE"}]
    schema = Guard(
        GuardKind.SCHEMA,
        "select * from tmp",
        {"project": "p", "location": "US", "configuration": {"query": {"query": "select * from tmp"}}},
        fields,
    )
    bench.google.on_query("select \\* from tmp", schema=[{"name": "colour", "type": "STRING"}])
    await bench.plan(
        model(
            "orders",
            job("create or replace table `p`.`shop`.`tmp` as select 1", main=False),
            schema,
            job("create or replace table `p`.`shop`.`orders` as select 1"),
        )
    )

    event = await bench.run()

    assert payload(event)["status"] == "late"
    assert [made.spec.sql for made in bench.google.inserted_jobs] == [
        "create or replace table `p`.`shop`.`tmp` as select 1"
    ]


async def test_rows_that_dbt_looked_at_are_looked_at_again(bench: Bench) -> None:
    """A pivot's column values are read again, as a multiset unless an order was asked for."""
    request = {
        "project": "p",
        "location": "US",
        "configuration": {"query": {"query": "select distinct colour from raw", "useLegacySql": False}},
        "ordered": False,
    }
    guard = Guard(GuardKind.ROWS, "select distinct colour", request, [["blue"], ["red"]])
    bench.google.on_query("distinct colour", rows=[{"colour": "red"}, {"colour": "blue"}])
    await bench.plan(model("orders", guard, job("create or replace table `p`.`shop`.`orders` as select 1")))

    event = await bench.run()

    assert is_success(event), bench.log.text


@pytest.mark.parametrize(
    ("what", "dataset", "expected"),
    [
        ("tables", "raw", {"a": "TABLE", "b": "TABLE", "c": "TABLE"}),
        ("tables", "nowhere", {}),
        ("routines", "raw", {}),
        ("datasets", None, {"raw": ""}),
    ],
)
async def test_what_dbt_listed_is_listed_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str, dataset: str | None, expected: dict
) -> None:
    """Page by page; what the run itself may add meanwhile, with its temporary tables, is no difference."""
    monkeypatch.setattr("cosmos_async.triggers.google.bigquery.ENTRIES_PER_PAGE", 2)
    for name in ("a", "b", "c", "ours", "ours__dbt_tmp"):
        bench.google.add_table("p", "raw", name)
    request = {"what": what, "project": "p", "ignored": ["ours", "shop"]}
    guard = Guard(GuardKind.LISTING, what, {**request, **({"dataset": dataset} if dataset else {})}, expected)
    await bench.plan(model("orders", guard, job("create or replace table `p`.`shop`.`orders` as select 1")))

    event = await bench.run()

    assert is_success(event), bench.log.text


async def test_a_listing_that_differs_names_what_is_new_and_what_is_gone(bench: Bench) -> None:
    """Of a thousand tables only these."""
    for name in ("same", "new"):
        bench.google.add_table("p", "raw", name)
    request = {"what": "tables", "project": "p", "dataset": "raw", "ignored": []}
    guard = Guard(GuardKind.LISTING, "the tables of p.raw", request, {"same": "TABLE", "gone": "VIEW"})
    await bench.plan(model("orders", guard, job("create or replace table `p`.`shop`.`orders` as select 1")))

    event = await bench.run()

    (node,) = payload(event)["dbt"]
    assert node["way"] == "late"
    assert "the tables of p.raw" in node["reason"]
    assert "planned {'gone': 'VIEW'}, found {'new': 'TABLE'}" in node["reason"]
    assert bench.google.mutations == []


async def test_a_query_that_no_longer_works_is_a_difference(bench: Bench) -> None:
    """dbt had an answer when the plan was made; an error now means the plan no longer fits."""
    bench.google.on_query("from gone", error=("notFound", "Not found: Table p:shop.gone"))
    request = {"project": "p", "location": "US", "configuration": {"query": {"query": "select * from gone"}}}
    guard = Guard(GuardKind.SCHEMA, "select * from gone", request, [])
    await bench.plan(model("orders", guard, job("create table `p`.`shop`.`orders` as select 1")))

    event = await bench.run()

    assert payload(event)["status"] == "late"
    assert bench.google.inserted_jobs == []


@pytest.mark.parametrize(("level", "way"), [(Level.DBT, "dbt"), (Level.LATE, "late")])
async def test_a_node_that_needs_a_worker_goes_there_with_its_reason(
    bench: Bench, level: Level, way: str
) -> None:
    """No worker is started for other nodes, and this one's says why it was."""
    await bench.plan(model("orders", level=level, reason="It is a Python model.", compiled_code=None))

    event = await bench.run()

    assert payload(event)["status"] == way
    assert payload(event)["dbt"] == [
        {
            "unique_id": "model.shop.orders",
            "name": "orders",
            "level": level.value,
            "reason": "It is a Python model.",
            "way": way,
            "done": 0,
        }
    ]
    # A late node asks in the store who plans it.
    wave = {"objects.insert", "objects.delete"} if way == "late" else set()
    assert {each.operation for each in bench.google.mutations} <= wave


# -- calls and uploads ------------------------------------------------------------------------------------------------


async def test_a_view_in_the_way_is_dropped_before_the_table_is_made(bench: Bench) -> None:
    """Calls are sent at their place among the jobs."""
    bench.google.add_table("p", "shop", "orders", type="VIEW", view={"query": "select 1"})
    drop = CallOperation("drop", "DELETE", "projects/p/datasets/shop/tables/orders", missing_ok=True)
    await bench.plan(
        model(
            "orders",
            target_state("orders", "VIEW"),
            drop,
            job("create table `p`.`shop`.`orders` as select 1"),
        )
    )

    event = await bench.run()

    assert is_success(event), bench.log.text
    mutations = [r.operation for r in bench.google.mutations if not r.operation.startswith("objects.")]
    assert mutations == ["tables.delete", "jobs.insert"]


@pytest.mark.parametrize("missing_ok", [True, False])
async def test_a_missing_table_may_be_as_good_as_a_dropped_one(bench: Bench, missing_ok: bool) -> None:
    """dbt's own ``not_found_ok`` decides."""
    drop = CallOperation("drop", "DELETE", "projects/p/datasets/shop/tables/orders", missing_ok=missing_ok)
    await bench.plan(model("orders", drop))

    event = await bench.run()

    assert (is_success if missing_ok else is_failure)(event)


async def test_a_seed_is_loaded_with_its_bytes(bench: Bench) -> None:
    """The file that setup put into the store is what BigQuery gets; the message is dbt's."""
    import hashlib

    data = b"id,name\n1,a\n2,b\n3,c\n"
    digest = hashlib.sha256(data).hexdigest()
    load = {
        "load": {
            "destinationTable": {"projectId": "p", "datasetId": "shop", "tableId": "raw_orders"},
            "schema": {"fields": [{"name": "id", "type": "INTEGER"}, {"name": "name", "type": "STRING"}]},
            "skipLeadingRows": 1,
            "sourceFormat": "CSV",
            "writeDisposition": "WRITE_TRUNCATE",
        }
    }
    seed = model(
        "raw_orders",
        target_state("raw_orders"),
        job("", purpose="load", configuration=load, upload=upload_object(digest), upload_digest=digest),
        unique_id="seed.shop.raw_orders",
        resource_type="seed",
        compiled_code=None,
        message="INSERT 3",
        response={"_message": "INSERT 3", "code": "INSERT", "rows_affected": 3},
    )
    address = await bench.plan(seed)
    bench.google.objects.write(
        bench.google.objects.find("plans"), f"shop/dag/run1/life/{upload_object(digest)}", data, {}, {}
    )

    event = await bench.run("seed.shop.raw_orders")

    assert is_success(event), bench.log.text
    assert bench.google.inserted_jobs[0].spec.data == data
    outcome = bench.outcome("seed.shop.raw_orders")
    assert outcome.message == "INSERT 3"
    assert outcome.adapter_response == {"_message": "INSERT 3", "code": "INSERT", "rows_affected": 3}
    assert "OK loaded seed file shop.raw_orders" in bench.log.text
    assert address.folder == FOLDER


# -- tests ------------------------------------------------------------------------------------------------------------


async def test_a_models_tests_run_together_and_one_failure_fails_the_task(bench: Bench) -> None:
    """Every test is executed and has its outcome, as in dbt."""
    bench.google.on_query("/\\* good \\*/", **test_row(0))
    bench.google.on_query("/\\* bad \\*/", **test_row(2))
    bench.google.on_query("/\\* lenient \\*/", **test_row(1))
    tests = [data_test("bad"), data_test("good"), data_test("lenient", TestRule(severity="warn"))]
    owner = {test.unique_id: "model.shop.orders" for test in tests}
    await bench.plan(model("orders"), *tests, owners=owner)

    event = await bench.run(work="tests", fails_in_triggerer=False)

    assert payload(event)["status"] == "failed"
    assert "Got 2 results, configured to fail if != 0" in payload(event)["message"]
    assert bench.outcome("test.shop.good").status is Status.PASS
    assert bench.outcome("test.shop.good").message is None
    assert bench.outcome("test.shop.bad").status is Status.FAIL
    assert bench.outcome("test.shop.bad").failures == 2
    assert bench.outcome("test.shop.lenient").status is Status.WARN
    assert bench.log.text.startswith("START 3 tests ....")
    (passed,) = (line for line in bench.log.text.splitlines() if "good" in line)  # its one line
    assert "PASS good" in passed
    assert passed.endswith(f" p:US.{bench.outcome('test.shop.good').jobs[0].job_id}")
    assert "FAIL 2 bad" in bench.log.text
    assert "WARN 1 lenient" in bench.log.text
    assert "Done. PASS=1 WARN=1 ERROR=1 SKIP=0 DBT=0 TOTAL=3" in bench.log.text


async def test_a_warning_lets_the_task_succeed(bench: Bench) -> None:
    """``severity: warn`` does not stop what comes after."""
    bench.google.on_query("/\\* lenient \\*/", **test_row(1))
    await bench.plan(
        data_test("lenient", TestRule(severity="warn")), owners={"test.shop.lenient": "model.shop.orders"}
    )

    event = await bench.run(work="tests")

    assert is_success(event)
    (level, story) = bench.log.lines[-1]
    assert level == "warning"
    assert story.startswith("test.shop.lenient (tests/lenient.sql): Got 1 result, configured to warn if != 0")
    assert f"p:US.{bench.google.inserted_jobs[0].job_id}" in story
    assert story.endswith("This query, the test's compiled SQL, shows the failing rows:\nselect 1")


@pytest.mark.parametrize(("failures", "resumed"), [(1, True), (0, False)])
async def test_a_warning_takes_a_worker_where_the_dags_author_wants_to_hear_of_it(
    bench: Bench, failures: int, resumed: bool
) -> None:
    """``on_warning_callback`` is code of the DAG; without a warning no worker is needed for it."""
    bench.google.on_query("/\\* lenient \\*/", **test_row(failures))
    await bench.plan(
        data_test("lenient", TestRule(severity="warn")), owners={"test.shop.lenient": "model.shop.orders"}
    )

    event = await bench.run(work="tests", warns_on_worker=True)

    assert (type(event) is TriggerEvent) is (resumed or not ENDS_IN_TRIGGERER)
    if resumed:
        assert payload(event)["status"] == "success"
        assert payload(event)["results"]["test.shop.lenient"]["status"] == "warn"


async def test_a_test_whose_query_is_no_test_is_an_error(bench: Bench) -> None:
    """Silence is not success: a query without the three columns judges nothing."""
    bench.google.on_query("/\\* odd \\*/", schema=TEST_SCHEMA[:1], rows=[[0]], statement_type="SELECT")
    await bench.plan(data_test("odd"), owners={"test.shop.odd": "model.shop.orders"})

    event = await bench.run(work="tests", fails_in_triggerer=False)

    assert payload(event)["status"] == "failed"
    assert "test.shop.odd: the test's query returned the columns failures" in payload(event)["message"]


async def test_a_model_without_tests_succeeds_and_says_so(bench: Bench) -> None:
    """Its tests may run elsewhere, or there may be none."""
    await bench.plan(model("orders"))

    event = await bench.run(work="tests")

    assert is_success(event)
    assert "model.shop.orders has no tests to execute here." in bench.log.text


async def test_all_tests_of_a_run_can_be_one_task(bench: Bench) -> None:
    """``TestBehavior.AFTER_ALL`` has one task for them."""
    for name in ("one", "two"):
        bench.google.on_query(f"/\\* {name} \\*/", **test_row(0))
    await bench.plan(model("orders"), data_test("one"), data_test("two"))

    event = await bench.run(None, work="all_tests")

    assert is_success(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 2
    assert "dbt_jobs" in bench.airflow.left


async def test_a_model_that_fails_skips_its_tests(bench: Bench) -> None:
    """As in ``dbt build``."""
    bench.google.on_query("create", error=("invalidQuery", "Syntax error"))
    await bench.plan(model("orders"), data_test("good"), owners={"test.shop.good": "model.shop.orders"})

    event = await bench.run(work="build")

    assert is_failure(event)
    assert len(bench.google.inserted_jobs) == 1
    assert "SKIP=1" in bench.log.text


async def test_tests_wait_until_real_dbt_has_made_their_model(bench: Bench) -> None:
    """They must see the table that dbt makes, not the one before; then they are executed here."""
    await bench.plan(
        model("orders", level=Level.DBT, reason="It is a Python model."),
        data_test("good"),
        owners={"test.shop.good": "model.shop.orders"},
    )

    event = await bench.run(work="build")

    assert [node["unique_id"] for node in payload(event)["dbt"]] == ["model.shop.orders"]
    assert (payload(event)["status"], payload(event)["position"], payload(event)["rest"]) == ("late", 0, 1)
    assert bench.google.inserted_jobs == []


async def test_unit_tests_come_before_their_model(bench: Bench) -> None:
    """They decide whether it is built at all, so it waits for them."""
    unit = data_test(
        "unit", unique_id="unit_test.shop.unit", resource_type="unit_test", level=Level.DBT, reason="r"
    )
    await bench.plan(model("orders"), unit, owners={"unit_test.shop.unit": "model.shop.orders"})

    event = await bench.run(work="build")

    assert [node["unique_id"] for node in payload(event)["dbt"]] == ["unit_test.shop.unit"]
    assert payload(event)["rest"] == 1
    assert bench.google.inserted_jobs == []


async def test_other_tests_are_executed_before_a_worker_is_asked_for(bench: Bench) -> None:
    """What needs no dbt is done; a failure among it is told to the worker, which must not turn it green."""
    bench.google.on_query("/\\* bad \\*/", **test_row(1))
    tests = [data_test("bad"), data_test("slow", level=Level.DBT, reason="It is custom.")]
    await bench.plan(*tests, owners={test.unique_id: "model.shop.orders" for test in tests})

    event = await bench.run(work="tests")

    assert payload(event)["status"] == "dbt"
    assert "Got 1 result, configured to fail if != 0" in payload(event)["message"]
    assert bench.outcome("test.shop.bad").status is Status.FAIL


# -- bad plans --------------------------------------------------------------------------------------------------------


async def test_a_run_without_a_plan_says_which_task_to_clear(bench: Bench) -> None:
    """The setup task was skipped, failed, or is no part of this run."""
    bench.airflow.setup_states = ["failed"]

    event = await bench.run(fails_in_triggerer=False)

    message = payload(event)["message"]
    assert "shop_dag.shop.dbt_setup_async has left no plan in run run1" in message
    assert "Clear shop.dbt_setup_async together with this task" in message


@pytest.mark.parametrize(
    "states", [["running", "running"], [None, "scheduled", "queued", "running"], ["up_for_retry"]]
)
async def test_a_setup_that_plans_anew_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, states: list[str | None]
) -> None:
    """Somebody cleared another task, and with it the setup: its XCom is gone until it has planned."""
    monkeypatch.setattr("cosmos_async.triggers.address.SETUP_INTERVAL", 0)
    await bench.plan(model("orders"))
    address = bench.airflow.xcoms.pop((SETUP, "dbt_plan"))
    bench.airflow.setup_states = list(states)
    state = bench.airflow.state

    async def planned_at_last(key: TaskKey) -> str | None:
        found = await state(key)
        if not bench.airflow.setup_states:
            bench.airflow.xcoms[SETUP, "dbt_plan"] = address
        return found

    monkeypatch.setattr(bench.airflow, "state", planned_at_last)

    event = await bench.run()

    assert is_success(event), bench.log.text


async def test_a_setup_that_is_not_there_is_not_waited_for_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong setup_task_id has no state."""
    monkeypatch.setattr("cosmos_async.triggers.address.SETUP_INTERVAL", 0)
    bench.airflow.setup_states = [None] * 100

    event = await bench.run(fails_in_triggerer=False)

    assert "has left no plan" in payload(event)["message"]


async def test_a_node_that_setup_did_not_plan_is_named(bench: Bench) -> None:
    """It may be outside of ``select`` now."""
    await bench.plan(model("orders"), model("customers"))

    event = await bench.run("model.shop.payments", fails_in_triggerer=False)

    message = payload(event)["message"]
    assert "no plan for model.shop.payments in run run1" in message
    assert "recorded 2 nodes" in message


async def test_a_damaged_node_plan_is_not_executed(bench: Bench) -> None:
    """What is executed is what this run's setup wrote; nothing is submitted from anything else."""
    await bench.plan(model("orders"))
    bucket = bench.google.objects.find("plans")
    (name,) = [name for name in bucket.objects if "/nodes-" in name]
    bucket.objects[name] = replace(bucket.objects[name], content=b" " + bucket.objects[name].content)

    event = await bench.run(fails_in_triggerer=False)

    assert "is not what the setup task wrote: its SHA-256 is" in payload(event)["message"]
    assert bench.google.mutations == []


async def test_a_plan_of_another_version_names_both(bench: Bench) -> None:
    """Setup and triggerer run different releases."""
    import hashlib

    address = await bench.plan(model("orders"))
    bucket = bench.google.objects.find("plans")
    old = bucket.objects[f"shop/dag/run1/life/{index_object(address.index)}"]
    data = old.content.replace(f'"format":{FORMAT}'.encode(), b'"format":99')
    digest = hashlib.sha256(data).hexdigest()
    bucket.objects[f"shop/dag/run1/life/{index_object(digest)}"] = replace(old, content=data)
    bench.airflow.xcoms[SETUP, "dbt_plan"] = {**address.to_json(), "index": digest}

    event = await bench.run(fails_in_triggerer=False)

    assert f"plan format 99, and this process reads format {FORMAT}" in payload(event)["message"]


async def test_a_missing_bucket_is_named(bench: Bench) -> None:
    """With the account that looked for it and the setting that names it."""
    address = await bench.plan(model("orders"))
    bench.airflow.xcoms[SETUP, "dbt_plan"] = {**address.to_json(), "folder": "gs://plnas/shop/dag/run1/life"}

    event = await bench.run(fails_in_triggerer=False)

    message = payload(event)["message"]
    assert "The bucket gs://plnas does not exist (asked as cosmos@p.iam.gserviceaccount.com" in message
    assert "AIRFLOW__COSMOS_ASYNC__REMOTE_TARGET_PATH" in message


async def test_a_forbidden_bucket_says_who_may_not(bench: Bench) -> None:
    """The way out is a role or another connection."""
    address = await bench.plan(model("orders"))
    bench.google.add_bucket("secret", forbidden=True)
    bench.airflow.xcoms[SETUP, "dbt_plan"] = {**address.to_json(), "folder": "gs://secret/shop/dag/run1/life"}

    event = await bench.run(fails_in_triggerer=False)

    message = payload(event)["message"]
    assert "may not use the bucket gs://secret" in message
    assert "remote_target_path_conn_id" in message


async def test_a_local_folder_that_this_machine_does_not_see_names_both(bench: Bench) -> None:
    """Worker and triggerer need a shared place."""
    address = await bench.plan(model("orders"))
    bench.airflow.xcoms[SETUP, "dbt_plan"] = {
        **address.to_json(),
        "folder": "/nowhere/shop",
        "host": "worker-7",
    }

    event = await bench.run(fails_in_triggerer=False)

    message = payload(event)["message"]
    assert "/nowhere/shop was written on worker-7, and this is" in message
    assert "gs://bucket/prefix" in message


# -- shared by a run --------------------------------------------------------------------------------------------------


async def test_what_a_run_needs_once_is_done_once(bench: Bench) -> None:
    """Many nodes want their dataset created; BigQuery sees one job, on-run-start likewise."""
    import asyncio

    create = job("create schema if not exists `p`.`shop`", main=False, shared="create_schema:p.shop")
    hook = job(
        "insert into `p`.`shop`.`audit` values (1)",
        main=False,
        purpose="on-run-start",
        shared="on_run_start:0",
    )
    bench.google.add_table("p", "shop", "audit", schema=[{"name": "id", "type": "INTEGER"}])
    bench.google.on_query("audit", statement_type="INSERT", affected_rows=1)
    await bench.plan(
        *(
            model(name, create, job(f"create or replace table `p`.`shop`.`{name}` as select 1"))
            for name in ("a", "b", "c")
        ),
        prelude=(hook,),
    )

    events = await asyncio.gather(*(bench.run(f"model.shop.{name}") for name in ("a", "b", "c")))
    events.append(await bench.run("model.shop.a", try_number=2))

    assert all(is_success(event) for event in events), bench.log.text
    made = [made.spec.sql for made in bench.google.inserted_jobs]
    assert made.count("create schema if not exists `p`.`shop`") == 1
    assert made.count("insert into `p`.`shop`.`audit` values (1)") == 1


async def test_a_shared_job_that_failed_may_be_repeated_by_a_later_try(bench: Bench) -> None:
    """Its id is the run's, so without this the failure would stand until setup plans anew."""
    create = job("create schema if not exists `p`.`shop`", main=False, shared="create_schema:p.shop")
    bench.google.on_query("create schema", error=("backendError", "Try later."), times=1)
    await bench.plan(model("a", create, job("create or replace table `p`.`shop`.`a` as select 1")))

    first = await bench.run("model.shop.a")
    second = await bench.run("model.shop.a", try_number=2)

    assert is_failure(first)
    assert is_success(second), bench.log.text


async def test_a_large_seed_is_loaded_in_pieces(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request carries more than one piece, and the job gets all of them."""
    data = await _plan_large_seed(bench, monkeypatch)

    event = await bench.run("seed.shop.large")

    assert is_success(event), bench.log.text
    assert bench.google.inserted_jobs[0].spec.data == data
    assert sum(request.method == "PUT" for request in bench.google.requests) == 3


@pytest.mark.parametrize("status", [404, 410])
async def test_an_upload_that_google_has_forgotten_is_begun_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """What had arrived is gone with it; the job is still one."""
    data = await _plan_large_seed(bench, monkeypatch)
    bench.google.fail("uploads.continue", status)

    event = await bench.run("seed.shop.large")

    assert is_success(event), bench.log.text
    assert [job.spec.data for job in bench.google.inserted_jobs] == [data]


async def _plan_large_seed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Plan a seed of three pieces, and return its bytes."""
    monkeypatch.setattr("cosmos_async.triggers.google.uploads.LARGEST", 10)
    data = b"id,name\n1,tea\n2,milk\n3,sugar\n"
    digest = hashlib.sha256(data).hexdigest()
    load = {
        "load": {
            "destinationTable": {"projectId": "p", "datasetId": "shop", "tableId": "large"},
            "schema": {"fields": [{"name": "id", "type": "INTEGER"}, {"name": "name", "type": "STRING"}]},
            "skipLeadingRows": 1,
            "sourceFormat": "CSV",
            "writeDisposition": "WRITE_TRUNCATE",
        }
    }
    seed = model(
        "large",
        job("", purpose="load", configuration=load, upload=upload_object(digest), upload_digest=digest),
        unique_id="seed.shop.large",
        resource_type="seed",
    )
    await bench.plan(seed)
    bench.google.objects.write(
        bench.google.objects.find("plans"), f"shop/dag/run1/life/{upload_object(digest)}", data, {}, {}
    )
    return data


# -- the wire format --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trigger", [BigQueryDbtTrigger, TeardownTrigger])
def test_the_arguments_are_the_wire_format(trigger: type) -> None:
    """What is serialized is what ``__init__`` takes, so a restart loses nothing."""
    taken = {
        parameter.name
        for kind in (trigger, EndingTrigger)
        for parameter in inspect.signature(kind.__init__).parameters.values()
        if (parameter.name != "self" and parameter.kind is parameter.POSITIONAL_OR_KEYWORD)
        or parameter.kind is parameter.KEYWORD_ONLY
    }
    arguments = {name: f"the {name}" for name in trigger.fields}

    assert set(trigger.fields) == taken
    assert trigger(**arguments).serialize()[1] == arguments


def test_a_trigger_survives_serialization(bench: Bench) -> None:
    """Its arguments are JSON, small and free of secrets."""
    trigger = bench.trigger(succeeds_in_triggerer=False)

    path, kwargs = trigger.serialize()

    assert path == "cosmos_async.triggers.dbt.BigQueryDbtTrigger"
    assert BigQueryDbtTrigger(**json.loads(json.dumps(kwargs))).serialize() == (path, kwargs)


# -- teardown ---------------------------------------------------------------------------------------------------------


async def test_teardown_deletes_the_runs_folder_and_nothing_else(bench: Bench) -> None:
    """A second time there is nothing, which is as good."""
    await bench.plan(model("orders"), model("customers"))
    bucket = bench.google.objects.find("plans")
    bench.google.objects.write(bucket, "shop/dag/run11/plan/index.json", b"{}", {}, {})

    events = []
    for _ in range(2):
        trigger = TeardownTrigger(setup_task_id=SETUP, identity=bench.identity)
        trigger.task_instance = bench.trigger().task_instance
        trigger.airflow = bench.airflow
        trigger._log = bench.log
        events.append(await event_of(trigger))

    assert all(is_success(event) for event in events)
    assert list(bucket.objects) == ["shop/dag/run11/plan/index.json"]
    assert "Deleted 3 objects below gs://plans/shop/dag/run1/life." in bench.log.text
    assert "Deleted 0 objects" in bench.log.text


@pytest.mark.parametrize("last", ["success", "failed", None], ids=["told", "failed", "not in the DAG"])
async def test_teardown_waits_for_the_results(bench: Bench, last: str | None) -> None:
    """Both start at the same time, and the results are told from what the folder has."""
    await bench.plan(model("orders"))
    states = iter(["queued", RuntimeError("the API is away"), "running", "up_for_retry", None, "running"])

    async def task_states(key: TaskKey, task_ids: Sequence[str]) -> dict[str, str | None]:
        state = next(states, last)
        if isinstance(state, Exception):
            raise state
        assert state == last or bench.google.stored("plans"), "deleted while the results task reads it"
        return dict.fromkeys(task_ids, state)

    trigger = TeardownTrigger(setup_task_id=SETUP, identity=bench.identity, results_task_id="results")
    trigger.task_instance = bench.trigger().task_instance
    trigger.airflow, trigger.clock = bench.airflow, FakeClock()
    trigger._log = bench.log
    bench.airflow.task_states = task_states

    assert is_success(await event_of(trigger))
    assert not bench.google.stored("plans")
    assert bench.log.text.count("Waiting for the end of results.") == 1
    assert bench.log.text.count("the API is away") == 1


@pytest.mark.parametrize("made", [True, False], ids=["announced", "not announced"])
async def test_teardown_needs_a_worker_only_for_assets_that_are_not_announced(
    bench: Bench, made: bool
) -> None:
    """The results task has failed before; what it would have announced stands beside dbt's artifacts, and stays there."""
    await bench.plan(model("orders"))
    one = Announcement("model.shop.orders", "p.shop.orders", "shop__orders_run", "now", made=made)
    bucket = bench.google.objects.find("plans")
    name = f"shop/dag/~artifacts/run1/{ANNOUNCEMENTS_FILE}"
    bench.google.objects.write(bucket, name, dump_announcements([one]), {}, {})
    trigger = TeardownTrigger(setup_task_id=SETUP, identity=bench.identity)
    trigger.task_instance = bench.trigger().task_instance
    trigger.airflow = bench.airflow
    trigger._log = bench.log

    event = await event_of(trigger)

    assert is_success(event) is made
    assert made or event.payload["status"] == "announce"
    assert list(bucket.objects) == [name]


async def test_outcomes_are_written_whole_and_once_per_try(bench: Bench) -> None:
    """The results task finds one object per node."""
    await bench.plan(model("orders"))

    await bench.run()

    def is_outcome(request: Request) -> bool:
        return "outcomes" in request.query.get("name", "")

    assert len(bench.google.requests.of("objects.insert", is_outcome)) == 1
    assert outcome_object("model.shop.orders") in "".join(bench.google.stored("plans"))
