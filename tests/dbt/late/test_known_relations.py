"""
What a node late in a run knows of the warehouse: the same as in one ``dbt build``, whatever hooks did meanwhile.
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

pytestmark = [pytest.mark.dbt, pytest.mark.warehouse]

FILES = {
    "dbt_project.yml": """
        name: known
        version: "1.0.0"
        profile: known
        """,
    "macros/knows.sql": """
        {% macro knows() %}
        {% for name in ("first", "by_hook", "kept") %}
          {{ "1" if execute and adapter.get_relation(target.project, target.schema, name) else "0" }} as {{ name }},
        {% endfor %}
        {% endmacro %}
        """,
    "models/first.sql": """
        {{ config(materialized="table", post_hook=[
          "create or replace table {{ target.schema }}.by_hook as select 1 as id",
          "drop table if exists {{ target.schema }}.kept",
        ]) }}
        select 1 as id
        """,
    "models/early.sql": """
        -- depends_on: {{ ref('first') }}
        {{ config(materialized="table") }}
        select {{ knows() }} 1 as one
        """,
    # Its rows make it late.
    "models/late.sql": """
        -- depends_on: {{ ref('first') }}
        {{ config(materialized="table") }}
        {% set rows = run_query("select id from " ~ ref("first")).rows | length if execute else 0 %}
        select {{ knows() }} {{ rows }} as n
        """,
}


def test_a_late_node_knows_what_dbt_build_knows(warehouse: Warehouse, tmp_path: Path) -> None:
    """On the first build a hook's table is not there for dbt, and its dropped one is; on the second it is known."""
    root = tmp_path / "known"
    profile = (ROOT / "tests" / "projects" / "pantry" / "profiles.yml").read_text()
    for name, text in {**FILES, "profiles.yml": profile.replace("pantry:", "known:", 1)}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    bench = Bench(warehouse, tmp_path, version=NEWEST)
    pair = emptied(bench.pair("known", root))
    for side in (pair.ours, pair.theirs):
        warehouse.query(f"create schema if not exists `{side.dataset}`")
        warehouse.query(f"create table `{side.dataset}`.kept as select 1 as id")

    for name, by_hook, kept in (("first", "0", "1"), ("second", "1", "0")):
        step = bench.step(pair, Options(name=name))

        assert step.verdict == "same", step.told()
        levels = {node.unique_id.split(".")[2]: node.level for node in step.nodes}
        # What it reads is there on the second build, and the same by its turn.
        assert levels["late"] == ("L" if name == "first" else "G")
        assert levels["early"] in ("S", "G"), "it is carried out as setup planned it"
        for model in ("early", "late"):
            said = warehouse.query(f"select first, by_hook, kept from `{pair.ours.dataset}`.{model}")
            assert said == [{"first": "1", "by_hook": by_hook, "kept": kept}]
