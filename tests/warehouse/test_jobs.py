"""
The warehouse answers as BigQuery does: jobs, tables, partitions, and a clean end.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.warehouse.fixture import Json, Warehouse, running_warehouse

pytestmark = pytest.mark.warehouse

SECONDS = 60  #: that anything here may take
#: Takes the emulator far longer than a test may last.
ENDLESS = "select count(*) from unnest(generate_array(1, 400000)) a, unnest(generate_array(1, 400000)) b where a + b = 7"


@pytest.fixture
def dataset(warehouse: Warehouse) -> Iterator[str]:
    """An empty dataset."""
    name = f"d{uuid.uuid4().hex}"
    warehouse.query(f"create schema `{warehouse.project}`.`{name}`")
    yield name
    warehouse.drop_all(name)


def send(warehouse: Warehouse, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
    """Send one request and return status and answer, whatever the status is."""
    request = urllib.request.Request(
        f"{warehouse.endpoint}/bigquery/v2/projects/{warehouse.project}/{path}",
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={"Authorization": f"Bearer {warehouse.token()}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return response.status, json.loads(response.read() or b"{}")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def insert(warehouse: Warehouse, sql: str, *, job_id: str = "", **configuration: Any) -> str:
    """Insert a query job and return its id."""
    job_id = job_id or f"test_{uuid.uuid4().hex}"
    query = {"query": sql, "useLegacySql": False}
    body = {"jobReference": {"jobId": job_id}, "configuration": {"query": query, **configuration}}
    status, answer = send(warehouse, "POST", "jobs", body)
    assert status == 200, answer
    return job_id


def finished(warehouse: Warehouse, job_id: str) -> Json:
    """Wait for a job by long polls and return it."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        send(warehouse, "GET", f"queries/{job_id}?timeoutMs=10000&maxResults=0")
        _, job = send(warehouse, "GET", f"jobs/{job_id}")
        if job["status"]["state"] == "DONE":
            return job
    raise TimeoutError(job_id)


def test_a_job_id_is_taken_once(warehouse: Warehouse, dataset: str) -> None:
    """The second insert is refused and nothing runs twice; this is what makes a submission safe to repeat."""
    finished(warehouse, insert(warehouse, f"create table {dataset}.t (a int64)"))
    job_id = insert(warehouse, f"insert into {dataset}.t values (1)")

    status, refusal = send(
        warehouse,
        "POST",
        "jobs",
        {
            "jobReference": {"jobId": job_id},
            "configuration": {
                "query": {"query": f"insert into {dataset}.t values (2)", "useLegacySql": False}
            },
        },
    )

    assert status == 409
    assert refusal["error"]["errors"][0]["reason"] == "duplicate"
    assert finished(warehouse, job_id)["statistics"]["query"]["numDmlAffectedRows"] == "1"
    assert warehouse.query(f"select a from {dataset}.t") == [{"a": "1"}]


def test_without_a_token_nothing_is_answered(warehouse: Warehouse) -> None:
    """The real way of authentication runs in every test."""
    url = f"{warehouse.endpoint}/bigquery/v2/projects/{warehouse.project}/datasets"

    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(url, timeout=SECONDS)

    assert refusal.value.code == 401
    refusal.value.close()


def test_a_poll_ends_with_its_time_or_with_the_job(warehouse: Warehouse) -> None:
    """A job that is asked to take its time is seen running."""
    job_id = insert(warehouse, "select 1 as a", labels={"hold_ms": "700"})

    _, early = send(warehouse, "GET", f"queries/{job_id}?timeoutMs=1")
    _, late = send(warehouse, "GET", f"queries/{job_id}?timeoutMs=30000")
    _, job = send(warehouse, "GET", f"jobs/{job_id}")

    assert early["jobComplete"] is False
    assert late["jobComplete"] is True
    assert late["rows"] == [{"f": [{"v": "1"}]}]
    assert job["configuration"]["labels"] == {"hold_ms": "700"}
    assert int(job["statistics"]["endTime"]) - int(job["statistics"]["startTime"]) >= 700


def test_a_cancelled_job_stops_in_the_emulator_too(warehouse: Warehouse) -> None:
    """It ends as "stopped", and the emulator has room again."""
    job_id = insert(warehouse, ENDLESS)
    send(warehouse, "GET", f"queries/{job_id}?timeoutMs=1500")

    send(warehouse, "POST", f"jobs/{job_id}/cancel")

    assert finished(warehouse, job_id)["status"]["errorResult"]["reason"] == "stopped"
    assert warehouse.query("select 1 as a") == [{"a": "1"}]


