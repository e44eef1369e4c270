"""
Nodes that list what a dataset contains: compared again before they write, and listed late where the run changes it.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.dbt.late.test_late_plans import emptied
from tests.dbt_versions import NEWEST
from tests.fidelity.driver import Bench, Options
from tests.warehouse.child import ROOT
from tests.warehouse.fixture import Warehouse, warehouse

__all__ = ["warehouse"]

pytestmark = [pytest.mark.dbt, pytest.mark.warehouse, pytest.mark.slow]

FILES = {
    "dbt_project.yml": """
        name: listed
        version: "1.0.0"
        profile: listed
        on-run-start:
          - create or replace view {{ target.schema }}.begun as select '{{ names(target.schema) }}' as names
          - create table if not exists {{ target.schema }}.log (said string)
          - insert into {{ target.schema }}.log values ('{{ names(target.schema ~ "_kept") }}')
        """,
    "macros/names.sql": """
        {% macro names(dataset) %}
        {% set found = [] %}
        {% if execute %}
          {% set schema = api.Relation.create(database=target.database, schema=dataset).without_identifier() %}
          {% for one in dbt.list_relations_without_caching(schema) %}
            {% do found.append(one.identifier ~ " is a " ~ one.type) %}
          {% endfor %}
        {% endif %}
        {{ return(found | sort | join(", ")) }}
        {% endmacro %}
        """,
    "models/elsewhere.sql": "select '{{ names(target.schema ~ \"_kept\") }}' as names",
    "models/nowhere.sql": "select '{{ names(target.schema ~ \"_missing\") }}' as names",
    "models/one.sql": "{{ config(materialized='table') }} select 1 as id",
    "models/own.sql": "-- depends_on: {{ ref('one') }}\nselect '{{ names(target.schema) }}' as names",
    "models/known.sql": """
        {{ config(materialized='table') }}
        select {{ execute and target.schema ~ "_kept" in adapter.list_schemas(target.database) }} as kept,
          {{ execute and target.schema in adapter.list_schemas(target.database) }} as own
        """,
}


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A project that lists datasets: its own, another one, and one that is not there."""
    root = tmp_path / "listed"
    profile = (ROOT / "tests" / "projects" / "pantry" / "profiles.yml").read_text()
    for name, text in {**FILES, "profiles.yml": profile.replace("pantry:", "listed:", 1)}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    return root


@pytest.mark.parametrize("version", [NEWEST, "1.9"], ids=lambda version: f"dbt-{version}")
def test_what_a_dataset_contains_is_what_dbt_finds_there(
    warehouse: Warehouse,
    tmp_path: Path,
    listed: Path,
    version: str,
) -> None:
    """In nodes and in hooks; in a dataset of the run as far as it is built by then."""
    bench = Bench(warehouse, tmp_path, version=version)
    pair = emptied(bench.pair(f"listed{version.replace('.', '')}", listed))
    for side in (pair.ours, pair.theirs):
        warehouse.query(f"create schema `{side.dataset}_kept`")
        warehouse.query(f"create table `{side.dataset}_kept`.orders as select 1 as id")
        warehouse.query(f"create view `{side.dataset}_kept`.shown as select 1 as id")

    first = bench.step(pair, Options(name="first"))
    for side in (pair.ours, pair.theirs):
        warehouse.query(f"create table `{side.dataset}_kept`.more as select 1 as id")
    second = bench.step(pair, Options(name="second"))

    for step in (first, second):
        assert step.verdict == "same", step.told()
        levels = {node.unique_id.split(".")[2]: (node.level, node.reason) for node in step.nodes}
        assert levels["elsewhere"][0] == levels["nowhere"][0] == levels["known"][0] == "G"
        assert "lists the tables of" in levels["elsewhere"][1]
        assert levels["own"][0] == "L"
        assert "which this run changes" in levels["own"][1]
    said = warehouse.query(f"select names from `{pair.ours.dataset}`.elsewhere")
    assert said == [{"names": "more is a table, orders is a table, shown is a view"}]
