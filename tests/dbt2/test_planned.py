"""
What setup plans of dbt 2 and the triggerer carries out leaves the warehouse, and the results, as real dbt 2 does.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.exceptions import DbtError
from cosmos_async.plan.model import Level
from tests.dbt2.carried import carry_out, opened
from tests.warehouse.child import ROOT
from tests.warehouse.dbt2 import Bench
from tests.warehouse.dbt2.projects import copy_for_dbt_2
from tests.warehouse.fixture import TIMES_OF_A_RUN

pytestmark = [pytest.mark.slow, pytest.mark.dbt, pytest.mark.warehouse]

PROJECTS = {"kitchen": ROOT / "tests/projects/kitchen", "shop": ROOT / "tests/demo/shop"}
#: The driver of the bench does not tell how many rows a statement has written.
COMPARED = ("status", "message", "failures", "relation_name")


def told(results: dict[str, dict[str, Any]], dataset: str) -> dict[str, dict[str, str]]:
    """Return what is compared of each result; the two builds' datasets have one name."""
    return {
        unique_id: {key: str(result.get(key)).replace(dataset, "<dataset>") for key in COMPARED}
        for unique_id, result in results.items()
    }


def changes(asked: list[dict[str, Any]]) -> list[Any]:
    """Return the requests that are no queries for rows, of those that the warehouse has been asked."""
    found = []
    for request in asked:
        body = json.loads(base64.b64decode(request["body"]) or b"{}")
        query = body.get("configuration", {}).get("query", {}).get("query", "")
        words = re.sub(r"/\*.*?\*/|--[^\n]*", " ", query, flags=re.S).replace("(", " ").split()
        if request["operation"] != "jobs.insert" or not words or words[0].lower() not in ("select", "with"):
            found.append(body or request)
    return found


@pytest.mark.parametrize("name", PROJECTS)
def test_two_days_are_built_as_by_dbt_2(bench: Bench, tmp_path: Path, name: str) -> None:
    """A first build and a later one; most nodes need no dbt."""
    theirs, ours = f"{name}_theirs", f"{name}_ours"
    for day in (1, 2):
        project = copy_for_dbt_2(PROJECTS[name], tmp_path / f"theirs{day}" / name)
        real = bench.dbt("build", "--vars", f"{{day: {day}}}", project=project, dataset=theirs)
        assert real.status == 0, real.output

        project = copy_for_dbt_2(PROJECTS[name], tmp_path / f"ours{day}" / name)
        folder = tmp_path / f"day{day}"
        carried, failure = carry_out(bench, project, dataset=ours, folder=folder, vars={"day": day})

        assert failure is None
        left = bench.warehouse.dump_all(theirs, without=TIMES_OF_A_RUN)
        assert bench.warehouse.dump_all(ours, without=TIMES_OF_A_RUN) == left
        assert told(carried.results, ours) == told(real.results, theirs)
        levels = Counter(plan.level for plan in carried.plans.values())
        assert levels[Level.DBT] <= len(carried.plans) / 20, levels


def test_setup_changes_nothing_in_a_warehouse_full_of_what_dbt_2_would_change(
    bench: Bench, tmp_path: Path
) -> None:
    """Tables to drop and replace, datasets to make, hooks to run: the warehouse stays as it is."""
    warehouse, dataset = bench.warehouse, "kept"
    project = copy_for_dbt_2(PROJECTS["shop"], tmp_path / "first" / "shop")
    assert bench.dbt("build", "--vars", "{day: 1}", project=project, dataset=dataset).status == 0
    orders, customers = f"{dataset}.stg_orders", f"{dataset}_marts.customers"
    for statement in (
        # A table where dbt makes a view, and a view where it makes a table.
        f"create table {orders}_kept as select * from {orders}",
        f"drop view {orders}",
        f"create table {orders} as select * from {orders}_kept",
        f"create table {customers}_kept as select * from {customers}",
        f"drop table {customers}",
        f"create view {customers} as select * from {customers}_kept",
    ):
        warehouse.query(statement)
    before, datasets = warehouse.dump_all(dataset), warehouse.datasets()
    since, _ = warehouse.asked()

    for at, options in enumerate(({}, {"full_refresh": True}, {"vars": {"day": 2}})):
        project = copy_for_dbt_2(PROJECTS["shop"], tmp_path / str(at) / "shop")
        with opened(bench, project, dataset, [], **options) as dbt:
            record_plan(dbt, dag_id="d", run_id="r")

    assert changes(warehouse.asked(since)[1]) == []
    assert warehouse.dump_all(dataset) == before
    assert warehouse.datasets() == datasets


def test_a_driver_that_does_not_look_at_the_endpoint_is_refused(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets credentials that are worth nothing, and so it changes nothing either."""
    project = copy_for_dbt_2(PROJECTS["shop"], tmp_path / "shop")
    since, _ = bench.warehouse.asked()

    with opened(bench, project, "deaf", []) as dbt:
        # Where the bench's driver would tell its proxy of the endpoint, nobody looks.
        dbt.workspace.env["ADBC_BENCH_ENDPOINTS"] = str(tmp_path)
        with pytest.raises(DbtError, match="does not look there"):
            record_plan(dbt, dag_id="d", run_id="r")

    (asked,) = bench.warehouse.asked(since)[1]
    assert asked["status"] == 401