def test_a_job_ends_at_its_timeout(warehouse: Warehouse) -> None:
    """jobTimeoutMs is the client's own limit."""
    job_id = insert(warehouse, ENDLESS, jobTimeoutMs="1000")

    error = finished(warehouse, job_id)["status"]["errorResult"]

    assert error["reason"] == "stopped"
    assert "timed out" in error["message"]


@pytest.mark.parametrize(
    ("sql", "reason", "message"),
    [
        ("selectt 1", "invalidQuery", "Syntax error"),
        ("select * from {dataset}.missing", "notFound", "Not found: Table"),
        ("select nothing from (select 1 as something)", "invalidQuery", "Unrecognized name: nothing"),
        ("select 1 / 0", "invalidQuery", "division by zero"),
    ],
)
def test_a_failed_job_says_why(
    warehouse: Warehouse, dataset: str, sql: str, reason: str, message: str
) -> None:
    """In the job, and as the answer to a poll for its rows."""
    job_id = insert(warehouse, sql.format(dataset=dataset))

    error = finished(warehouse, job_id)["status"]["errorResult"]
    status, answer = send(warehouse, "GET", f"queries/{job_id}")

    assert error["reason"] == reason
    assert message in error["message"]
    assert status == (404 if reason == "notFound" else 400)
    assert message in answer["error"]["message"]


def test_a_dry_run_tells_the_schema_and_leaves_no_job(warehouse: Warehouse, dataset: str) -> None:
    """Nothing is created."""
    sql = f"create table {dataset}.t as select 1 as a, 'x' as b"
    query = {"query": sql, "useLegacySql": False}

    status, answer = send(warehouse, "POST", "jobs", {"configuration": {"query": query, "dryRun": True}})

    fields = answer["statistics"]["query"]["schema"]["fields"]
    assert status == 200
    assert "jobId" not in answer["jobReference"]
    assert [(each["name"], each["type"]) for each in fields] == [("a", "INTEGER"), ("b", "STRING")]
    assert warehouse.dump(dataset) == {}


def test_a_created_table_is_its_jobs_destination(warehouse: Warehouse, dataset: str) -> None:
    """dbt counts the rows of the destination; bytes and slot time are there."""
    finished(warehouse, insert(warehouse, f"create table {dataset}.a as select 1 as x"))
    job = finished(warehouse, insert(warehouse, f"create table {dataset}.b as select x from {dataset}.a"))

    reference = {"projectId": warehouse.project, "datasetId": dataset, "tableId": "b"}
    statistics = job["statistics"]
    assert job["configuration"]["query"]["destinationTable"] == reference
    assert statistics["query"]["ddlTargetTable"] == reference
    assert statistics["query"]["statementType"] == "CREATE_TABLE_AS_SELECT"
    assert int(statistics["totalBytesProcessed"]) > 0
    assert int(statistics["query"]["totalBytesBilled"]) == 10 * 1024 * 1024
    assert int(statistics["totalSlotMs"]) > 0


def test_bytes_are_counted_through_views(warehouse: Warehouse, dataset: str) -> None:
    """A model on staging views reads the tables below them."""
    warehouse.query(f"create table {dataset}.t as select 1 as x")
    warehouse.query(f"create view {dataset}.v as select x from {dataset}.t")
    warehouse.query(f"create view {dataset}.w as select x from {dataset}.v")

    job = finished(warehouse, insert(warehouse, f"select * from {dataset}.w"))

    assert int(job["statistics"]["totalBytesProcessed"]) > 0


def test_a_script_lists_its_statements(warehouse: Warehouse, dataset: str) -> None:
    """As child jobs, and their bytes are the script's."""
    warehouse.query(f"create table {dataset}.t as select 1 as x")
    sql = f"declare n int64; set n = (select max(x) from {dataset}.t); insert into {dataset}.t select n + 1; select n"
    job_id = insert(warehouse, sql)

    job = finished(warehouse, job_id)
    _, children = send(warehouse, "GET", f"jobs?parentJobId={job_id}")

    types = {child["statistics"]["query"]["statementType"] for child in children["jobs"]}
    assert job["statistics"]["query"]["statementType"] == "SCRIPT"
    assert int(job["statistics"]["numChildJobs"]) == len(children["jobs"])
    assert types == {"INSERT", "SELECT"}


