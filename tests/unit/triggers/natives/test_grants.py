"""Grants are compared with those the relation has by then, and changed by the script dbt would send; once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cosmos_async.dbt_rules.grants import PRIVILEGE
from cosmos_async.plan.model import Level, NativeKind, NativeOperation, NodePlan, Step
from tests.unit.triggers.bench import Bench, event_of, job, model, target_state
from tests.unit.triggers.ends import is_failure, is_success

SHOWN = [{"name": "privilege_type", "type": "STRING"}, {"name": "grantee", "type": "STRING"}]
LABELS = {"dbt_invocation_id": "i"}


def template(sql: str | None = None) -> dict[str, Any]:
    """Return one of the operation's two jobs."""
    query: dict[str, Any] = {"useLegacySql": False, "priority": "BATCH"}
    if sql is not None:
        query["query"] = sql
    configuration = {"labels": LABELS, "jobTimeoutMs": "60000", "query": query}
    return {"project": "p", "location": "US", "configuration": configuration}


def granting(**grants: list[str]) -> NativeOperation:
    """Return the step that gives orders these grants."""
    return NativeOperation(
        NativeKind.GRANTS,
        {"project": "p", "dataset": "shop", "table": "orders"},
        {
            "grants": grants,
            "show": template("select privilege_type, grantee from OBJECT_PRIVILEGES"),
            "apply": template(),
            "texts": {
                "revoke": [f'revoke `{PRIVILEGE}` on table orders from "', '", "', '"'],
                "grant": [f'grant `{PRIVILEGE}` on table orders to "', '", "', '"'],
                "script": ["/* c */ ", "; ", ";"],
            },
        },
    )


def orders(*more: Step, **grants: list[str]) -> NodePlan:
    """Return the plan of a table with grants."""
    create = job("create or replace table `p`.`shop`.`orders` as select 1")
    return model("orders", target_state("orders"), create, granting(**grants), *more, level=Level.NATIVE)


def sent(bench: Bench) -> list[str]:
    """Return the texts of the jobs, in their order."""
    return [made.spec.configuration["query"]["query"] for made in bench.google.inserted_jobs]


def has(bench: Bench, *rows: list[str]) -> None:
    """Let orders have these grants."""
    bench.google.on_query("OBJECT_PRIVILEGES", schema=SHOWN, rows=list(rows))


async def test_what_differs_is_revoked_and_granted(bench: Bench) -> None:
    """With the job options dbt would have sent, in one script after the table was made."""
    has(bench, ["viewer", "user:old"], ["owner", "user:boss"], ["viewer", "USER:kept"])
    await bench.plan(orders(viewer=["user:kept", "user:new"]))

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert sent(bench)[2:] == [
        '/* c */ revoke `viewer` on table orders from "user:old"; revoke `owner` on table orders from "user:boss"; '
        'grant `viewer` on table orders to "user:new";'
    ]
    last = bench.google.inserted_jobs[-1].spec.configuration
    assert (last["labels"], last["query"]["priority"], last["jobTimeoutMs"]) == (LABELS, "BATCH", "60000")
    assert "on p.shop.orders: revoked viewer from user:old" in bench.log.text
    assert [each.purpose for each in bench.outcome().jobs] == ["main", "show grants", "grant"]


async def test_nothing_is_sent_where_all_is_in_place(bench: Bench) -> None:
    """The question alone."""
    has(bench, ["Viewer", "user:a"])
    await bench.plan(orders(viewer=["user:a"]))

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(sent(bench)) == 2
    assert "all grants on p.shop.orders are in place" in bench.log.text


async def test_a_restarted_node_grants_what_its_first_life_did(bench: Bench) -> None:
    """The question is the same job, so its answer is the one from before the change."""
    has(bench, ["viewer", "user:old"])
    await bench.plan(orders(viewer=["user:new"]))
    await bench.run()
    has(bench, ["viewer", "user:new"])

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(sent(bench)) == 3


async def test_a_node_that_came_past_its_grants_does_not_look_again(bench: Bench) -> None:
    """A later job of its own exists."""
    has(bench, ["viewer", "user:old"])
    await bench.plan(
        orders(job("select 1 /* post-hook */", main=False, purpose="post-hook"), viewer=["user:new"])
    )
    await bench.run()
    bench.google.requests.clear()

    event = await bench.run()

    assert is_success(event), bench.log.text
    asked = [
        r.json["configuration"]["query"].get("query", "") for r in bench.google.requests.of("jobs.insert")
    ]
    assert not any("OBJECT_PRIVILEGES" in sql or "grant" in sql for sql in asked)


async def test_lost_answers_grant_once(bench: Bench) -> None:
    """Each of the three jobs is met again under its id."""
    has(bench)
    await bench.plan(orders(viewer=["user:new"]))
    bench.google.lose_reply("jobs.insert", times=3)

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert len(sent(bench)) == 3


async def test_a_refused_grant_fails_the_node_with_bigquery_s_words(bench: Bench) -> None:
    """The table has been made, as with dbt."""
    has(bench)
    bench.google.on_query("grant `viewer`", error=("invalidQuery", "User nobody does not exist."))
    await bench.plan(orders(viewer=["nobody"]))

    event = await bench.run()

    assert is_failure(event)
    assert "User nobody does not exist." in (bench.outcome().message or "")
    assert bench.google.catalog.table("p", "shop", "orders")


async def test_a_new_try_ends_the_script_that_an_earlier_one_left(bench: Bench) -> None:
    """Whatever the new try then does, two of them must not change the same relation."""
    has(bench)
    held = bench.google.on_query("grant `viewer`", held=True, times=1)
    await bench.plan(orders(viewer=["user:new"]))
    first = asyncio.create_task(event_of(bench.trigger()))
    await held.started()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    await bench.run(try_number=2)

    left = bench.google.inserted_jobs[2]
    assert left.error.reason == "stopped"
    assert "left by an earlier try" in bench.log.text
