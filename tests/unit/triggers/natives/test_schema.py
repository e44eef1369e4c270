"""Columns are added and records reshaped on what is there by then; a dataset's access list likewise."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.plan.model import Level, NativeKind, NativeOperation, NodePlan
from tests.unit.triggers.bench import Bench, job, model, target_state
from tests.unit.triggers.ends import is_failure, is_success

ID = {"name": "id", "type": "INTEGER", "mode": "NULLABLE", "description": "Kept."}
NEW = {"name": "new", "type": "FLOAT64", "mode": "NULLABLE"}
CITY = {"name": "city", "type": "STRING", "mode": "NULLABLE"}
ADDRESS = {"name": "address", "type": "RECORD", "mode": "NULLABLE", "fields": [CITY]}
ORDERS = {"project": "p", "dataset": "shop", "table": "orders"}
VIEW = {"projectId": "p", "datasetId": "shop", "tableId": "orders"}
ENTRY = {"view": VIEW, "role": None}


def adding(replacing: bool = True) -> NativeOperation:
    """Return the step that adds a column to orders."""
    return NativeOperation(NativeKind.ADD_COLUMNS, ORDERS, {"columns": {"new": NEW}, "replacing": replacing})


def syncing() -> NativeOperation:
    """Return the step that gives orders the addresses of the new data."""
    source = {**ORDERS, "table": "orders__dbt_tmp"}
    return NativeOperation(NativeKind.SYNC_STRUCTS, ORDERS, {"columns": ["address"], "source": source})


def granting() -> NativeOperation:
    """Return the step that lets the view orders read the dataset raw."""
    return NativeOperation(NativeKind.GRANT_ACCESS, {"project": "p", "dataset": "raw"}, {"entry": ENTRY})


def orders(step: NativeOperation) -> NodePlan:
    """Return the plan of a table that is there and changed before it is merged into."""
    merge = job("merge into `p`.`shop`.`orders` using x on false when not matched then insert row")
    return model("orders", target_state("orders", "TABLE"), step, merge, level=Level.NATIVE)


@pytest.fixture(autouse=True)
def tables(bench: Bench) -> None:
    """What is there."""
    zip_code = {"name": "zip", "type": "STRING", "mode": "NULLABLE"}
    bench.google.add_table("p", "shop", "orders", schema=[ID, ADDRESS])
    bench.google.add_table("p", "shop", "orders__dbt_tmp", schema=[{**ADDRESS, "fields": [zip_code, CITY]}])
    bench.google.add_dataset("p", "raw", access=[{"role": "OWNER", "userByEmail": "boss@example.com"}])


def columns(bench: Bench) -> dict[str, Any]:
    """Return the columns of orders by their names."""
    table = bench.google.catalog.table("p", "shop", "orders")
    return {column["name"]: column for column in table["schema"]["fields"]}


def access(bench: Bench) -> list[Any]:
    """Return who may read the dataset raw."""
    found: list[Any] = bench.google.catalog.dataset("p", "raw")["access"]
    return found


@pytest.mark.parametrize("replacing", [True, False])
async def test_a_column_is_added_before_rows_are_merged(bench: Bench, replacing: bool) -> None:
    """Under the etag that was read; what is said of the others stays."""
    await bench.plan(orders(adding(replacing)))

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert columns(bench) == {"id": ID, "address": ADDRESS, "new": NEW}
    (patch,) = bench.google.requests.of("tables.patch")
    assert patch.headers["If-Match"]
    assert "added new to p.shop.orders" in bench.log.text


@pytest.mark.parametrize("replacing", [True, False])
async def test_a_lost_answer_adds_no_second_column(bench: Bench, replacing: bool) -> None:
    """The repeated change meets its own etag."""
    bench.google.lose_reply("tables.patch")
    await bench.plan(orders(adding(replacing)))

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert list(columns(bench)) == ["id", "address", "new"]
    assert len(bench.google.inserted_jobs) == 1


async def test_a_restarted_node_that_has_merged_adds_nothing(bench: Bench) -> None:
    """Its job exists."""
    await bench.plan(orders(adding()))
    await bench.run()

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(bench.google.requests.of("tables.patch")) == 1


async def test_a_record_takes_the_shape_of_the_new_data(bench: Bench) -> None:
    """In its order, as dbt sends it."""
    bench.google.fail("tables.patch", 412)
    await bench.plan(orders(syncing()))

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert [field["name"] for field in columns(bench)["address"]["fields"]] == ["zip", "city"]
    assert columns(bench)["id"] == ID
    assert "gave address of p.shop.orders the fields of the new data" in bench.log.text


async def test_a_table_that_is_gone_fails_the_node(bench: Bench) -> None:
    """Nothing is merged."""
    await bench.plan(orders(syncing()))
    bench.google.catalog.remove_table("p", "shop", "orders__dbt_tmp")

    event = await bench.run()

    assert is_failure(event)
    assert "p.shop.orders__dbt_tmp is not there" in (bench.outcome().message or "")
    assert bench.google.inserted_jobs == []


async def test_a_view_is_let_in_once(bench: Bench) -> None:
    """Whoever has access keeps it; a lost answer and a list that changed meanwhile are read again."""
    bench.google.fail("datasets.patch", 412)
    bench.google.lose_reply("datasets.patch")
    await bench.plan(orders(granting()))

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert access(bench) == [{"role": "OWNER", "userByEmail": "boss@example.com"}, ENTRY]
    assert all(patch.headers["If-Match"] for patch in bench.google.requests.of("datasets.patch"))


async def test_a_view_that_is_let_in_already_changes_nothing(bench: Bench) -> None:
    """BigQuery leaves out the role of a view."""
    await bench.google.catalog.patch_dataset("p", "raw", {"access": [{"view": VIEW}]}, replace=False)
    await bench.plan(orders(granting()))

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert bench.google.requests.of("datasets.patch") == []
    assert "the dataset p.raw gives access already" in bench.log.text
