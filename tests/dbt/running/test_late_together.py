"""
Late nodes that are planned together: each plan is the one that the node has when it is planned alone.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from cosmos_async.dbt.planner.late import plan_late
from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.plan.model import Level, NodePlan, RunInfo, dump_node
from cosmos_async.testing import FakeGoogle

from .conftest import OpenDbt, newest_dbt

pytestmark = pytest.mark.dbt

#: What dbt calls by the time of day.
STAMP = re.compile(r"(?<=__dbt_tmp)\w*\d{12}")

#: `a_maker` comes first, and whatever it does is seen by those after it, were it done.
FILES = {
    "dbt_project.yml": 'name: shop\nversion: "1.0"\nprofile: kitchen\n',
    "macros/found.sql": """
        {% macro found(sql) %}
        {{ return(run_query(sql).columns[0].values() | join(",") if execute else "") }}
        {% endmacro %}
        """,
    "models/base.sql": "{{ config(materialized='table') }} select 1 as id",
    "models/a_maker.sql": """
        {{ config(materialized="incremental", unique_key="id", on_schema_change="append_new_columns", post_hook=[
          "create or replace table {{ target.schema }}.z_reader as select 'by a hook' as said",
          "drop table if exists {{ target.schema }}.base",
        ]) }}
        select id, '{{ found("select id from " ~ ref("base")) }}' as ids from {{ ref("base") }}
        """,
    "models/b_lister.sql": """
        -- depends_on: {{ ref('base') }}
        {% set schema = api.Relation.create(database=target.database, schema=target.schema).without_identifier() %}
        select '
        {%- if execute %}{% for one in dbt.list_relations_without_caching(schema) %} {{ one }}{% endfor %}{% endif %}' as names
        """,
    "models/c_describer.sql": """
        -- depends_on: {{ ref('base') }}
        select '{{ found("select table_name from " ~ target.schema ~ ".INFORMATION_SCHEMA.TABLES") }}' as names
        """,
    "models/d_knower.sql": """
        {% set ids = found("select id from " ~ ref("base")) %}
        select '{{ ids }}' as ids,
        {% for name in ("base", "a_maker", "z_reader") %}
          '{{ adapter.get_relation(target.project, target.schema, name) if execute }}' as {{ name }},
        {% endfor %}
          '{{ found("select said from " ~ target.schema ~ ".z_reader") }}' as said
        """,
    "models/between.sql": """
        {{ config(materialized="ephemeral") }}
        select '{{ found("select id from " ~ ref("base")) }}' as ids
        """,
    "models/e_child.sql": "select * from {{ ref('between') }}",
    "models/f_child.sql": "{{ config(materialized='table') }} select ids, 1 as one from {{ ref('between') }}",
    "models/z_reader.sql": """
        {{ config(materialized='table') }}
        select '{{ found("select id from " ~ ref("base")) }}' as said
        """,
    "models/schema.yml": """
        models:
          - name: base
            columns:
              - name: id
                data_tests: [unique]
        """,
    "tests/asks.sql": "select * from {{ ref('base') }} where '{{ found(\"select id from \" ~ ref(\"base\")) }}' = ''",
}
LATE = [f"model.shop.{name}" for name in ("a_maker", "b_lister", "c_describer", "d_knower")]
LATE += ["model.shop.e_child", "model.shop.f_child", "model.shop.z_reader", "test.shop.asks"]
#: Those that are planned alone as well, each of which costs a dbt: they look at what others of them would do.
ALONE = [f"model.shop.{name}" for name in ("b_lister", "c_describer", "d_knower", "f_child", "z_reader")]


@pytest.fixture
def project(tmp_path: Path, google: FakeGoogle) -> Path:
    """The project, with what an earlier run has left of it."""
    fields = [{"name": "id", "type": "INTEGER"}]
    google.on_query("", schema=fields)
    google.on_query("(?s)^((?!create).)*select id from", rows=[{"id": 1}], schema=fields)
    google.on_query("select table_name from", rows=[{"table_name": "base"}])
    google.on_query("select said from", rows=[{"said": "before"}])
    for name in ("base", "a_maker", "z_reader"):
        google.add_table("kitchen-project", "kitchen", name, schema=fields)
    root = tmp_path / "shop"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    return root


def planned(opened: OpenDbt, project: Path) -> tuple[RunInfo, bytes]:
    """Plan the run, and return what the index tells of it and the parsed project."""
    with opened(project) as dbt:
        plan = record_plan(dbt, dag_id="d", run_id="r", changing=None).plan
        assert [unique_id for unique_id, node in plan.nodes.items() if node.level is Level.LATE] == LATE
        assert plan.parsed is not None
        return plan.run, plan.parsed.read_bytes()


def told(plan: NodePlan) -> str:
    """A plan, without the names that differ from one recording to the next."""
    return STAMP.sub("", dump_node(plan).decode())


@newest_dbt
def test_each_plan_is_what_it_is_alone(opened: OpenDbt, project: Path, lines: list[str]):
    """
    Whatever the others write, drop or list: what one would do is not done while the others are planned.
    """
    run, parsed = planned(opened, project)
    reasons = dict.fromkeys(LATE, "It has its reasons.")
    alone = {}
    with opened(
        project, threads=1
    ) as dbt:  # one after the other, so that the first one's changes would be met
        for unique_id in ALONE:
            alone.update(plan_late(dbt, {unique_id: reasons[unique_id]}, run=run, parsed=parsed).nodes)
        lines.clear()

        together = plan_late(dbt, reasons, run=run, parsed=parsed).nodes

    assert len([line for line in lines if "planning with dbt-core" in line]) == 1
    assert {plan.level for plan in alone.values()} <= {Level.STATIC, Level.GUARDED, Level.NATIVE}, alone
    assert {plan.level for plan in together.values()} <= {Level.STATIC, Level.GUARDED, Level.NATIVE}
    for unique_id in ALONE:
        assert told(together[unique_id]) == told(alone[unique_id])
