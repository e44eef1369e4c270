"""
A model whose own SQL, while dbt compiles it, changes columns: of its seed, or of a table that it then reads.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_async.plan.model import Level
from cosmos_async.testing import FakeGoogle
from tests.dbt.recording import profile_of, record
from tests.dbt_versions import NEWEST

pytestmark = pytest.mark.dbt

FILES = {
    "dbt_project.yml": "{name: columns, version: '1.0.0', profile: columns}",
    "profiles.yml": profile_of("columns", "columns-project"),
    "models/numbers.sql": "{{ config(materialized='table') }} select 1 as id",
    # dbt changes a type by replacing the table with a query of itself.
    "models/retyped.sql": """
{{ alter_column_type(ref("numbers"), "id", "string") }}
{% set columns = adapter.get_columns_in_relation(ref("numbers")) %}
select {{ columns | map(attribute="name") | join(", ") }} from {{ ref("numbers") }}
""",
    "models/widened.sql": """
{% do alter_relation_add_remove_columns(ref("numbers"), [api.Column("more", "string")], none) %}
select id from {{ ref("numbers") }}
""",
}


async def test_a_column_that_is_added_while_a_model_is_compiled_is_real_dbts_to_add(tmp_path: Path) -> None:
    """Where it fails, dbt tells of a model that it could not compile. And a table replaced by itself is no riddle."""
    project = tmp_path / "project"
    for name, text in FILES.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    async with FakeGoogle(project_id="columns-project") as google:
        google.add_dataset("columns-project", "shop")
        recorded = await record(google, NEWEST, tmp_path, project=project)

    nodes = {plan.name: plan for plan in recorded.plan.nodes.values()}
    assert nodes["widened"].level is Level.DBT
    assert "Its SQL itself changes the columns of columns-project.shop.numbers." in nodes["widened"].reason
    assert nodes["numbers"].level is not Level.DBT
    assert recorded.mutations == []
