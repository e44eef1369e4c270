"""The number of jobs of one run is bounded by its DAG, beside the bound for all runs of a triggerer."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.triggers.bench import Bench, job, model
from tests.unit.triggers.ends import is_success


@pytest.mark.parametrize(("of_run", "of_triggerer", "most"), [(2, 0, 2), (0, 3, 3), (4, 2, 2), (2, 4, 2)])
async def test_no_more_jobs_are_under_way_than_either_bound_allows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, of_run: int, of_triggerer: int, most: int
) -> None:
    """A DAG that shares a project with others says so in its operator_args."""
    monkeypatch.setenv("AIRFLOW__COSMOS_ASYNC__MAX_CONCURRENT_JOBS", str(of_triggerer))
    held = bench.google.on_query("create or replace", held=True, statement_type="CREATE_TABLE_AS_SELECT")
    names = [f"m{number}" for number in range(6)]
    await bench.plan(
        *(model(name, job(f"create or replace table `p`.`shop`.`{name}` as select 1")) for name in names),
        max_jobs=of_run,
    )
    tasks = [asyncio.create_task(bench.run(f"model.shop.{name}", task_id=f"{name}.run")) for name in names]
    await held.started(most)
    await bench.google.requests.arrived("jobs.getQueryResults", count=most)

    under_way = len(held.jobs)
    held.release()
    events = await asyncio.gather(*tasks)

    assert under_way == most
    assert all(is_success(event) for event in events), bench.log.text
    assert len(bench.google.inserted_jobs) == 6
    said_by = "operator_args" if most == of_run else "setting"
    assert f"waiting, {most} jobs are running ({said_by} max_concurrent_jobs)" in bench.log.text
