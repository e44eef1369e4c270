"""Columns are described as dbt describes them: on what is there by then, under its etag, and again where that is stale."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.plan.model import Level, NativeKind, NativeOperation, NodePlan
from cosmos_async.testing import Request
from cosmos_async.triggers.natives.context import ATTEMPTS
from tests.unit.triggers.bench import Bench, FakeClock, job, model, target_state
from tests.unit.triggers.ends import is_failure, is_success

FIELDS = [
    {"name": "id", "type": "INTEGER", "mode": "NULLABLE"},
    {"name": "name", "type": "STRING", "mode": "NULLABLE", "description": "Said in the model's SQL."},
]


def describing(checked: bool = True, **columns: str) -> NativeOperation:
    """Return the step that describes columns of orders."""
    return NativeOperation(
        NativeKind.UPDATE_COLUMNS,
        {"project": "p", "dataset": "shop", "table": "orders"},
        {"columns": {name: {"description": text} for name, text in columns.items()}, "checked": checked},
    )


def orders(step: NativeOperation) -> NodePlan:
    """Return the plan of a table whose columns are described."""
    create = job("create or replace table `p`.`shop`.`orders` as select 1")
    return model("orders", target_state("orders"), create, step, level=Level.NATIVE)


@pytest.fixture(autouse=True)
def columns_of_the_query(bench: Bench) -> None:
    """What the model's query returns."""
    bench.google.on_query("create or replace", schema=FIELDS)


def patches(bench: Bench) -> list[Request]:
    """Return every change of a table that was sent."""
    return bench.google.requests.of("tables.patch")


def descriptions(bench: Bench) -> dict[str, Any]:
    """Return what the warehouse says of the columns."""
    table = bench.google.catalog.table("p", "shop", "orders")
    return {column["name"]: column.get("description") for column in table["schema"]["fields"]}


async def test_columns_are_described_after_the_table_was_made(bench: Bench) -> None:
    """One read, one change under the etag that was read; what nobody speaks of stays."""
    await bench.plan(orders(describing(id="The number.")))

    event = await bench.run()

    assert is_success(event), bench.log.text
    (patch,) = patches(bench)
    assert patch.headers["If-Match"]
    assert patch.json == {
        "schema": {
            "fields": [
                {**FIELDS[0], "description": "The number.", "policyTags": {"names": []}, "fields": []},
                {**FIELDS[1], "fields": []},
            ]
        }
    }
    assert descriptions(bench) == {"id": "The number.", "name": "Said in the model's SQL."}
    assert "described 1 column of p.shop.orders" in bench.log.text
    assert bench.outcome().level is Level.NATIVE


async def test_a_lost_answer_ends_in_the_same_columns(bench: Bench, clock: FakeClock) -> None:
    """The repeated change meets its own etag, so the table is read once more."""
    bench.google.lose_reply("tables.patch")
    await bench.plan(orders(describing(id="The number.")))

    event = await bench.run()

    assert is_success(event), bench.log.text
    first, again, last = patches(bench)
    assert first.headers["If-Match"] == again.headers["If-Match"] != last.headers["If-Match"]
    assert descriptions(bench)["id"] == "The number."
    assert len(bench.google.inserted_jobs) == 1


async def test_a_table_that_somebody_changed_meanwhile_is_read_again(bench: Bench) -> None:
    """Their change is not overwritten with what was read before it."""
    bench.google.fail("tables.patch", 412, times=2)
    await bench.plan(orders(describing(id="The number.")))

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(patches(bench)) == 3
    assert descriptions(bench)["id"] == "The number."


async def test_a_table_that_never_holds_still_fails_its_node(bench: Bench) -> None:
    """After some attempts; the table itself has been made."""
    bench.google.fail("tables.patch", 412, times=None)
    await bench.plan(orders(describing(id="The number.")))

    event = await bench.run()

    assert is_failure(event)
    assert len(patches(bench)) == ATTEMPTS
    assert "changing table p.shop.orders" in bench.outcome().message


async def test_a_restarted_node_describes_again_and_builds_once(bench: Bench) -> None:
    """A second life cannot know whether the first came so far; doing it twice changes nothing."""
    await bench.plan(orders(describing(id="The number.")))
    await bench.run()

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(bench.google.inserted_jobs) == 1
    assert descriptions(bench)["id"] == "The number."


async def test_columns_that_the_table_lacks_are_warned_of(bench: Bench) -> None:
    """In dbt's words; the others are described."""
    await bench.plan(orders(describing(id="The number.", gone="Nothing.")))

    await bench.run()

    assert (
        "warning",
        "In relation `p`.`shop`.`orders`: The following columns are specified in the schema but "
        "are not present in the database: gone",
    ) in bench.log.lines
    assert descriptions(bench)["id"] == "The number."


@pytest.mark.parametrize("checked", [True, False])
async def test_without_a_column_to_describe_only_an_old_dbt_sends_the_schema(
    bench: Bench, checked: bool
) -> None:
    """dbt-bigquery 1.9 does not look first."""
    await bench.plan(orders(describing(checked, gone="Nothing.")))

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(patches(bench)) == (0 if checked else 1)


async def test_a_refused_change_fails_the_node_in_googles_words(bench: Bench) -> None:
    """Such as a policy tag that nobody may use."""
    bench.google.fail("tables.patch", 403, reason="accessDenied", message="Access Denied: policy tag")
    await bench.plan(orders(describing(id="The number.")))

    event = await bench.run()

    assert is_failure(event)
    assert "Access Denied: policy tag" in bench.outcome().message


async def test_a_table_that_is_gone_cannot_be_described(bench: Bench) -> None:
    """Somebody dropped it between the two steps."""
    await bench.plan(model("orders", describing(id="The number."), level=Level.NATIVE))

    event = await bench.run()

    assert is_failure(event)
    assert "p.shop.orders is not there" in bench.outcome().message
