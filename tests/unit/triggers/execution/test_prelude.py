"""
On-run-start hooks: once per run, each with its own outcome, and what they read is looked at before they write.
"""

from __future__ import annotations

from typing import Any

from cosmos_async.plan.model import Guard, GuardKind, Hook, JobOperation
from cosmos_async.plan.outcome import Status
from tests.unit.triggers.bench import Bench, job, model
from tests.unit.triggers.ends import is_failure, is_success

INSERT = "insert into `p`.`shop`.`audit` values ({})"
READ = "select count(*) from `p`.`shop`.`orders`"


def insert(number: int) -> JobOperation:
    """A hook's only statement."""
    return job(INSERT.format(number), main=False, purpose="on-run-start", shared=f"on_run_start:{number}.0")


def hooks(**changes: Any) -> tuple[Hook, ...]:
    """Two hooks of one step each."""
    return tuple(
        Hook(f"operation.shop.hook{number}", f"shop.on-run-start.{number}", number, number + 1, **changes)
        for number in (0, 1)
    )


def audited(bench: Bench) -> None:
    """Let the hooks' statements succeed."""
    bench.google.add_table("p", "shop", "audit", schema=[{"name": "id", "type": "INTEGER"}])
    bench.google.on_query("audit", statement_type="INSERT", affected_rows=1)


async def test_each_hook_has_its_outcome(bench: Bench) -> None:
    """In dbt's words, with the times of its job."""
    audited(bench)
    await bench.plan(model("orders"), prelude=(insert(0), insert(1)), hooks=hooks())

    event = await bench.run()

    assert is_success(event), bench.log.text
    first, second = (bench.outcome(hook.unique_id) for hook in hooks())
    assert (first.status, first.message, first.failures) == (
        Status.SUCCESS,
        "shop.on-run-start.0 passed",
        0,
    )
    assert first.completed_at <= second.completed_at
    assert len(first.jobs) == 1


async def test_nodes_are_built_although_a_hook_failed(bench: Bench) -> None:
    """As in dbt, where only the hooks after it are skipped."""
    bench.google.on_query(r"values \(0\)", error=("invalidQuery", "No such column."))
    await bench.plan(model("orders"), prelude=(insert(0), insert(1)), hooks=hooks())

    event = await bench.run()

    assert is_success(event), bench.log.text
    assert [bench.outcome(hook.unique_id).status for hook in hooks()] == [Status.ERROR, Status.SKIPPED]
    failed = bench.outcome("operation.shop.hook0")
    assert failed.message == "shop.on-run-start.0 failed, error:\n No such column."
    assert INSERT.format(1) not in [each.spec.sql for each in bench.google.inserted_jobs]


async def test_no_node_is_built_where_the_project_wants_its_hooks_first(bench: Bench) -> None:
    """The flag is dbt's: skip_nodes_if_on_run_start_fails."""
    bench.google.on_query(r"values \(0\)", error=("invalidQuery", "No such column."))
    await bench.plan(model("orders"), prelude=(insert(0), insert(1)), hooks=hooks(needed=True))

    event = await bench.run()

    assert is_failure(event)
    assert "skip_nodes_if_on_run_start_fails" in bench.log.text
    assert len(bench.google.inserted_jobs) == 1


async def test_a_hook_is_not_run_in_a_warehouse_it_was_not_planned_for(bench: Bench) -> None:
    """The task fails, as every node comes after the hooks, and tells the way out."""
    await bench.plan(model("orders"), prelude=(guard("2"), insert(0)), hooks=one())
    bench.google.on_query("select count", rows=[{"n": 3}])

    event = await bench.run()

    assert is_failure(event)
    assert "Clear the setup task" in bench.log.text
    assert [each.spec.sql for each in bench.google.inserted_jobs] == [READ]


async def test_what_a_hook_read_may_change_once_the_hook_has_run(bench: Bench) -> None:
    """Another triggerer meets the hook's job, and what the run has built meanwhile is no difference."""
    audited(bench)
    await bench.plan(model("orders"), model("lines"), prelude=(guard("2"), insert(0)), hooks=one())
    bench.google.on_query("select count", rows=[{"n": 2}], times=1)
    first = await bench.run()
    bench.google.on_query("select count", rows=[{"n": 3}])

    second = await bench.run("model.shop.lines")

    assert is_success(first), bench.log.text
    assert is_success(second), bench.log.text
    assert [each.spec.sql for each in bench.google.inserted_jobs].count(INSERT.format(0)) == 1
    assert [each.spec.sql for each in bench.google.inserted_jobs].count(READ) == 1


async def test_a_triggerer_that_falls_behind_finds_what_the_faster_one_has_done(bench: Bench) -> None:
    """The hook's job was not there when it looked, and what the run built was when it read."""
    audited(bench)
    await bench.plan(model("orders"), model("lines"), prelude=(guard("2"), insert(0)), hooks=one())
    bench.google.on_query("select count", rows=[{"n": 2}], times=1)
    await bench.run()
    bench.google.on_query("select count", rows=[{"n": 3}])
    looked = bench.google.fail("jobs.get", 404, times=1, when=lambda request: "on_run_start" in request.path)

    event = await bench.run("model.shop.lines", try_number=2)  # a job of its own reads

    assert looked.hits == 1
    assert is_success(event), bench.log.text
    assert [each.spec.sql for each in bench.google.inserted_jobs].count(INSERT.format(0)) == 1
    assert [each.spec.sql for each in bench.google.inserted_jobs].count(READ) == 2


def guard(count: str) -> Guard:
    """What the hook's Jinja read."""
    request = {
        "project": "p",
        "location": "US",
        "configuration": {"query": {"query": READ, "useLegacySql": False}},
        "ordered": False,
    }
    return Guard(GuardKind.ROWS, READ, request, [[count]])


def one() -> tuple[Hook, ...]:
    """A hook that reads before it writes."""
    return (Hook("operation.shop.hook", "shop.on-run-start.0", 0, 2),)
