"""
Nodes that read what the run builds first are planned by what is there now, as far as a guard can repeat that in time.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from cosmos_async.dbt.planner.record import record_plan
from cosmos_async.plan.model import Guard, GuardKind, Level, NodePlan
from cosmos_async.testing import FakeGoogle

from .conftest import OpenDbt, newest_dbt

pytestmark = pytest.mark.dbt

FIELDS = [{"name": "id", "type": "INTEGER"}]
KEEP = """
    {% macro keep(ids) %}{% if execute %}{% do graph.update({"kept": ids}) %}{% endif %}{% endmacro %}
    {% macro kept() %}{{ graph.kept if execute else "" }}{% endmacro %}
    """
FOUND = """
    {% macro found(sql) %}
    {{ return(run_query(sql).columns[0].values() | join(",") if execute else "") }}
    {% endmacro %}
    """
#: Builds only what is new, and finds nothing.
IDLE = """
    {% materialization idle, adapter="bigquery" %}
    {% set ids = found("select id from " ~ this.incorporate(path={"identifier": "base"})) %}
    {% if ids == "7" %}
      {% call noop_statement("main", "nothing new") %}{{ sql }}{% endcall %}
    {% else %}
      {% call statement("main") %}insert into {{ this }} {{ sql }}{% endcall %}
    {% endif %}
    {{ return({"relations": [this]}) }}
    {% endmaterialization %}
    """
ASK = '\'{{ found("select id from " ~ ref("base")) }}\' as ids'
MODELS = {
    "base": "select 1 as id",
    "pivot": f"select {ASK}",
    "described": "select * from (select table_name from {{ target.schema }}.INFORMATION_SCHEMA.TABLES) "
    "where '{{ found(\"select table_name from \" ~ target.schema ~ \".INFORMATION_SCHEMA.TABLES\") }}' != '' "
    "-- {{ ref('base') }}",
    "changing": f"select {ASK}",
    "after_a_write": "{{ config(pre_hook='insert into log values (1)') }} "
    "select 1 as id, '{{ found(\"select id from log\") }}' as ids {{ ref('base') and '' }}",
    "between": f"{{{{ config(materialized='ephemeral') }}}} select {ASK}",
    "child": "select * from {{ ref('between') }}",
    "thin": "{{ config(materialized='ephemeral') }} select '{{ found(\"select id from log\") }}' as ids",
    "of_thin": "select * from {{ ref('thin') }}",
    "of_thin_too": "select ids from {{ ref('thin') }}",
    "not_there": 'select \'{{ found("select id from " ~ ref("fresh")) }}\' as ids',
    "fresh": "select 2 as id",
    "windows": "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='at', "
    "batch_size='day', begin='2026-01-01', partition_by={'field': 'at', 'data_type': 'timestamp', 'granularity': 'day'}) }} "
    f"select timestamp '2026-01-01' as at, {ASK}",
    "idle": "{{ config(materialized='idle') }} select 3 as id -- {{ ref('base') }}",
    "remembering": "{% if execute and not graph.ids %}{% do graph.update({'ids': found('select id from ' ~ ref('base'))}) %}"
    "{% endif %}select '{{ graph.ids }}' as ids -- {{ ref('base') }}",
    "cached": "{% set ids = found('select id from ' ~ ref('base')) %}{% do keep(ids) %}select '{{ ids }}' as ids",
    "of_cache": "-- {{ ref('cached') }}\nselect '{{ kept() }}' as ids",
    "noted": "-- {{ ref('base') }}\n{% do var('memo').update({'ids': found('select id from ' ~ ref('base'))}) if execute %}select 1 as id",
    "of_note": "-- {{ ref('noted') }}\nselect '{{ var('memo').get('ids') }}' as ids",
    "finding": "select {{ 1 if adapter.get_relation(target.database, target.schema, 'next_id') else 2 }} as id",
    "failing": f"select {ASK} {{% if found('select id from ' ~ ref('base')) == '7' %}}"
    "{{ exceptions.raise_compiler_error('7 is too many.') }}{% endif %}",
    "opaque": "select id from later",
    "of_opaque": "-- depends_on: {{ ref('opaque') }}\n{% set columns = adapter.get_columns_in_relation(ref('opaque')) if execute else [] %}"
    "select 1 as id{% for one in columns %}, 1 as {{ one.name }}_{{ loop.index }}{% endfor %}",
}


@pytest.fixture
def project(tmp_path: Path, google: FakeGoogle) -> Path:
    """The project, with what an earlier run has left of it: all but `fresh`."""
    google.on_query("", schema=FIELDS)
    google.on_query("(?s)^((?!create).)*select id from", rows=[{"id": 7}], schema=FIELDS)
    google.on_query("select table_name from", rows=[{"table_name": "base"}])
    google.on_query("select id from.*fresh", error=("notFound", "Not found: Table fresh"))
    google.on_query("from later", error=("notFound", "Not found: Table later"))  # a hook may make it
    for name in {*MODELS} - {"between", "thin", "fresh"}:
        google.add_table("kitchen-project", "kitchen", name, schema=FIELDS)
    root = tmp_path / "shop"
    files = {f"models/{name}.sql": text for name, text in MODELS.items()}
    files |= {
        "dbt_project.yml": 'name: shop\nversion: "1.0"\nprofile: kitchen\nmodels: {+materialized: table}\nvars: {memo: {}}\n',
        "macros/found.sql": FOUND,
        "macros/idle.sql": IDLE,
        "macros/keep.sql": KEEP,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    return root


def planned(opened: OpenDbt, project: Path, **options: object) -> dict[str, NodePlan]:
    """Plan the run, and return the plans of nodes by name."""
    with opened(project) as dbt:
        nodes = record_plan(dbt, dag_id="d", run_id="r", **options).plan.nodes  # type: ignore[arg-type]
    return {node.name: node for node in nodes.values()}


@newest_dbt
def test_what_is_there_now_is_asked_now_and_once_more_at_the_nodes_turn(opened: OpenDbt, project: Path):
    """Rows, metadata, and columns that nobody can foretell; the reason tells what is assumed."""
    nodes = planned(opened, project, changing=["model.shop.changing"])

    kinds = dict.fromkeys(("pivot", "described", "idle"), GuardKind.ROWS) | {"of_opaque": GuardKind.TABLE}
    for name, kind in kinds.items():
        node = nodes[name]
        assert node.level is Level.GUARDED, f"{name}: {node.reason}"
        assert node.assumed
        assert [step.kind for step in node.steps if isinstance(step, Guard) and step.assumed] == [kind]
        assert "as they are before the run" in node.reason
    assert "select '7' as ids" in (nodes["pivot"].compiled_code or "")
    assert not nodes["base"].assumed
    assert nodes["idle"].compiled_code is not None
    assert len(nodes["idle"].steps) == 1, "it has nothing to do, as long as that is so"


@newest_dbt
def test_what_is_there_now_may_be_what_a_node_cannot_be_compiled_with(opened: OpenDbt, project: Path):
    """At its turn there is something else; without assumptions it would be planned then, too."""
    node = planned(opened, project)["failing"]

    assert node.level is Level.LATE
    assert "With what is there now it fails: " in node.reason
    assert "7 is too many." in node.reason


@newest_dbt
def test_nothing_is_assumed_where_a_wrong_answer_costs_more_than_a_late_plan(opened: OpenDbt, project: Path):
    """What has come to write, batches, ephemeral models, dbt's memory, what is not there, and what was wrong before."""
    nodes = planned(opened, project, changing=["model.shop.changing"])

    late = {name for name, node in nodes.items() if node.level is Level.LATE}
    assert late == {
        "changing",
        "child",
        "not_there",
        "windows",
        "failing",
        "remembering",
        "cached",
        "of_cache",
        "noted",
        "of_note",
    }
    assert nodes["after_a_write"].level is Level.GUARDED, "it reads what no node builds"
    assert "which this run builds first (model.shop.fresh)" in nodes["not_there"].reason


