"""
Sources measured by the trigger and by real ``dbt source freshness``, on the semantic bench: ``sources.json`` is the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.dbt.results import sources_json
from cosmos_async.operators.setup import stored
from cosmos_async.plan.ids import TaskKey
from cosmos_async.plan.model import Level, dump_index, load_node
from cosmos_async.plan.node_plans import unpack
from cosmos_async.plan.outcome import Outcome, Status
from cosmos_async.triggers.execution.executor import execute
from cosmos_async.triggers.google.session import shared_session
from cosmos_async.triggers.jobs.context import Finished, NeedsDbt, Run
from cosmos_async.triggers.jobs.warehouse import warehouse_of
from cosmos_async.triggers.storage.folders import LocalFolder
from tests.dbt.carried import identity, opened
from tests.dbt_versions import NEWEST
from tests.warehouse.fixture import Warehouse, warehouse

from .conftest import KITCHEN

__all__ = ["warehouse"]

pytestmark = [pytest.mark.dbt, pytest.mark.warehouse]

RAW = "till_raw"
LIMITS = {"warn_after": {"count": 6, "period": "hour"}, "error_after": {"count": 1, "period": "day"}}
BY_COLUMN = {"loaded_at_field": "loaded_at", "freshness": LIMITS}
SOURCES: dict[str, Any] = {
    **dict.fromkeys(("fresh", "late", "stale", "no_rows", "civil", "of_a_day", "missing"), BY_COLUMN),
    "filtered": {**BY_COLUMN, "identifier": "stale_and_fresh", "freshness": {**LIMITS, "filter": "id = 1"}},
    "warned": {
        **BY_COLUMN,
        "identifier": "stale",
        "freshness": {"warn_after": {"count": 90, "period": "minute"}},
    },
    "by_bigquery": {"identifier": "fresh", "freshness": LIMITS},
}
#: Since dbt 1.10.
BY_QUERY = {
    "identifier": "fresh",
    "config": {"loaded_at_query": "select max(loaded_at) from {{ this }}", "freshness": LIMITS},
}


def fill(warehouse: Warehouse) -> None:
    """Make the tables that are measured."""
    project = warehouse.project
    if RAW in warehouse.datasets():
        warehouse.call("DELETE", f"projects/{project}/datasets/{RAW}?deleteContents=true")
    reference = {"datasetReference": {"projectId": project, "datasetId": RAW}}
    warehouse.call("POST", f"projects/{project}/datasets", reference)

    def ago(hours: int) -> str:
        return f"timestamp_sub(current_timestamp(), interval {hours} hour)"

    for name, query in {
        "fresh": f"select 1 as id, {ago(1)} as loaded_at",
        "late": f"select 1 as id, {ago(7)} as loaded_at",
        "stale": f"select 1 as id, {ago(50)} as loaded_at",
        "stale_and_fresh": f"select 1 as id, {ago(30)} as loaded_at union all select 2, {ago(1)}",
        "no_rows": f"select 1 as id, {ago(1)} as loaded_at limit 0",
        "civil": f"select 1 as id, cast({ago(8)} as datetime) as loaded_at",
        "of_a_day": "select 1 as id, current_date() as loaded_at",
    }.items():
        warehouse.query(f"create table `{project}`.{RAW}.{name} as {query}")


def project(folder: Path, sources: dict[str, Any], warehouse: Warehouse) -> Path:
    """Write a project with these sources."""
    root = folder / "kitchen"
    (root / "models").mkdir(parents=True)
    shutil.copy(KITCHEN / "profiles.yml", root)
    (root / "dbt_project.yml").write_text("name: shop\nversion: '1.0'\nprofile: kitchen\n")
    (root / "models" / "one.sql").write_text("select 1 as id")
    tables = [{"name": name, **how} for name, how in sources.items()]
    till = {"name": "till", "database": warehouse.project, "schema": RAW, "tables": tables}
    (root / "models" / "till.yml").write_text(json.dumps({"sources": [till]}))  # JSON is YAML, too
    return root


@pytest.mark.parametrize("version", ["1.9", NEWEST])
def test_the_trigger_measures_what_dbt_measures(warehouse: Warehouse, tmp_path: Path, version: str):
    """
    Each of dbt's verdicts, tables without rows, filters, what BigQuery itself tells; what cannot be measured fails, and
    what dbt reads in a way of its own is left to it.
    """
    fill(warehouse)
    newest = version == NEWEST
    sources = {**SOURCES, **({"by_query": BY_QUERY} if newest else {})}
    ids = {f"source.shop.till.{name}": name for name in sources}
    root = project(tmp_path, sources, warehouse)
    log: list[str] = []
    with opened(warehouse, root, "till_built", version, log) as dbt:
        planned = record_plan(dbt, dag_id="d", run_id="r", sources=list(ids)).plan
        objects, whole = stored(planned)
        index = dump_index(whole)
        finished = dbt.run(["source", "freshness"])
        written = dbt.workspace.target_path / "sources.json"
        assert written.is_file(), finished.words
        own = json.loads(written.read_text())
    plans = [
        load_node(data)
        for unique_id, data in unpack(whole, objects).items()
        if unique_id.startswith("source.")
    ]

    assert {plan.unique_id: (plan.level, plan.reason) for plan in plans} == dict.fromkeys(
        ids, (Level.STATIC, "")
    )
    ends = asyncio.run(measure(warehouse, plans, tmp_path, hashlib.sha256(index).hexdigest(), log))

    # A date is no point in time to dbt; it says so itself, on a worker.
    left = [end for end in ends if isinstance(end, NeedsDbt)]
    assert [ids[end.plan.unique_id] for end in left] == ["of_a_day"]
    assert "DATE" in left[0].reason
    outcomes: dict[str, Outcome] = {
        ids[end.outcome.unique_id]: end.outcome for end in ends if isinstance(end, Finished)
    }
    expected = {
        "fresh": Status.PASS,
        "late": Status.WARN,
        "stale": Status.ERROR,
        "no_rows": Status.ERROR,
        "civil": Status.WARN,
        "filtered": Status.ERROR,
        "warned": Status.WARN,
        "by_bigquery": Status.PASS,
        "missing": Status.ERROR,
        **({"by_query": Status.PASS} if newest else {}),
    }
    assert {name: outcome.status for name, outcome in outcomes.items()} == expected
    assert "not found" in (outcomes["missing"].message or "").lower()
    ours = sources_json(outcomes.values(), {"metadata": own["metadata"]}) or {}
    assert set(ours) == set(own)
    theirs = {each["unique_id"]: each for each in own["results"]}
    assert {each["unique_id"] for each in ours["results"]} == set(theirs)
    for each in ours["results"]:
        same(each, theirs[each["unique_id"]])


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Two measurements of one source, seconds apart, tell the same."""
    assert list(ours) == list(theirs)
    for name in ("max_loaded_at", "status", "criteria"):
        assert ours[name] == theirs[name]
    asked, loaded = (datetime.fromisoformat(ours[name]) for name in ("snapshotted_at", "max_loaded_at"))
    assert ours["max_loaded_at_time_ago_in_s"] == (asked - loaded).total_seconds()
    assert asked.utcoffset() == datetime.fromisoformat(theirs["snapshotted_at"]).utcoffset()
    response = ours["adapter_response"]
    assert set(response) == set(theirs["adapter_response"])
    assert {name: response.get(name) for name in ("_message", "code", "rows_affected")} == {
        name: theirs["adapter_response"].get(name) for name in ("_message", "code", "rows_affected")
    }
    assert [list(each) for each in ours["timing"]] == [list(each) for each in theirs["timing"]]
    assert [each["name"] for each in ours["timing"]] == [each["name"] for each in theirs["timing"]]


async def measure(
    warehouse: Warehouse, plans: list[Any], folder: Path, index: str, log: list[str]
) -> list[Any]:
    """Carry out plans as the trigger does."""
    lines = _Log(log)
    async with shared_session(identity(warehouse, folder)) as session:
        run = Run(
            # Of this test alone: a job of its name that is there already would be adopted.
            key=TaskKey("d", str(folder), "t", -1, 1),
            index=index,
            warehouse=warehouse_of(session, warehouse.endpoint),
            folder=LocalFolder(str(folder)),
            log=lines,
        )
        return [await execute(plan, run) for plan in plans]


class _Log:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def info(self, message: str) -> None:
        self._lines.append(message)

    warning = error = info
