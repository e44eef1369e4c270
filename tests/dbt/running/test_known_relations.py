"""
Later in a run dbt knows of the warehouse what it knew at the run's beginning, and what its own nodes have told it.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from cosmos_async.dbt.planner.late import plan_late
from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.dbt.run_node import run_node
from cosmos_async.plan.model import Guard, GuardKind, JobOperation
from cosmos_async.plan.outcome import Status
from cosmos_async.testing import FakeGoogle

from .conftest import OpenDbt

pytestmark = pytest.mark.dbt

ASKS = "model.asks.asks"
FILES = {
    "dbt_project.yml": """
        name: asks
        version: "1.0"
        profile: kitchen
        """,
    "models/first.sql": """
        {{ config(materialized="table", post_hook=[
          "create table {{ target.schema }}.by_hook as select 1 as id",
          "drop table {{ target.schema }}.dropped_by_hook",
          "{{ drops('dropped_by_dbt') }}",
        ]) }}
        select 1 as id
        """,
    "macros/drops.sql": """
        {% macro drops(name) %}
          {% set found = adapter.get_relation(target.project, target.schema, name) %}
          {% if execute and found %}{% do adapter.drop_relation(found) %}{% endif %}
        {% endmacro %}
        """,
    "models/asks.sql": """
        -- depends_on: {{ ref('first') }}
        {{ config(materialized="table") }}
        select
        {% for name in ("first", "by_hook", "dropped_by_hook", "dropped_by_dbt", "always", "asks") %}
          {{ "1" if execute and adapter.get_relation(target.project, target.schema, name) else "0" }} as {{ name }},
        {% endfor %}
        """,
}
#: As one `dbt build` says it.
KNOWN = "1 as first, 0 as by_hook, 1 as dropped_by_hook, 0 as dropped_by_dbt, 1 as always, 0 as asks,"


@pytest.fixture
def asking(tmp_path: Path, google: FakeGoogle) -> Path:
    """A project whose first model changes the warehouse behind dbt's back, and what is there before."""
    for name in ("dropped_by_hook", "dropped_by_dbt", "always"):
        google.add_table("kitchen-project", "kitchen", name, schema=[{"name": "id", "type": "INTEGER"}])
    root = tmp_path / "asks"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return root


def first_is_built(google: FakeGoogle) -> None:
    """Let the warehouse be as the first model leaves it."""
    for name in ("first", "by_hook"):
        google.add_table("kitchen-project", "kitchen", name, schema=[{"name": "id", "type": "INTEGER"}])
    for name in ("dropped_by_hook", "dropped_by_dbt"):
        google.catalog.remove_table("kitchen-project", "kitchen", name)


@pytest.mark.parametrize("parses", [False, True], ids=["as parsed", "parsed anew"])
def test_a_late_plan_knows_what_dbt_would_know(
    opened: OpenDbt, asking: Path, google: FakeGoogle, parses: bool
):
    """
    Its guards say what BigQuery has, so that it is carried out all the same.
    """
    with opened(asking) as dbt:
        plan = record_plan(dbt, dag_id="d", run_id="r").plan
        assert plan.parsed is not None
        run, parsed = plan.run, plan.parsed.read_bytes()
    first_is_built(google)
    if parses:
        run = replace(run, dbt_version="1.0.0")

    with opened(asking) as dbt:
        late = plan_late(dbt, {ASKS: "It has its reasons."}, run=run, parsed=parsed).nodes[ASKS]

    (job,) = [step for step in late.steps if isinstance(step, JobOperation) and step.main]
    assert KNOWN in " ".join(job.configuration["query"]["query"].split())
    expected = {
        step.request["table"]: step.expected
        for step in late.steps
        if isinstance(step, Guard) and step.kind is GuardKind.TARGET_STATE
    }
    assert expected["by_hook"] == "TABLE"
    assert expected["dropped_by_hook"] == expected["asks"] == "absent"


def test_setup_foretells_what_dbt_will_know(opened: OpenDbt, asking: Path):
    """
    And its guards, what BigQuery has by then: the plan need not be made anew because dbt does not know everything.
    """
    with opened(asking) as dbt:
        node = record_plan(dbt, dag_id="d", run_id="r").plan.nodes[ASKS]

    (job,) = [step for step in node.steps if isinstance(step, JobOperation) and step.main]
    assert KNOWN in " ".join(job.configuration["query"]["query"].split())
    expected = {
        step.request["table"]: step.expected
        for step in node.steps
        if isinstance(step, Guard) and step.kind is GuardKind.TARGET_STATE
    }
    assert expected["by_hook"] == expected["first"] == "TABLE"
    assert expected["dropped_by_hook"] == expected["dropped_by_dbt"] == "absent"


def test_real_dbt_for_one_node_knows_what_dbt_would_know(opened: OpenDbt, asking: Path, google: FakeGoogle):
    """
    It is another process than the run's, and lists what is there now.
    """
    with opened(asking) as dbt:
        plan = record_plan(dbt, dag_id="d", run_id="r").plan
        assert plan.parsed is not None
        run, parsed = plan.run, plan.parsed.read_bytes()
    first_is_built(google)

    with opened(asking) as dbt:
        outcome = run_node(dbt, ASKS, try_number=1, run=run, parsed=parsed)

    assert outcome.status is Status.SUCCESS, outcome.message
    assert KNOWN in " ".join((outcome.compiled_code or "").split())
