"""
Real dbt measures one source of a run, and ``sources.json`` tells what dbt's own would.
"""

from __future__ import annotations

import json
import textwrap
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.dbt.planner.freshness import run_freshness
from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.dbt.results import sources_json, write_results
from cosmos_async.plan.model import JobOperation, Level
from cosmos_async.plan.outcome import Status
from cosmos_async.testing import FakeGoogle

from .conftest import OpenDbt, newest_dbt
from .test_fallback import RUN

pytestmark = pytest.mark.dbt

SOURCES = """
    sources:
      - name: till
        database: kitchen-project
        schema: raw
        tables:
          - name: orders
            loaded_at_field: loaded_at
            freshness:
              warn_after: {count: 6, period: hour}
              error_after: {count: 1, period: day}
          - name: stock
            freshness:
              warn_after: {count: 6, period: hour}
    """
NOW = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)
FIELDS = [{"name": name, "type": "TIMESTAMP"} for name in ("max_loaded_at", "snapshotted_at")]


@pytest.fixture
def till(shop: Path, google: FakeGoogle) -> Path:
    """The shop, with two sources: one of a column that tells when it was loaded, one that BigQuery tells of."""
    (shop / "models" / "till.yml").write_text(textwrap.dedent(SOURCES))
    google.add_table("kitchen-project", "raw", "stock", rows=[{"id": 1}])
    return shop


def loaded(google: FakeGoogle, hours: int) -> None:
    """Let the query for freshness find a source loaded so many hours ago."""
    rows = [{"max_loaded_at": NOW - timedelta(hours=hours), "snapshotted_at": NOW}]
    google.on_query("max_loaded_at", rows=rows, schema=FIELDS)


@pytest.mark.parametrize(("hours", "status"), [(1, Status.PASS), (7, Status.WARN), (25, Status.ERROR)])
def test_a_source_is_measured_alone_and_as_dbt_does(
    opened: OpenDbt, till: Path, google: FakeGoogle, hours: int, status: Status
):
    """
    Part of the planned run, with options that only ``dbt build`` takes; dbt's own ``sources.json`` says the same.
    """
    loaded(google, hours)
    with opened(till, dbt_cmd_flags=["--empty"], full_refresh=True, select=["orders"]) as dbt:
        outcome = run_freshness(dbt, "source.shop.till.orders", try_number=1, reason="x", run=RUN)
        (job,) = google.inserted_jobs
        dbt.run(["source", "freshness"])
        own = json.loads((dbt.workspace.target_path / "sources.json").read_text())

    assert job.spec.labels["dbt_invocation_id"] == RUN.invocation_id
    assert outcome.status is status
    assert outcome.status.failed == (status is Status.ERROR)
    (theirs,) = (each for each in own["results"] if each["unique_id"] == outcome.unique_id)
    written = sources_json([outcome], {"metadata": own["metadata"]}) or {}
    assert written["metadata"] == own["metadata"]
    assert set(written) == set(own)
    assert told(written["results"][0]) == told(theirs)


def told(result: dict[str, Any]) -> dict[str, Any]:
    """Return what two measurements of one source have in common."""
    apart = ("timing", "thread_id", "execution_time", "adapter_response")
    return {name: value for name, value in result.items() if name not in apart}


@newest_dbt
def test_bigquery_itself_tells_of_a_source_without_a_column(opened: OpenDbt, till: Path, google: FakeGoogle):
    """
    No query is run. As in a run: planned by setup, measured with the project as setup parsed it, and no node of dbt's
    ``run_results.json``.
    """
    source = "source.shop.till.stock"
    with opened(till) as dbt:
        plan = record_plan(dbt, dag_id="d", run_id="r", sources=[source]).plan
        assert plan.parsed is not None
        parsed = plan.parsed.read_bytes()
        outcome = run_freshness(dbt, source, try_number=1, run=plan.run, parsed=parsed)
        jobs = list(google.inserted_jobs)
        written = write_results(dbt, [outcome], run=plan.run, planned=plan.nodes)
        results = json.loads(written.run_results.read_text())["results"]

    assert (plan.nodes[source].level, plan.nodes[source].resource_type) == (Level.STATIC, "source")
    assert outcome.status is Status.PASS
    assert jobs == []
    assert "model.shop.orders" in {result["unique_id"] for result in results}
    assert source not in {result["unique_id"] for result in results}


