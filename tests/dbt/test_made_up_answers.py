"""
A job that is not sent has no row count, no id and perhaps no foreseeable rows: no plan is made of them.
"""

from __future__ import annotations

import asyncio
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from cosmos_async.plan.model import Level, NodePlan
from cosmos_async.testing import FakeGoogle
from tests.dbt.made_up_shapes import FILES, PLANNED, USING, models
from tests.dbt.recording import Recorded, profile_of, record
from tests.dbt_versions import NEWEST

pytestmark = pytest.mark.dbt

ALTERED = Path(__file__).with_name("altered.py")
ID = [{"name": "id", "type": "INTEGER", "mode": "NULLABLE"}]
PROFILE = profile_of("kinds", "made-up-project")
#: Kinds of nodes whose making asks for results, of dbt's own accord.
ORDINARY = {
    "models/incremental.sql": """
        {{ config(materialized="incremental", unique_key="id", on_schema_change="append_new_columns") }}
        select id from {{ ref("ids") }}
        """,
    "models/seen.sql": "select id from {{ ref('ids') }}",
    "models/redescribed.sql": """
        {{ config(materialized="table", persist_docs={"columns": true}) }}
        select id from {{ ref("ids") }}
        """,
    "models/renewed.sql": """
        {{ config(materialized="incremental", incremental_strategy="insert_overwrite",
            partition_by={"field": "id", "data_type": "int64", "range": {"start": 0, "end": 9, "interval": 1},
            "copy_partitions": true}) }}
        select id from {{ ref("ids") }}
        """,
    "snapshots/kept.sql": """
        {% snapshot kept %}{{ config(unique_key="id", strategy="check", check_cols="all", target_schema="shop") }}
        select id from {{ ref("ids") }}{% endsnapshot %}
        """,
    "models/schema.yml": """
        models:
          - {name: seen, columns: [{name: id, data_tests: [unique]}]}
          - {name: redescribed, columns: [{name: id, description: A number.}]}
        unit_tests:
          - name: sees
            model: seen
            given: [{input: ref('ids'), rows: [{id: 1}]}]
            expect: {rows: [{id: 1}]}
        """,
    "macros/again.sql": """
        {% macro bigquery__alter_column_comment(relation, column_dict) %}
        {% for name in column_dict %}
        {% do run_query("alter table " ~ relation ~ " alter column " ~ name ~ " set options (description='x')") %}
        {% endfor %}
        {% endmacro %}
        """,
}


async def recorded_with(version: str, folder: Path, **options: Any) -> Recorded:
    """Record all of them, beside tables of an earlier run."""
    project = folder / "project"
    files = {**FILES, **models(*USING, *PLANNED), **ORDINARY, "profiles.yml": PROFILE}
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(textwrap.dedent(text))
    async with FakeGoogle(project_id="made-up-project") as google:
        google.add_dataset("made-up-project", "shop")
        google.add_table("made-up-project", "shop", "audit", schema=[{"name": "what", "type": "STRING"}, *ID])
        for name in ("ids", "rows_merged", "incremental", "renewed"):
            google.add_table("made-up-project", "shop", name, schema=ID)
        google.on_query("", schema=ID)
        google.on_query("select 7 as n", schema=[{**ID[0], "name": "n"}], rows=[[7]])
        return await record(google, version, folder, project=project, **options)


@pytest.fixture(scope="module", params=[NEWEST, pytest.param("1.9", marks=pytest.mark.slow)])
def version(request: Any) -> str:
    """Each generation of dbt."""
    return str(request.param)


@pytest.fixture(scope="module")
def recorded(version: str, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """The recorder's own answers."""
    return asyncio.run(recorded_with(version, tmp_path_factory.mktemp("recorded")))


def plans(recorded: Recorded) -> dict[str, NodePlan]:
    """Return the nodes' plans by the nodes' names."""
    return {plan.name: plan for plan in recorded.plan.nodes.values()}


@pytest.mark.parametrize("name", USING)
def test_a_node_that_uses_what_is_not_known_is_left_to_dbt(recorded: Recorded, name: str) -> None:
    """Whatever way its template takes to look at it."""
    plan = plans(recorded)[name]

    assert plan.level is Level.DBT
    assert re.search("^It uses .*(known once|may also change)", plan.reason)


@pytest.mark.parametrize("name", PLANNED)
def test_a_node_that_uses_what_is_certain_is_planned(recorded: Recorded, name: str) -> None:
    """No rows come of an INSERT, and of what is only handed on nothing depends."""
    assert plans(recorded)[name].level in (Level.STATIC, Level.GUARDED)


def test_dbt_s_own_kinds_are_planned(recorded: Recorded) -> None:
    """dbt makes a node's result of what nobody knows, and none of its statements."""
    found = {name: plan.level for name, plan in plans(recorded).items() if plan.level is Level.DBT}

    assert set(found) - set(USING) <= {"redescribed"}


def test_columns_that_a_macro_of_the_project_describes_are_real_dbts(
    recorded: Recorded, version: str
) -> None:
    """It is given those that the table has by then; dbt 1.9 gives it all of them, and so do we."""
    plan = plans(recorded)["redescribed"]

    assert plan.level is (Level.STATIC if version == "1.9" else Level.DBT)
    assert ("alter column id" in str(plan.steps)) is (version == "1.9")


def steps(recorded: Recorded) -> dict[str, Any]:
    """Return level and steps of each node with steps, without what two recordings cannot have in common."""
    found = {}
    for plan in recorded.plan.nodes.values():
        text = str(plan.steps).replace(recorded.recording["invocation_id"], "<invocation>")
        if plan.steps:
            found[plan.name] = (plan.level, re.sub(r"__dbt_tmp_?\d+", "__dbt_tmp", text))
    return found


@pytest.mark.parametrize("seed", range(2))
async def test_no_plan_depends_on_what_is_made_up(
    tmp_path: Path, seed: int, version: str, recorded: Recorded
) -> None:
    """Whatever the recorder answers instead, each node that has steps has the same ones."""
    altered = await recorded_with(version, tmp_path, recorder=[ALTERED], ALTERED_SEED=str(seed))

    assert steps(altered) == steps(recorded)
    assert told(altered) != told(recorded)  # dbt has met other answers


def told(recorded: Recorded) -> list[Any]:
    """Return how many rows dbt takes each node to have written."""
    return [node["adapter_response"].get("rows_affected") for node in recorded.recording["nodes"].values()]