def test_deleted_rows_are_not_counted(warehouse: Warehouse, dataset: str) -> None:
    """numRows is what dbt and we report for a table."""
    warehouse.query(f"create table {dataset}.t as select x from unnest([1, 2, 3]) as x")
    warehouse.query(f"delete from {dataset}.t where x = 2")
    warehouse.query(f"update {dataset}.t set x = 9 where x = 3")

    assert warehouse.table(dataset, "t")["numRows"] == "2"


def test_integer_partitions_are_remembered(warehouse: Warehouse, dataset: str) -> None:
    """As dbt compares them, and no others beside them."""
    partition = "range_bucket(number, generate_array(0, 100, 10))"
    finished(
        warehouse,
        insert(warehouse, f"create table {dataset}.t partition by {partition} as select 5 as number"),
    )

    table = warehouse.table(dataset, "t")

    limits = {"start": "0", "end": "100", "interval": "10"}
    assert table["rangePartitioning"] == {"field": "number", "range": limits}
    assert "timePartitioning" not in table


def test_grants_are_shown(warehouse: Warehouse, dataset: str) -> None:
    """The statement of dbt's get_show_grant_sql, after the one of get_grant_sql."""
    project = warehouse.project
    warehouse.query(f"create table {dataset}.t as select 1 as x")
    sql = (
        f'grant `roles/bigquery.dataViewer` on table `{project}`.`{dataset}`.`t` to "user:reader@example.com"'
    )
    job = finished(warehouse, insert(warehouse, sql))

    shown = warehouse.query(
        f"select privilege_type, grantee from `{project}`.`region-us`.INFORMATION_SCHEMA.OBJECT_PRIVILEGES "
        f"where object_schema = '{dataset}' and object_name = 't' and split(grantee, ':')[offset(1)] != session_user()"
    )

    assert "errorResult" not in job["status"]
    assert shown == [{"privilege_type": "roles/bigquery.dataViewer", "grantee": "user:reader@example.com"}]


def test_partitions_are_copied_by_their_decorator(warehouse: Warehouse, dataset: str) -> None:
    """As insert_overwrite with copy_partitions does; the other partitions stay."""
    rows = "select date '2024-01-01' as day, {} as x union all select date '2024-01-02', {}"
    for name, values in (("source", (10, 20)), ("target", (1, 2))):
        warehouse.query(f"create table {dataset}.{name} partition by day as {rows.format(*values)}")
    reference = {"projectId": warehouse.project, "datasetId": dataset}
    copy = {
        "sourceTables": [{**reference, "tableId": "source$20240102"}],
        "destinationTable": {**reference, "tableId": "target$20240102"},
        "writeDisposition": "WRITE_TRUNCATE",
    }

    _, job = send(warehouse, "POST", "jobs", {"configuration": {"copy": copy}})
    wait_for_other_job(warehouse, job["jobReference"]["jobId"])

    found = warehouse.query(f"select cast(day as string) as day, x from {dataset}.target order by day")
    assert found == [{"day": "2024-01-01", "x": "1"}, {"day": "2024-01-02", "x": "20"}]


def copied(warehouse: Warehouse, dataset: str, partition: str) -> Json:
    """Copy a partition of source into target, replacing it, and return the job."""
    reference = {"projectId": warehouse.project, "datasetId": dataset}
    copy = {
        "sourceTables": [{**reference, "tableId": f"source${partition}"}],
        "destinationTable": {**reference, "tableId": f"target${partition}"},
        "writeDisposition": "WRITE_TRUNCATE",
    }
    _, job = send(warehouse, "POST", "jobs", {"configuration": {"copy": copy}})
    deadline = time.monotonic() + SECONDS
    while job["status"]["state"] != "DONE" and time.monotonic() < deadline:
        _, job = send(warehouse, "GET", f"jobs/{job['jobReference']['jobId']}")
    return job


