"""A plan that was read back does exactly what the plan that was written would: the store is no part of the story."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos_async.plan.model import (
    Level,
    NativeKind,
    NativeOperation,
    NodePlan,
    Step,
    dump_node,
    load_node,
)
from cosmos_async.testing import FakeGoogle
from tests.unit.strategies import ORDERS, operations
from tests.unit.triggers.bench import Bench, carry_out, job, model, profile, target_state
from tests.unit.triggers.ends import is_success

PLANS = st.lists(operations, min_size=1, max_size=5).map(
    lambda steps: model("orders", target_state("orders", "TABLE"), *steps, level=Level.NATIVE)
)


async def requests_of(plan: NodePlan, folder: Path) -> list[tuple[str, str, Any]]:
    """Return all that BigQuery is asked while a plan is carried out, in its order, byte for byte."""
    async with FakeGoogle(project_id="p") as google:
        google.add_table("p", "shop", "orders", schema=[{"name": "id", "type": "INTEGER"}])
        google.add_table("p", "shop", "audit", schema=[{"name": "id", "type": "INTEGER"}])
        shown = [{"name": "privilege_type", "type": "STRING"}, {"name": "grantee", "type": "STRING"}]
        google.on_query("select grants", schema=shown, rows=[["viewer", "c"]])
        google.on_query("insert into", statement_type="INSERT", affected_rows=1)
        endpoint = {"AIRFLOW__COSMOS_ASYNC__BIGQUERY_ENDPOINT": google.endpoint}
        with mock.patch.dict("os.environ", endpoint):
            await carry_out(plan, profile(google, folder), folder)
        return [(each.method, each.path, each.body) for each in google.requests if each.operation != "token"]


@given(plan=PLANS)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_plan_read_back_sends_the_same_requests(plan: NodePlan) -> None:
    """The same ones, in the same order, and each mapping in the order in which dbt would have sent it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        written = asyncio.run(requests_of(plan, folder))
        read = asyncio.run(requests_of(load_node(dump_node(plan)), folder))

    assert read == written


async def test_added_columns_come_in_the_order_of_the_model(bench: Bench) -> None:
    """Not in that of the alphabet: `select *` shows it for ever after."""
    bench.google.add_table("p", "shop", "orders", schema=[{"name": "id", "type": "INTEGER"}])
    new = {name: {"name": name, "type": "INTEGER", "mode": "NULLABLE"} for name in ("zone", "city", "area")}
    adding: Step = NativeOperation(NativeKind.ADD_COLUMNS, ORDERS, {"columns": new, "replacing": True})
    await bench.plan(model("orders", target_state("orders", "TABLE"), adding, job("select 1")))

    event = await bench.run()

    assert is_success(event), bench.log.text
    (patch,) = bench.google.requests.of("tables.patch")
    fields = json.loads(patch.body)["schema"]["fields"]
    assert [column["name"] for column in fields] == ["id", "zone", "city", "area"]
