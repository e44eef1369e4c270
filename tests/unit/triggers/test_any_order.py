"""Whatever goes wrong, and whenever: no operation takes effect twice, and no write follows a guard that differs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from airflow.triggers.base import TriggerEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosmos_async.plan.model import CallOperation, NativeKind, NativeOperation, Step
from cosmos_async.testing import FakeGoogle
from cosmos_async.triggers.google import session
from tests.unit.triggers.bench import Bench, FakeClock, cancelled, event_of, job, model, target_state
from tests.unit.triggers.ends import is_success

FAULTS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "jobs.insert",
                "jobs.get",
                "jobs.getQueryResults",
                "tables.get",
                "tables.patch",
                "tables.delete",
                "token",
            ]
        ),
        st.sampled_from(["lose_reply", "reset", "truncate", "503", "429"]),
        st.integers(1, 3),
    ),
    max_size=5,
    unique_by=lambda fault: fault[0],  # more in a row would use up the budget of retries
)

#: When the triggerer dies: after so many requests of one life.
CRASHES = st.lists(st.integers(1, 30), max_size=4)


ORDERS = {"project": "p", "dataset": "shop", "table": "orders"}
DAYS = ("20240101", "20240102")


def template(**configuration: Any) -> dict[str, Any]:
    """Return a job within a native operation."""
    return {"project": "p", "location": "US", "configuration": configuration}


def table(name: str) -> dict[str, str]:
    """Return a reference."""
    return {"projectId": "p", "datasetId": "shop", "tableId": name}


def steps() -> tuple[Step, ...]:
    """Return a node of every kind of step: a guard, a dropped view, a first and a last write."""
    find = template(query={"query": "select distinct day", "useLegacySql": False})
    copy = template(copy={"sourceTables": [table("new")], "destinationTable": table("old")})
    show = template(query={"query": "select privilege_type, grantee", "useLegacySql": False})
    texts = {"revoke": ["revoke ", ",", ""], "grant": ["grant to ", ",", ""], "script": ["", ";", ""]}
    grants = {"grants": {"viewer": ["a"]}, "show": show, "apply": template(query={}), "texts": texts}
    return (
        target_state("orders", "VIEW"),
        job("create or replace table `p`.`shop`.`orders__tmp` as select 1", main=False, purpose="temporary"),
        CallOperation("drop", "DELETE", "projects/p/datasets/shop/tables/orders", missing_ok=True),
        NativeOperation(
            NativeKind.COPY_PARTITIONS, ORDERS, {"find": find, "copy": copy, "pattern": "%Y%m%d"}
        ),
        job("create table `p`.`shop`.`orders` as select 1"),
        NativeOperation(
            NativeKind.UPDATE_COLUMNS,
            ORDERS,
            {"columns": {"id": {"description": "The number."}}, "checked": True},
        ),
        NativeOperation(NativeKind.GRANTS, ORDERS, grants),
    )


async def live_through(faults: list[tuple[str, str, int]], crashes: list[int], folder: Path) -> None:
    """Run one node's trigger to its end, through faults and crashes."""
    async with FakeGoogle(project_id="p") as google:
        google.add_table("p", "shop", "orders", type="VIEW", view={"query": "select 1"})
        google.on_query("create table", schema=[{"name": "id", "type": "INTEGER"}])
        days = [[f"{day[:4]}-{day[4:6]}-{day[6:]}"] for day in DAYS]
        google.on_query("select distinct day", schema=[{"name": "day", "type": "DATE"}], rows=days)
        shown = [{"name": "privilege_type", "type": "STRING"}, {"name": "grantee", "type": "STRING"}]
        google.on_query("select privilege_type", schema=shown, rows=[["viewer", "b"]])
        google.add_table("p", "shop", "new", schema=[{"name": "day", "type": "DATE"}])
        google.add_bucket("plans")
        output = {"type": "bigquery", "method": "service-account-json", "keyfile_json": google.key_file}
        path = folder / "profiles.yml"
        path.write_text(json.dumps({"shop": {"outputs": {"prod": output}}}))
        endpoints = {
            "AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT": google.endpoint,
            "AIRFLOW__COSMOS_ASYNC__STORAGE_ENDPOINT": google.endpoint,
        }
        clock = FakeClock()
        defaults = {"clock": clock}
        with (
            mock.patch.dict("os.environ", endpoints),
            mock.patch.dict(session.shared_session.__wrapped__.__kwdefaults__, defaults),  # type: ignore[attr-defined]
        ):
            bench = Bench(google, {"profiles_yml": str(path), "profile": "shop", "target": "prod"})
            await bench.plan(model("orders", *steps()))
            for operation, harm, times in faults:
                if harm.isdigit():
                    google.fail(operation, int(harm), times=times)
                else:
                    getattr(google, harm)(operation, times=times)
            for requests in crashes:
                await one_life(bench, requests)
            event = await event_of(bench.trigger())
            check(bench, event)


async def one_life(bench: Bench, requests: int, **trigger: Any) -> None:
    """Start the trigger and let the triggerer die after so many more requests."""
    life = asyncio.create_task(event_of(bench.trigger(**trigger)))
    died = asyncio.create_task(
        bench.google.requests.arrived("*", count=len(bench.google.requests) + requests)
    )
    await asyncio.wait({life, died}, return_when=asyncio.FIRST_COMPLETED)
    for task in (life, died):
        await cancelled(task)


def check(bench: Bench, event: TriggerEvent) -> None:
    """Look at the warehouse as its owner would."""
    specs = [made.spec for made in bench.google.inserted_jobs]
    submitted = Counter(
        spec.sql or spec.configuration["copy"]["destinationTable"]["tableId"] for spec in specs
    )
    assert all(count == 1 for count in submitted.values()), submitted
    assert not bench.google.requests.of("jobs.cancel")
    # Each life finds out how far the one before has come, and goes on there: real dbt is never needed.
    assert is_success(event), (event, bench.log.text)
    assert list(submitted)[2:4] == [f"old${day}" for day in DAYS]
    assert list(submitted)[-1] == "revoke b;grant to a"
    assert len(submitted) == 7
    table = bench.google.catalog.table("p", "shop", "orders")
    assert table["type"] == "TABLE"
    assert [column.get("description") for column in table["schema"]["fields"]] == ["The number."]


@given(faults=FAULTS, crashes=CRASHES)
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
def test_nothing_takes_effect_twice(faults: list[tuple[str, str, int]], crashes: list[int]) -> None:
    """Lost replies, throttling, broken connections, dying triggerers, in any order."""
    with TemporaryDirectory() as folder:
        asyncio.run(live_through(faults, crashes, Path(folder)))