@newest_dbt
def test_it_can_be_switched_off(opened: OpenDbt, project: Path):
    """Then each is planned at its turn, by what is there then."""
    nodes = planned(opened, project, changing=None)

    assert not any(node.assumed for node in nodes.values())
    assert {"pivot", "described", "of_opaque"} <= {
        name for name, node in nodes.items() if node.level is Level.LATE
    }


@newest_dbt
def test_what_an_ephemeral_model_reads_that_is_not_selected_is_asked_again_for_each_child(
    opened: OpenDbt, project: Path
):
    """dbt compiles it once, for the first of them."""
    with opened(project, select=["of_thin", "of_thin_too"]) as dbt:
        nodes = record_plan(dbt, dag_id="d", run_id="r").plan.nodes

    asked = {
        node.name: [step.kind for step in node.steps if isinstance(step, Guard)].count(GuardKind.ROWS)
        for node in nodes.values()
    }
    assert asked == {"of_thin": 1, "of_thin_too": 1}


@newest_dbt
@pytest.mark.parametrize(
    ("name", "where"), [("cached", "graph"), ("noted", "a variable that holds a list or mapping")]
)
def test_who_leaves_something_for_others_has_no_plan_for_the_next_run(
    opened: OpenDbt, project: Path, name: str, where: str
):
    """There, each of them may be planned by itself."""
    with opened(project, select=["base"]) as dbt:
        record_plan(dbt, dag_id="d", run_id="r")  # which parses the project, where graph is used as well
    with opened(project, select=[name]) as dbt:
        recording = record_plan(dbt, dag_id="d", run_id="r").recording

    assert recording["once"] == f"model.shop.{name} changes {where}, which other nodes see"


@newest_dbt
def test_a_function_is_found_where_dbt_looks_for_a_relation(
    opened: OpenDbt, project: Path, google: FakeGoogle
):
    """Since dbt 1.12, which lists them when the run begins, and goes by that to its end."""
    google.catalog.add_routine("kitchen-project", "kitchen", "next_id")

    with opened(project, select=["finding"]) as dbt:
        made = record_plan(dbt, dag_id="d", run_id="r")

    (node,) = made.plan.nodes.values()
    assert "select 1 as id" in (node.compiled_code or "")
    assert not any("next_id" in step.subject for step in node.steps if isinstance(step, Guard))
    assert made.recording["run"]["routines"] == {"kitchen-project.kitchen": {"next_id": "SCALAR_FUNCTION"}}
