"""
Real dbt runs exactly one node of a run, and its end is told as an outcome.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_async.dbt.run_node import run_node
from cosmos_async.exceptions import DbtError
from cosmos_async.plan.model import Level, RunInfo
from cosmos_async.plan.outcome import Status
from cosmos_async.testing import FakeGoogle

from .conftest import OpenDbt, newest_dbt

pytestmark = pytest.mark.dbt

RUN = RunInfo(
    dag_id="shop",
    run_id="manual",
    created_at="2024-02-29T23:59:58.123456+00:00",
    host="worker",
    project_name="shop",
    target_name="dev",
    invocation_id="11111111-2222-3333-4444-555555555555",
    dbt_version="1.11.0",
    adapter_version="1.11.0",
    package_version="0.1",
)


def queries(google: FakeGoogle) -> list[str]:
    """Return what ran in BigQuery, without the comment dbt puts before it."""
    return [job.spec.sql.partition("*/")[2].strip() or job.spec.sql for job in google.inserted_jobs]


def test_a_model_runs_alone(opened: OpenDbt, shop: Path, google: FakeGoogle):
    """
    Neither its namesake folder, nor its tests, nor the hooks of the run: only the model, as part of the planned run.
    """
    with opened(shop, vars={"day": 7}) as dbt:
        outcome = run_node(dbt, "model.shop.orders", try_number=2, reason="custom materialization", run=RUN)

    (model,) = queries(google)
    assert model.startswith("create or replace table `kitchen-project`.`kitchen`.`orders`")
    assert "'2024-02-29 23:59:58.123456+00:00' as started" in model
    assert f"'{RUN.invocation_id}' as invocation" in model
    # Three models, a seed, three tests and an exposure; how dbt counts unit tests and exposures depends on its version.
    assert "1 as selected" not in model
    assert "7 as day" in model
    assert google.inserted_jobs[0].spec.labels["dbt_invocation_id"] == RUN.invocation_id
    assert outcome.status is Status.SUCCESS
    assert outcome.level is Level.DBT
    assert outcome.reason == "custom materialization"
    assert outcome.try_number == 2
    assert outcome.message is not None
    assert outcome.message.startswith("CREATE TABLE (")
    assert outcome.jobs[0].job_id == google.inserted_jobs[0].job_id
    assert outcome.seconds > 0


@newest_dbt
def test_a_node_finds_what_hooks_of_the_start_left_in_memory(opened: OpenDbt, shop: Path, google: FakeGoogle):
    """
    dbt renders them in the process of its nodes. What they sent was sent before, and is not sent again.
    """
    settings = (shop / "dbt_project.yml").read_text().split("on-run-start:")[0]
    hook = "{% do graph.setdefault('shop', 'of the hook') %}{% do run_query('insert into kitchen.hooks select 1') %}"
    (shop / "dbt_project.yml").write_text(f'{settings}\non-run-start: "{hook}"\n')
    (shop / "models" / "orders" / "lines.sql").write_text("select '{{ graph.get('shop') }}' as word")

    with opened(shop) as dbt:
        outcome = run_node(dbt, "model.shop.lines", try_number=1, run=RUN)

    (model,) = queries(google)
    assert "select 'of the hook' as word" in model
    assert outcome.status is Status.SUCCESS


@newest_dbt
@pytest.mark.parametrize(
    ("hook", "unwritten"),
    [("{{ no_such_macro() }}", True), ("{% if execute %}{{ 1 / 0 }}{% endif %}", True), ("select 1", False)],
    ids=["unknown macro", "mistake", "the statement"],
)
def test_it_is_told_whether_dbt_came_to_its_statement(
    opened: OpenDbt, shop: Path, google: FakeGoogle, hook: str, unwritten: bool
):
    """
    dbt names the statement's file in the manifest, where it has written one.
    """
    google.on_query("create or replace table", error=("invalidQuery", "Unrecognized name: amout at [7:9]"))
    model = shop / "models" / "orders" / "orders.sql"
    text = model.read_text().replace('materialized="table"', "materialized='table', pre_hook=HOOK")
    model.write_text(text.replace("HOOK", f'"{hook}"'))

    with opened(shop) as dbt:
        outcome = run_node(dbt, "model.shop.orders", try_number=1, run=RUN)

    assert outcome.status is Status.ERROR
    assert outcome.unwritten is unwritten


@newest_dbt
def test_a_failing_model_brings_bigquerys_message(opened: OpenDbt, shop: Path, google: FakeGoogle):
    """
    A node that fails is an outcome, not an exception.
    """
    google.on_query("orders", error=("invalidQuery", "Unrecognized name: amout at [7:9]"))

    with opened(shop) as dbt:
        outcome = run_node(dbt, "model.shop.orders", try_number=1)

    assert outcome.status is Status.ERROR
    assert "Unrecognized name: amout at [7:9]" in (outcome.message or "")


@newest_dbt
def test_an_ephemeral_model_that_does_not_compile_is_to_blame(
    opened: OpenDbt, shop: Path, google: FakeGoogle
):
    """
    dbt skips its readers and names it; as the model has no task of its own, theirs fails.
    """
    (shop / "models" / "broken.sql").write_text(
        "{{ config(materialized='ephemeral') }}"
        "{% if execute %}{{ exceptions.raise_compiler_error('no such day') }}{% endif %}"
    )
    (shop / "models" / "orders" / "lines.sql").write_text("select * from {{ ref('broken') }}")

    with opened(shop) as dbt:
        outcome = run_node(dbt, "model.shop.lines", try_number=1)

    assert not queries(google)
    assert outcome.status is Status.SKIPPED
    assert outcome.status.failed
    assert outcome.message == (
        "Compilation Error in model.shop.lines, caused by compilation error in referenced ephemeral model model.shop.broken"
    )


@newest_dbt
@pytest.mark.parametrize(("failures", "status"), [(0, Status.PASS), (3, Status.FAIL)])
def test_one_generic_test_runs(
    opened: OpenDbt, shop: Path, google: FakeGoogle, failures: int, status: Status, lines: list[str]
):
    """
    Not its siblings, and not the model it is about.
    """
    found = {"failures": failures, "should_warn": failures > 0, "should_error": failures > 0}
    google.on_query("should_error", rows=[found])
    google.add_table("kitchen-project", "kitchen", "orders", rows=[{"id": 1}])
    with opened(shop) as dbt:
        unique_id = "test.shop.not_null_orders_id." + _hash_of(dbt, "not_null_orders_id")
        outcome = run_node(dbt, unique_id, try_number=1)

    assert [query for query in queries(google) if "should_error" in query] == queries(google)
    assert len(queries(google)) == 1
    assert outcome.status is status
    assert outcome.failures == failures
    assert any("1 of 1" in line for line in lines)


@newest_dbt
def test_a_seed_runs_alone(opened: OpenDbt, shop: Path, google: FakeGoogle):
    """
    By its load job.
    """
    with opened(shop) as dbt:
        outcome = run_node(dbt, "seed.shop.countries", try_number=1)

    assert [job.spec.kind for job in google.inserted_jobs] == ["load", "query"]
    assert outcome.status is Status.SUCCESS
    assert outcome.message == "INSERT 1"


@newest_dbt
def test_a_node_that_is_gone_is_named(opened: OpenDbt, shop: Path, google: FakeGoogle):
    """
    The project may have been deployed anew since the run was planned.
    """
    with (
        opened(shop) as dbt,
        pytest.raises(DbtError, match=r"model\.shop\.gone is not in this project any more"),
    ):
        run_node(dbt, "model.shop.gone", try_number=1)

    assert not google.inserted_jobs


@newest_dbt
def test_a_project_that_does_not_parse_is_told_in_dbts_words(opened: OpenDbt, shop: Path, google: FakeGoogle):
    """
    With the project's own path, as the copy's means nothing to a person.
    """
    (shop / "models" / "orders" / "lines.sql").write_text("select * from {{ ref('nothing') }}")

    with opened(shop) as dbt, pytest.raises(DbtError) as caught:
        run_node(dbt, "model.shop.orders", try_number=1)

    assert "depends on a node named 'nothing' which was not found" in str(caught.value)
    assert f"in {shop} ended with exit code" in str(caught.value)
    assert not google.inserted_jobs


def test_killing_the_task_cancels_the_query(opened: OpenDbt, shop: Path, google: FakeGoogle):
    """
    Nobody pays for a query whose task is gone.
    """
    google.on_query("create or replace table", held=True)

    with opened(shop) as dbt:
        # dbt says so before it sends the query; what it sends after the signal, it cancels.
        _kill_once_running(dbt, google)
        with pytest.raises(DbtError, match="The task was killed"):
            run_node(dbt, "model.shop.orders", try_number=1)

    assert [job.cancels for job in google.inserted_jobs][-1] == 1


def _kill_once_running(dbt, google: FakeGoogle) -> None:
    import threading

    def watch() -> None:
        while True:
            running = [job for job in google.inserted_jobs if "create or replace table" in job.spec.sql]
            if running:
                dbt.processes.terminate()
                return
            threading.Event().wait(0.1)

    threading.Thread(target=watch, daemon=True).start()


def _hash_of(dbt, name: str) -> str:
    """Return the last part of a generic test's unique id."""
    dbt.processes.on_line("looking for the test's id")
    finished = dbt.run(["parse", "--profile", "kitchen", "--target", "dev"])
    assert finished.exit_code == 0
    import json

    nodes = json.loads((dbt.workspace.target_path / "manifest.json").read_text())["nodes"]
    return next(node for node in nodes if f".{name}." in node).rpartition(".")[2]
