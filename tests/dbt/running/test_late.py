"""
Some nodes of a run are planned anew, with the project as it was parsed for the run.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from cosmos_async.dbt.planner.late import plan_late
from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.dbt.run_node import run_node
from cosmos_async.exceptions import DbtError
from cosmos_async.plan.model import JobOperation, Level, RunInfo
from cosmos_async.plan.outcome import Status
from cosmos_async.testing import FakeGoogle

from .conftest import OpenDbt, newest_dbt

pytestmark = pytest.mark.dbt

ORDERS = "model.shop.orders"


def planned(opened: OpenDbt, shop: Path) -> tuple[RunInfo, bytes]:
    """Plan the run, and return what the index tells of it and the parsed project."""
    with opened(shop) as dbt:
        plan = record_plan(dbt, dag_id="d", run_id="r").plan
        assert plan.parsed is not None
        return plan.run, plan.parsed.read_bytes()


def break_project(shop: Path) -> None:
    """Add what dbt stumbles over as soon as it parses the project."""
    (shop / "models" / "broken.sql").write_text("select * from {{ ref('nowhere') }}")


def test_a_node_is_planned_anew_without_parsing(
    opened: OpenDbt, shop: Path, google: FakeGoogle, lines: list[str]
):
    """
    As a part of the run's invocation: its id, its beginning, all that it selects; none of its hooks, nothing sent.
    """
    run, parsed = planned(opened, shop)
    break_project(shop)
    before = len(google.mutations)

    with opened(shop) as dbt:
        late = plan_late(dbt, {ORDERS: "It has its reasons."}, run=run, parsed=parsed)

    (plan,) = late.nodes.values()
    (job,) = [step for step in plan.steps if isinstance(step, JobOperation) and step.shared is None]
    sql = job.configuration["query"]["query"]
    assert plan.level is not Level.DBT
    assert plan.reason.startswith("It has its reasons.")
    assert f"'{run.invocation_id}' as invocation" in sql
    assert f"'{run.created_at.replace('T', ' ')}' as started" in sql
    assert "1 as selected" not in sql
    assert job.configuration["labels"]["dbt_invocation_id"] == run.invocation_id
    assert [each for each in google.mutations[before:] if each.operation != "jobs.insert"] == []
    assert google.inserted_jobs == []


@newest_dbt
def test_a_plan_that_is_gone_is_made_of_the_project_as_it_is_now(
    opened: OpenDbt, shop: Path, google: FakeGoogle
):
    """
    The parsed project is gone with the run's plan; what somebody has corrected since is what they clear the task for.
    """
    run, _ = planned(opened, shop)
    (shop / "models" / "orders" / "orders.sql").write_text("select '{{ invocation_id }}' as corrected")

    with opened(shop) as dbt:
        late = plan_late(dbt, {ORDERS: "Its plan is gone."}, run=replace(run, parsed=None), parsed=None)

    (plan,) = late.nodes.values()
    (job,) = [step for step in plan.steps if isinstance(step, JobOperation) and step.shared is None]
    assert f"'{run.invocation_id}' as corrected" in job.configuration["query"]["query"]
    assert google.inserted_jobs == []


@newest_dbt
def test_several_nodes_are_one_dbt(opened: OpenDbt, shop: Path, lines: list[str]):
    """
    Their plans come from one recording.
    """
    run, parsed = planned(opened, shop)
    lines.clear()

    with opened(shop) as dbt:
        late = plan_late(dbt, {ORDERS: "a", "seed.shop.countries": "b"}, run=run, parsed=parsed)

    assert set(late.nodes) == {ORDERS, "seed.shop.countries"}
    assert len(late.uploads) == 1
    assert len([line for line in lines if "planning with dbt-core" in line]) == 1


@newest_dbt
def test_real_dbt_runs_a_node_without_parsing(opened: OpenDbt, shop: Path, google: FakeGoogle):
    """
    The slow way is not slower than it must be.
    """
    run, parsed = planned(opened, shop)
    break_project(shop)

    with opened(shop) as dbt:
        outcome = run_node(dbt, ORDERS, try_number=1, run=run, parsed=parsed)

    assert outcome.status is Status.SUCCESS
    assert len(google.inserted_jobs) == 1


@newest_dbt
def test_another_dbt_parses_the_project(opened: OpenDbt, shop: Path, lines: list[str]):
    """
    What one version has parsed is not for another one.
    """
    run, parsed = planned(opened, shop)

    with opened(shop) as dbt:
        late = plan_late(dbt, {ORDERS: "r"}, run=replace(run, dbt_version="1.10.1"), parsed=parsed)

    assert late.nodes[ORDERS].steps
    assert any("dbt 1.10.1 parsed it for this run" in line for line in lines)


@newest_dbt
def test_a_parsed_project_that_cannot_be_read_is_parsed(opened: OpenDbt, shop: Path, lines: list[str]):
    """
    Slower, and as right.
    """
    run, parsed = planned(opened, shop)

    with opened(shop) as dbt:
        late = plan_late(dbt, {ORDERS: "r"}, run=run, parsed=zlib.compress(zlib.decompress(parsed)[:1000]))

    assert late.nodes[ORDERS].steps
    assert any("The project is parsed again: " in line for line in lines)


def test_what_bigquery_does_not_accept_yet_is_asked_later(opened: OpenDbt, shop: Path, google: FakeGoogle):
    """
    What a query needs may be made in a way that nobody can foretell; where it still is not there, dbt tells of it.
    """
    google.on_query("from nowhere", error=("notFound", "Not found: Table nowhere"), times=None)
    (shop / "models" / "asking.sql").write_text(
        "select '{% if execute %}{{ run_query('select v from nowhere').columns[0].values()[0] }}{% endif %}' as v"
    )
    with opened(shop) as dbt:
        plan = record_plan(dbt, dag_id="d", run_id="r").plan
        early = plan.nodes["model.shop.asking"]
        late = plan_late(dbt, {"model.shop.asking": early.reason}, run=plan.run).nodes["model.shop.asking"]

    assert early.level is Level.LATE
    assert "as things are now: " in early.reason
    assert "nowhere" in early.reason
    assert late.level is Level.DBT


@newest_dbt
def test_packages_are_not_installed_again(opened: OpenDbt, shop: Path, lines: list[str]):
    """
    A late plan needs their macros and their variables, which setup has kept.
    """
    common = shop.parent / "common"
    (common / "macros").mkdir(parents=True)
    (common / "dbt_project.yml").write_text('name: common\nversion: "1.0"\nvars: {common: {answer: 42}}\n')
    (common / "macros" / "answer.sql").write_text("{% macro answer() %}{{ var('answer') }}{% endmacro %}")
    (common / "models").mkdir()
    (common / "models" / "answered.sql").write_text("select {{ common.answer() }} as n")
    (shop / "packages.yml").write_text("packages: [{local: ../common}]")
    run, parsed = planned(opened, shop)
    assert any("deps" in line or "Installed" in line for line in lines)
    lines.clear()

    with opened(shop, packages=False) as dbt:
        late = plan_late(dbt, {"model.common.answered": "r"}, run=run, parsed=parsed)

    assert late.nodes["model.common.answered"].compiled_code == "select 42 as n"
    assert not any("Installed" in line for line in lines)


@newest_dbt
def test_a_node_that_is_gone_is_named(opened: OpenDbt, shop: Path):
    """
    The project may have been deployed anew on this worker, and cannot be parsed as it was.
    """
    run, _ = planned(opened, shop)
    (shop / "seeds" / "countries.csv").unlink()

    with opened(shop) as dbt, pytest.raises(DbtError, match=r"seed\.shop\.countries is not in this project"):
        plan_late(dbt, {"seed.shop.countries": "r"}, run=run)


@newest_dbt
def test_nothing_secret_is_kept_of_the_parsed_project(
    opened: OpenDbt, shop: Path, environment: dict[str, str]
):
    """
    Neither what environment variables say nor what the profile holds; dbt's own file has the former.
    """
    environment["SHOP_SIGN"] = "canary-in-a-coal-mine"
    (shop / "models" / "signed.sql").write_text(
        "{% set sign = env_var('SHOP_SIGN') %} select {{ sign | length }} as n"
    )

    _, parsed = planned(opened, shop)

    kept = zlib.decompress(parsed)
    assert b"env_var('SHOP_SIGN')" in kept
    assert b"canary-in-a-coal-mine" not in kept
    assert b"code,name" not in kept
    assert environment["DBT_ENV_SECRET_KITCHEN_PRIVATE_KEY"].encode()[30:60] not in kept