def test_ranges_are_partitions(warehouse: Warehouse, dataset: str) -> None:
    """They are listed, called by where they begin, copied alone, and asked for where a filter is required."""
    by_tens = (
        "partition by range_bucket(id, generate_array(0, 30, 10)) options(require_partition_filter=true)"
    )
    rows = "select 5 as id, {0} as x union all select 10, {0} union all select 99, {0} union all select null, {0}"
    for name, value in (("source", 2), ("target", 1)):
        warehouse.query(f"create table {dataset}.{name} {by_tens} as {rows.format(value)}")

    for partition in ("0", "__UNPARTITIONED__", "__NULL__"):
        assert "errorResult" not in copied(warehouse, dataset, partition)["status"]
    unaligned = copied(warehouse, dataset, "5")

    assert unaligned["status"]["errorResult"]["reason"] == "invalid"
    sql = f"select id, x from {dataset}.target where id > 0 or id is null order by id"
    assert [(row["id"], row["x"]) for row in warehouse.query(sql)] == [
        (None, "2"), ("5", "2"), ("10", "1"), ("99", "2"),
    ]  # fmt: skip
    listed = warehouse.query(
        f"select partition_id from {dataset}.INFORMATION_SCHEMA.PARTITIONS where table_name = 'target' order by 1"
    )
    assert [row["partition_id"] for row in listed] == ["0", "10", "__NULL__", "__UNPARTITIONED__"]
    with pytest.raises(AssertionError, match="without a filter over column\\(s\\) 'id'"):
        warehouse.query(f"select * from {dataset}.target")


def test_a_partition_by_arrival_is_copied_into_the_one_that_is_named(
    warehouse: Warehouse, dataset: str
) -> None:
    """Its rows have arrived when the target's decorator says."""
    for name, x in (("source", 2), ("target", 1)):
        warehouse.query(f"create table {dataset}.{name} (x int64) partition by _PARTITIONDATE")
        for day in ("2024-01-01", "2024-01-02"):
            warehouse.query(
                f"insert into {dataset}.{name} (_PARTITIONTIME, x) values (timestamp '{day} 00:00:00', {x})"
            )

    assert "errorResult" not in copied(warehouse, dataset, "20240102")["status"]

    sql = f"select cast(date(_PARTITIONTIME) as string) as day, x from {dataset}.target order by day"
    assert [(row["day"], row["x"]) for row in warehouse.query(sql)] == [
        ("2024-01-01", "1"),
        ("2024-01-02", "2"),
    ]


def test_a_table_is_copied_whole(warehouse: Warehouse, dataset: str) -> None:
    """Rows and layout."""
    warehouse.query(f"create table {dataset}.source cluster by x as select 7 as x")
    reference = {"projectId": warehouse.project, "datasetId": dataset}
    copy = {
        "sourceTable": {**reference, "tableId": "source"},
        "destinationTable": {**reference, "tableId": "target"},
        "writeDisposition": "WRITE_TRUNCATE",
    }

    _, job = send(warehouse, "POST", "jobs", {"configuration": {"copy": copy}})
    wait_for_other_job(warehouse, job["jobReference"]["jobId"])

    assert warehouse.dump(dataset)["target"]["rows"] == [{"x": "7"}]


def wait_for_other_job(warehouse: Warehouse, job_id: str) -> None:
    """Wait for a job that is no query, and fail when it failed."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        _, job = send(warehouse, "GET", f"jobs/{job_id}")
        if job["status"]["state"] == "DONE":
            assert "errorResult" not in job["status"], job["status"]
            return
    raise TimeoutError(job_id)


def test_objects_can_be_stored_beside_the_tables(warehouse: Warehouse) -> None:
    """Cloud Storage is on the same endpoint, with the same token; its buckets are named at the start."""
    url = f"{warehouse.endpoint}/upload/storage/v1/b/plans/o?uploadType=media&name=a%2Fb.txt"
    headers = {"Authorization": f"Bearer {warehouse.token()}", "Content-Type": "text/plain"}
    request = urllib.request.Request(url, data=b"hello", method="POST", headers=headers)

    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        stored = json.loads(response.read())

    assert (stored["name"], stored["size"]) == ("a/b.txt", "5")


def test_the_tables_survive_a_restart(tmp_path: Path) -> None:
    """A demo that is left running may be stopped and continued."""
    with running_warehouse(tmp_path) as first:
        first.query("create schema shop")
        first.query("create table shop.orders cluster by id as select 1 as id")
        before = first.dump("shop")

    with running_warehouse(tmp_path) as second:
        assert second.dump("shop") == before
        assert before["orders"]["clustering"] == ["id"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_behind(tmp_path: Path, number: signal.Signals) -> None:
    """However the front ends, the emulator ends with it."""
    with running_warehouse(tmp_path) as warehouse:
        emulator = os.pidfd_open(warehouse.emulator_pid)

        os.kill(warehouse.pid, number)

        ended, _, _ = select.select([emulator], [], [], SECONDS)
        os.close(emulator)
        assert ended
