"""Datasets and tables: over their own routes, and as jobs without SQL change them."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.testing import FakeGoogle, JobError

from .conftest import Api

TABLES = "/datasets/shop/tables"
FIELDS = [{"name": "id", "type": "INTEGER"}]


async def run(google: FakeGoogle, api: Api, sql: str, **query: Any) -> Any:
    """Run a query to its end and return its job."""
    job_id = f"j{len(google.inserted_jobs)}"
    body = {
        "jobReference": {"projectId": "p", "jobId": job_id, "location": "US"},
        "configuration": {"query": {"query": sql, "useLegacySql": False, **query}},
    }
    assert (await api("POST", "/jobs", json=body))[0] == 200
    await google.job(job_id).done.wait()
    return google.job(job_id)


async def test_a_seeded_table_is_told_in_full(google: FakeGoogle, api: Api) -> None:
    google.add_table("p", "shop", "orders", schema=FIELDS, rows=[[1], [2]], labels={"team": "a"})

    _, table = await api("GET", f"{TABLES}/orders")
    _, rows = await api("GET", f"{TABLES}/orders/data")

    assert (table["id"], table["type"], table["numRows"]) == ("p:shop.orders", "TABLE", "2")
    assert table["schema"] == {"fields": FIELDS}
    assert table["labels"] == {"team": "a"}
    assert [row["f"][0]["v"] for row in rows["rows"]] == ["1", "2"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/datasets/absent", "Not found: Dataset p:absent"),
        ("/datasets/absent/tables/t", "Not found: Dataset p:absent"),
        ("/datasets/absent/tables", "Not found: Dataset p:absent"),
        ("/datasets/shop/tables/absent", "Not found: Table p:shop.absent"),
    ],
)
async def test_what_is_missing_is_named(api: Api, path: str, sentence: str) -> None:
    status, answer = await api("GET", path)

    assert (status, answer["error"]["message"]) == (404, sentence)
    assert answer["error"]["errors"][0]["reason"] == "notFound"


async def test_tables_and_datasets_are_made_once_and_removed(google: FakeGoogle, api: Api) -> None:
    dataset = {"datasetReference": {"projectId": "p", "datasetId": "marts"}, "location": "EU"}
    table = {"tableReference": {"projectId": "p", "datasetId": "marts", "tableId": "t"}}

    assert (await api("POST", "/datasets", json=dataset))[1]["location"] == "EU"
    assert (await api("POST", "/datasets", json=dataset))[0] == 409
    assert (await api("POST", "/datasets/marts/tables", json=table))[1]["type"] == "TABLE"
    assert (await api("POST", "/datasets/marts/tables", json=table))[0] == 409
    in_use = await api("DELETE", "/datasets/marts")
    assert (in_use[0], in_use[1]["error"]["errors"][0]["reason"]) == (400, "resourceInUse")
    assert await api("DELETE", "/datasets/marts/tables/t") == (204, None)
    assert (await api("DELETE", "/datasets/marts/tables/t"))[0] == 404
    assert await api("DELETE", "/datasets/marts") == (204, None)
    assert [entry.operation for entry in google.mutations][-1] == "datasets.delete"


async def test_lists_come_in_pages(google: FakeGoogle, api: Api) -> None:
    for name in ("a", "b", "c"):
        google.add_table("p", "shop", name, schema=FIELDS)

    _, first = await api("GET", f"{TABLES}?maxResults=2")
    _, second = await api("GET", f"{TABLES}?maxResults=2&pageToken={first['nextPageToken']}")

    names = [entry["tableReference"]["tableId"] for entry in first["tables"] + second["tables"]]
    assert (names, first["totalItems"]) == (["a", "b", "c"], 3)
    assert "schema" not in first["tables"][0]


async def test_a_patch_changes_what_it_names_and_the_etag(google: FakeGoogle, api: Api) -> None:
    google.add_table("p", "shop", "orders", schema=FIELDS, labels={"a": "1", "b": "2"}, description="old")
    _, before = await api("GET", f"{TABLES}/orders")

    _, after = await api(
        "PATCH", f"{TABLES}/orders", json={"labels": {"a": None, "c": "3"}, "description": "new"}
    )

    assert (after["labels"], after["description"]) == ({"b": "2", "c": "3"}, "new")
    assert after["schema"] == {"fields": FIELDS}
    assert after["etag"] != before["etag"]


async def test_a_patch_of_a_state_that_has_passed_is_refused(google: FakeGoogle, api: Api) -> None:
    google.add_table("p", "shop", "orders")
    _, read = await api("GET", f"{TABLES}/orders")
    fresh = {"If-Match": read["etag"]}
    await api("PATCH", f"{TABLES}/orders", json={"description": "mine"}, headers=fresh)

    status, answer = await api("PATCH", f"{TABLES}/orders", json={"description": "late"}, headers=fresh)

    assert (status, answer["error"]["errors"][0]["reason"]) == (412, "conditionNotMet")
    assert google.catalog.table("p", "shop", "orders")["description"] == "mine"  # type: ignore[index]


async def test_replacing_a_table_forgets_what_is_not_said_again(google: FakeGoogle, api: Api) -> None:
    google.add_table("p", "shop", "orders", schema=FIELDS, description="old", labels={"a": "1"})

    _, after = await api("PUT", f"{TABLES}/orders", json={"labels": {"b": "2"}})

    assert after["labels"] == {"b": "2"}
    assert "description" not in after
    assert after["tableReference"]["tableId"] == "orders"


async def test_routines_are_listed(google: FakeGoogle, api: Api) -> None:
    google.catalog.add_routine("p", "shop", "cents")

    _, answer = await api("GET", "/datasets/shop/routines")

    assert [entry["routineReference"]["routineId"] for entry in answer["routines"]] == ["cents"]


async def test_ddl_makes_replaces_and_drops_tables(google: FakeGoogle, api: Api) -> None:
    google.on_query("create or replace table", schema=FIELDS, rows=[[1], [2], [3]])
    sql = (
        '/* {"app": "dbt"} */ create or replace table `p`.`shop`.`orders` cluster by id as (select 1 as id);'
    )

    made = await run(google, api, sql)
    replaced = await run(google, api, sql)
    _, table = await api("GET", f"{TABLES}/orders")
    dropped = await run(google, api, "drop table if exists shop.orders")
    skipped = await run(google, api, "drop table if exists shop.orders")

    performed = [
        job.statistics()["query"]["ddlOperationPerformed"] for job in (made, replaced, dropped, skipped)
    ]
    assert performed == ["CREATE", "REPLACE", "DROP", "SKIP"]
    destination = made.resource()["configuration"]["query"]["destinationTable"]
    assert destination == {"projectId": "p", "datasetId": "shop", "tableId": "orders"}
    assert made.statistics()["query"]["ddlTargetTable"] == destination
    assert made.statistics()["query"]["statementType"] == "CREATE_TABLE_AS_SELECT"
    assert (table["numRows"], table["schema"]) == ("3", {"fields": FIELDS})
    assert table["clustering"] == {"fields": ["id"]}
    assert google.catalog.tables() == []


async def test_a_view_keeps_its_query(google: FakeGoogle, api: Api) -> None:
    job = await run(google, api, "create or replace view shop.v options() as select 1 as n")

    _, view = await api("GET", f"{TABLES}/v")

    assert (view["type"], view["view"]) == ("VIEW", {"query": "select 1 as n", "useLegacySql": False})
    assert job.statistics()["query"]["statementType"] == "CREATE_VIEW"


@pytest.mark.parametrize(
    ("sql", "reason", "sentence"),
    [
        ("create table shop.t as select 1 as n", "duplicate", "Already Exists: Table p:shop.t"),
        ("create or replace view shop.t as select 1", "invalid", "p:shop.t is not allowed for this operation because it is currently a TABLE."),
        ("drop view shop.t", "invalid", "p:shop.t is not allowed for this operation because it is currently a TABLE."),
        ("drop table shop.absent", "notFound", "Not found: Table p:shop.absent was not found in location US"),
        ("create table absent.t (id int64)", "notFound", "Not found: Dataset p:absent was not found in location US"),
        ("create table europe.t as select 1 as n", "notFound", "Not found: Dataset p:europe was not found in location US"),
        ("insert into shop.absent (id) values (1)", "notFound", "Not found: Table p:shop.absent was not found in location US"),
        ("create schema shop", "duplicate", "Already Exists: Dataset p:shop"),
        ("create table t as select 1", "invalid", 'Table "t" must be qualified with a dataset (e.g. dataset.table).'),
    ],
)  # fmt: skip
async def test_statements_fail_on_names_as_in_bigquery(
    google: FakeGoogle, api: Api, sql: str, reason: str, sentence: str
) -> None:
    google.add_table("p", "shop", "t", schema=FIELDS)
    google.add_dataset("p", "europe", location="EU")

    job = await run(google, api, sql)

    assert (job.error.reason, job.error.message) == (reason, sentence)


async def test_schemas_are_made_in_the_jobs_location(google: FakeGoogle, api: Api) -> None:
    await run(google, api, "create schema if not exists `p`.`marts`")
    await run(google, api, "create table marts.t (id int64)")
    await run(google, api, "drop schema marts cascade")

    assert google.catalog.dataset("p", "marts") is None
    assert google.catalog.tables() == []
    assert all(job.error is None for job in google.inserted_jobs)


async def test_a_result_lies_in_an_anonymous_table_that_lists_hide(google: FakeGoogle, api: Api) -> None:
    google.on_query("select 1", rows=[{"n": 1}])
    job = await run(google, api, "select 1")
    destination = job.resource()["configuration"]["query"]["destinationTable"]

    _, table = await api("GET", f"/datasets/{destination['datasetId']}/tables/{destination['tableId']}")
    _, datasets = await api("GET", "/datasets")

    assert table["numRows"] == "1"
    assert [entry["datasetReference"]["datasetId"] for entry in datasets["datasets"]] == ["shop"]


async def test_a_partition_is_copied_into_its_table(google: FakeGoogle, api: Api) -> None:
    google.add_table("p", "shop", "orders", schema=FIELDS, rows=[[1]])
    google.add_table("p", "shop", "orders__dbt_tmp", schema=FIELDS, rows=[[2]])
    names = {"sourceTable": "orders__dbt_tmp$20260102", "destinationTable": "orders$20260102"}
    copy: dict[str, Any] = {"writeDisposition": "WRITE_TRUNCATE"}
    for key, name in names.items():
        copy[key] = {"projectId": "p", "datasetId": "shop", "tableId": name}
    body = {"jobReference": {"projectId": "p", "jobId": "c"}, "configuration": {"copy": copy}}

    await api("POST", "/jobs", json=body)
    await google.job("c").done.wait()

    assert google.job("c").error is None
    assert google.catalog.tables() == ["p.shop.orders", "p.shop.orders__dbt_tmp"]
    assert google.job("c").statistics()["copy"]["copiedRows"] == "1"


async def test_a_copy_needs_its_source(google: FakeGoogle, api: Api) -> None:
    reference = {"projectId": "p", "datasetId": "shop"}
    copy = {
        "sourceTable": {**reference, "tableId": "absent"},
        "destinationTable": {**reference, "tableId": "t"},
    }
    body = {"jobReference": {"projectId": "p", "jobId": "c"}, "configuration": {"copy": copy}}

    await api("POST", "/jobs", json=body)
    await google.job("c").done.wait()

    assert google.job("c").error == JobError("notFound", "Not found: Table p:shop.absent")
    assert google.catalog.tables() == []
