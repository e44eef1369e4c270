"""A node that is written in part: what a new plan may go on from, and what nobody may."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosmos_async.exceptions import CosmosAsyncError
from cosmos_async.plan.model import (
    CallOperation,
    Guard,
    GuardKind,
    JobOperation,
    NativeKind,
    NativeOperation,
    Step,
)
from cosmos_async.triggers.execution.continuation import Begun, go_on, lasting
from tests.unit.strategies import ORDERS
from tests.unit.triggers.bench import job, model, target_state

OLD, NEW = "__dbt_tmp093012123456", "__dbt_tmp101500654321"
HOOK = job("insert into `p`.`shop`.`audit` values (1)", main=False, purpose="pre-hook")
OPTIONS = "OPTIONS(expiration_timestamp=TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 12 hour))"


def temporary(stamp: str, more: str = "") -> JobOperation:
    """Make the temporary table of an incremental model, as dbt does."""
    sql = f"/* dbt */\n\n create or replace table `p`.`shop`.`orders{stamp}`\n{OPTIONS}\n as (select 1 as id);\n{more}"
    return job(sql, main=False, purpose="create temporary table")


def merge(stamp: str, more: str = "") -> JobOperation:
    """The main statement of an incremental model."""
    return job(f"merge into `p`.`shop`.`orders` using `p`.`shop`.`orders{stamp}` on id = id {more}")


def drop(stamp: str) -> CallOperation:
    """The end of the temporary table."""
    return CallOperation("drop", "DELETE", f"projects/p/datasets/shop/tables/orders{stamp}", missing_ok=True)


def columns(*names: str, table: str = "orders", early: bool = False) -> Guard:
    """A guard for the columns of a table."""
    expected = {"type": "TABLE", "schema": [{"name": name} for name in names]}
    return Guard(GuardKind.TABLE, f"p.shop.{table}", {**ORDERS, "table": table}, expected, early=early)


def begun(*steps: Step) -> Begun:
    """A plan all of whose steps are done but the last one, which differed."""
    return Begun(model("orders", *steps), len(steps) - 1)


def test_a_new_plan_goes_on_behind_what_is_done() -> None:
    """Its temporary tables are called as they were made, wherever it names them."""
    old = begun(target_state("orders", "TABLE"), HOOK, temporary(OLD), columns("id"), merge(OLD))
    old = replace(old, position=3)
    new = model(
        "orders",
        target_state("orders", "TABLE"),
        columns("id", "new", early=True),
        HOOK,
        temporary(NEW),
        columns("id", "new"),
        merge(NEW, "new"),
        drop(NEW),
    )

    continued = go_on(old, new)

    assert continued is not None
    assert continued.done == {2: 1, 3: 2}
    assert continued.position == 4
    assert continued.plan.steps[4:] == (columns("id", "new"), merge(OLD, "new"), drop(OLD))


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ((job("insert into `p`.`shop`.`audit` values (2)"), merge(NEW)), "what it does first is not"),
        ((merge(NEW),), "what it does first is not"),
        ((), "what it does first is not"),
        ((columns("id", table="audit"), HOOK, merge(NEW)), "it reads p.shop.audit"),
        ((target_state("orders", "TABLE"), HOOK, merge(NEW)), "it reads p.shop.orders"),
        ((replace(HOOK, project="q"), merge(NEW)), "what it does first is not"),
    ],
)
def test_a_new_plan_that_begins_otherwise_cannot_go_on(new: tuple[Step, ...], why: str) -> None:
    """Another operation; or another read before the same one, which may see what has been written since."""
    old = begun(target_state("orders", "absent"), HOOK, columns("id"))

    with pytest.raises(CosmosAsyncError, match=why):
        go_on(old, model("orders", *new))


@pytest.mark.parametrize("more", [(), (merge(OLD),)], ids=["nothing", "another write"])
def test_another_answer_behind_the_last_write_may_lead_to_more(more: tuple[Step, ...]) -> None:
    """Such as a post-hook that finds something in a queue; what is done is not done again."""
    continued = go_on(begun(HOOK, columns("id", table="queue")), model("orders", HOOK, *more))

    assert continued is not None
    assert continued.done == {0: 0}
    assert continued.plan.steps[continued.position :] == more


def test_the_second_operation_counts_as_the_first_does() -> None:
    """Each in its place, and each read before its own."""
    old = begun(HOOK, temporary(OLD), columns("id"))

    with pytest.raises(CosmosAsyncError, match="after its first 1 operation is not"):
        go_on(old, model("orders", HOOK, merge(NEW)))
    with pytest.raises(CosmosAsyncError, match=r"it reads p\.shop\.orders"):
        go_on(old, model("orders", HOOK, columns("id"), temporary(NEW)))


def test_temporary_tables_alone_are_given_up() -> None:
    """A new plan that would fill them otherwise begins from its beginning."""
    old = begun(target_state("orders", "TABLE"), temporary(OLD), drop(OLD), columns("id"))

    assert lasting(old.plan.steps) == []
    assert go_on(old, model("orders", merge(NEW))) is None


@pytest.mark.parametrize(
    "step",
    [
        temporary("__dbt_tmp2"),
        temporary("__dbt_tmp_20240101093012123456"),
        temporary(OLD, "/* appended */"),
        drop("__dbt_tmp"),
        replace(HOOK, shared="create_schema:p.shop"),
        columns("id"),
    ],
)
def test_what_nobody_else_reads_does_not_last(step: Step) -> None:
    """Temporary tables by all the names that dbt gives them; what the run shares; what only reads."""
    assert lasting([step]) == []


@pytest.mark.parametrize(
    "step",
    [
        HOOK,
        merge(OLD),
        temporary("__dbt_backup"),
        temporary(OLD, "insert into `p`.`shop`.`audit` values (1)"),
        job(f"create or replace table `p`.`shop`.`orders` as select * from `p`.`shop`.`orders{OLD}`"),
        job(f"create or replace table `p`.`shop`.`orders{OLD}` as select 1"),  # it would stay for ever
        drop(""),
        drop(OLD.replace("tmp", "old")),
        CallOperation("describe", "PATCH", "projects/p/datasets/shop/tables/orders", {"description": ""}),
        NativeOperation(NativeKind.GRANTS, ORDERS, {}),
        job("", configuration={"load": {}}),
    ],
)
def test_whatever_else_is_written_lasts(step: Step) -> None:
    """Where it is not certain that nobody will ever see it, it counts."""
    assert lasting([step]) == [step]


def test_what_begins_with_the_run_is_not_compared() -> None:
    """By then a dataset is there, so the new plan does not create it."""
    create = job("create schema shop", main=False, shared="create_schema:p.shop")

    continued = go_on(begun(create, HOOK, columns("id")), model("orders", HOOK, merge(NEW)))

    assert continued is not None
    assert continued.done == {0: 1}