@newest_dbt
def test_a_source_that_cannot_be_measured_brings_dbts_words(opened: OpenDbt, till: Path, google: FakeGoogle):
    """
    dbt leaves it out of its ``sources.json``, and so do we; the task fails.
    """
    google.on_query("max_loaded_at", error=("invalidQuery", "Unrecognized name: loaded_at at [3:9]"))
    with opened(till) as dbt:
        outcome = run_freshness(dbt, "source.shop.till.orders", try_number=1)

    assert outcome.status is Status.ERROR
    assert "Unrecognized name: loaded_at at [3:9]" in (outcome.message or "")
    assert sources_json([outcome], {}) is None


def test_setup_plans_what_dbt_sends_and_asks_nothing(opened: OpenDbt, till: Path, google: FakeGoogle):
    """
    The whole configuration of dbt's query, its comment and labels included; the sources are not looked at before the run.
    """
    sources = ["source.shop.till.orders", "source.shop.till.stock"]
    loaded(google, 1)
    with opened(till, dbt_cmd_flags=["--empty"], full_refresh=True, select=["orders"]) as dbt:
        planned = record_plan(dbt, dag_id="d", run_id="r", sources=sources).plan
        seen = [f"{request.method} {request.path}" for request in google.requests]
        run_freshness(dbt, sources[0], try_number=1, run=planned.run)
    (sent,) = google.inserted_jobs

    assert not [each for each in seen if "raw" in each]
    (step,) = planned.nodes[sources[0]].steps
    assert isinstance(step, JobOperation)
    assert step.configuration["labels"]["dbt_invocation_id"] == planned.run.invocation_id
    assert step.configuration == sent.spec.configuration
    assert planned.nodes[sources[1]].steps == ()


FOREIGN = {
    "macros/freshness.sql": """
        {% macro collect_freshness(source, loaded_at_field, filter) %}
          {{ return(dbt.collect_freshness(source, loaded_at_field, filter)) }}
        {% endmacro %}
        """,
    "macros/ask.sql": """
        {% macro ask() %}{% do run_query("select 1 as one") %}select max(loaded_at) from {{ this }}{% endmacro %}
        """,
    "models/more.yml": """
        sources:
          - name: more
            database: kitchen-project
            schema: raw
            tables:
              - name: wild
                identifier: orders_*
                freshness: {warn_after: {count: 6, period: hour}}
              - name: asking
                config:
                  loaded_at_query: "{{ ask() }}"
                  freshness: {warn_after: {count: 6, period: hour}}
        """,
}


@newest_dbt
def test_what_dbt_finds_out_in_another_way_is_left_to_it(opened: OpenDbt, till: Path, google: FakeGoogle):
    """
    The project's own macro, a table with a wildcard, a query that asks first, and the batches of a behaviour flag.
    """
    for name, text in FOREIGN.items():
        (till / name).parent.mkdir(exist_ok=True)
        (till / name).write_text(textwrap.dedent(text))
    config = (till / "dbt_project.yml").read_text()
    (till / "dbt_project.yml").write_text(config + "\nflags: {bigquery_use_batch_source_freshness: true}\n")
    google.on_query("select 1 as one", rows=[{"one": 1}], schema=[{"name": "one", "type": "INTEGER"}])
    names = ("till.orders", "till.stock", "more.wild", "more.asking")
    with opened(till) as dbt:
        nodes = record_plan(
            dbt, dag_id="d", run_id="r", sources=[f"source.shop.{name}" for name in names]
        ).plan.nodes

    found = {name: nodes[f"source.shop.{name}"] for name in names}
    assert {plan.level for plan in found.values()} == {Level.DBT}
    for name, why in zip(names, ("package shop", "bigquery_use_batch", "wildcard", "by one query")):
        assert why in found[name].reason
