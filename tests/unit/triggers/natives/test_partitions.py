"""The partitions of new data are copied one after the other, each once whatever happens."""

from __future__ import annotations

import asyncio
from typing import Any

from cosmos_async.plan.model import Level, NativeKind, NativeOperation, NodePlan
from tests.unit.triggers.bench import Bench, cancelled, event_of, job, model, target_state
from tests.unit.triggers.ends import is_failure, is_success

DAY = [{"name": "d", "type": "DATE"}]


def table(name: str) -> dict[str, Any]:
    """Return a reference."""
    return {"projectId": "p", "datasetId": "shop", "tableId": name}


def orders() -> NodePlan:
    """Return the plan of an incremental model that copies partitions."""
    found = {"query": {"query": "select distinct d from tmp", "useLegacySql": False}}
    copy = {
        "sourceTables": [table("tmp")],
        "destinationTable": table("orders"),
        "writeDisposition": "WRITE_TRUNCATE",
    }
    copying = NativeOperation(
        NativeKind.COPY_PARTITIONS,
        {"project": "p", "dataset": "shop", "table": "orders"},
        {
            "find": {"project": "p", "location": "US", "configuration": found},
            "copy": {"project": "p", "location": "US", "configuration": {"copy": copy}},
            "pattern": "%Y%m%d",
        },
    )
    create = job("create or replace table `p`.`shop`.`tmp` as select 1", main=False, purpose="create table")
    drop = job("drop table if exists `p`.`shop`.`tmp`")
    return model("orders", target_state("orders", "TABLE"), create, copying, drop, level=Level.NATIVE)


def prepare(bench: Bench, *days: str | None) -> None:
    """Let there be orders, and new data with these days."""
    bench.google.add_table("p", "shop", "orders", schema=DAY)
    bench.google.on_query("select distinct d", schema=DAY, rows=[[day] for day in days])


def copies(bench: Bench) -> list[str]:
    """Return the partitions that were copied to, in their order."""
    bodies = [made.spec.configuration for made in bench.google.inserted_jobs]
    return [body["copy"]["destinationTable"]["tableId"] for body in bodies if "copy" in body]


async def test_each_partition_is_copied_and_then_the_new_data_dropped(bench: Bench) -> None:
    """One after the other, as dbt does."""
    prepare(bench, "2024-01-02", "2024-01-01")
    await bench.plan(orders())

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert copies(bench) == ["orders$20240102", "orders$20240101"]
    assert len({made.job_id for made in bench.google.inserted_jobs}) == 5
    assert "drop table" in bench.google.inserted_jobs[-1].spec.configuration["query"]["query"]
    assert "copied 2 partitions to p.shop.orders: 20240102, 20240101" in bench.log.text
    assert "(copy partition 20240102)" in bench.log.text


async def test_no_new_data_copies_nothing(bench: Bench) -> None:
    """dbt then only drops its temporary table."""
    prepare(bench)
    await bench.plan(orders())

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert copies(bench) == []
    assert "no partition to copy to p.shop.orders" in bench.log.text


async def test_a_restarted_node_goes_on_at_the_partition_it_had_come_to(bench: Bench) -> None:
    """The copy that is under way is adopted; those before it and the query are not repeated."""
    prepare(bench, "2024-01-01", "2024-01-02", "2024-01-03")
    held = bench.google.on_query(
        lambda made: made.configuration.get("copy", {}).get("destinationTable") == table("orders$20240102"),
        held=True,
    )
    await bench.plan(orders())
    first = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    bench.airflow.silent = True
    await cancelled(first)
    bench.airflow.silent = False
    held.release()

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert copies(bench) == ["orders$20240101", "orders$20240102", "orders$20240103"]
    assert len(bench.google.inserted_jobs) == 6


async def test_a_new_try_ends_the_copy_that_an_earlier_one_left(bench: Bench) -> None:
    """And copies everything anew: dbt would."""
    prepare(bench, "2024-01-01", "2024-01-02")
    held = bench.google.on_query(
        lambda made: made.configuration.get("copy", {}).get("destinationTable") == table("orders$20240102"),
        held=True,
        times=1,
    )
    await bench.plan(orders())
    first = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    await cancelled(first)

    event = await bench.run(try_number=2)

    assert is_success(event), bench.log.text
    left = bench.google.inserted_jobs[3]
    assert left.error.reason == "stopped"
    assert copies(bench)[2:] == ["orders$20240101", "orders$20240102"]


async def test_a_copy_that_fails_fails_the_node_and_keeps_the_new_data(bench: Bench) -> None:
    """What was copied before it stays, as with dbt."""
    prepare(bench, "2024-01-01", "2024-01-02")
    bench.google.on_query(
        lambda made: made.configuration.get("copy", {}).get("destinationTable") == table("orders$20240102"),
        error=("notFound", "Not found: Table p:shop.tmp$20240102"),
    )
    await bench.plan(orders())

    event = await bench.run()

    assert is_failure(event)
    assert copies(bench) == ["orders$20240101", "orders$20240102"]
    assert "Not found" in (bench.outcome().message or "")
    assert bench.google.catalog.table("p", "shop", "tmp")


async def test_rows_without_a_partition_fail_the_node_after_the_copies_before_them(bench: Bench) -> None:
    """dbt, too, stumbles over None."""
    prepare(bench, "2024-01-01", None, "2024-01-02")
    await bench.plan(orders())

    event = await bench.run()

    assert is_failure(event)
    assert copies(bench) == ["orders$20240101"]
    assert "its partition column is NULL" in (bench.outcome().message or "")
