"""Within one task: what a failing test holds back, as in ``dbt build``."""

from __future__ import annotations

import pytest

from cosmos_async.plan.model import NodePlan
from cosmos_async.triggers.execution.task_nodes import Result
from tests.unit.triggers.bench import Bench, data_test, model, test_row
from tests.unit.triggers.ends import is_success

UNIT = "unit_test.shop.orders.adds_up"
OWNERS = {UNIT: "model.shop.orders", "test.shop.good": "model.shop.orders"}


#: What the engine answers to a unit test's query: nothing was expected, and nothing came.
NO_ROWS = {
    "schema": [{"name": "id", "type": "INTEGER"}, {"name": "actual_or_expected", "type": "STRING"}],
    "rows": [],
}


def unit_test() -> NodePlan:
    """Return the plan of a unit test that needs no worker."""
    return data_test("adds_up", unique_id=UNIT, resource_type="unit_test")


@pytest.mark.parametrize("work", ["node", "build"])
async def test_a_model_waits_for_a_unit_test_that_does_not_pass(bench: Bench, work: str) -> None:
    """dbt tells on a worker what is wrong; if it agrees, the task fails, and its children are held back, too."""
    bench.google.on_query("adds_up", **{**NO_ROWS, "rows": [[1, "actual"]]})
    await bench.plan(model("orders"), unit_test(), data_test("good"), owners=OWNERS)

    event = await bench.run(work=work)

    assert [node["unique_id"] for node in event.payload["dbt"]] == [UNIT]
    assert event.payload["rest"] == (2 if work == "build" else 1)
    assert len(bench.google.inserted_jobs) == 1


async def test_a_model_whose_unit_test_passes_is_built_and_its_data_tests_are_another_tasks(
    bench: Bench,
) -> None:
    """The link of the task leads to the model's job: it is what people look for."""
    bench.google.on_query("adds_up", **NO_ROWS)
    await bench.plan(model("orders"), unit_test(), data_test("good"), owners=OWNERS)

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 2
    assert [facts["unique_id"] for facts in bench.airflow.left["dbt_jobs"]] == [UNIT, "model.shop.orders"]
    last = bench.airflow.left["dbt_jobs"][-1]["job_id"]
    assert last in bench.airflow.left["_link_BigQueryJobLink"]


async def test_the_tests_of_a_source_are_a_task(bench: Bench) -> None:
    """The source itself has no plan."""
    bench.google.on_query("/\\* good \\*/", **test_row(0))
    await bench.plan(model("orders"), data_test("good"), owners={"test.shop.good": "source.shop.raw.orders"})

    event = await bench.run("source.shop.raw.orders", work="tests")

    assert is_success(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 1


def test_nothing_has_failed_before_anything_ended() -> None:
    """So that the first group begins."""
    assert not Result().has_failed
    assert Result(error="no plan").has_failed
