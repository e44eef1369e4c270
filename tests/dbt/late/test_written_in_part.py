"""A warehouse that changes between setup and a node's turn: hooks run once, and the table ends as dbt would leave it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_async.plan.model import Guard
from tests.dbt.carried import carry_out
from tests.dbt_versions import NEWEST
from tests.warehouse.fixture import Warehouse, warehouse

__all__ = ["warehouse"]

pytestmark = [pytest.mark.dbt, pytest.mark.warehouse]

DATASET = "written_in_part"
FILES = {
    "dbt_project.yml": "{name: hooked, version: '1.0.0', config-version: 2, profile: hooked}",
    "models/orders.sql": """
{{ config(materialized='incremental', on_schema_change='append_new_columns', unique_key='id',
          pre_hook="insert into {{ target.schema }}.audit values ('orders')") }}
select 1 as id, 2 as amount
""",
}


def project_in(folder: Path, profiles: str) -> Path:
    """Write the project."""
    for name, text in {**FILES, "profiles.yml": profiles}.items():
        path = folder / "hooked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "hooked"


def test_a_pre_hook_runs_once_though_a_column_was_added_since_setup(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """What dbt reads behind the hook is asked before it as well."""
    warehouse.drop_all(DATASET)
    warehouse.query(f"create schema `{DATASET}`")
    warehouse.query(f"create table `{DATASET}`.audit (name string)")
    kitchen = Path(__file__).parents[2] / "projects" / "kitchen" / "profiles.yml"
    project = project_in(tmp_path, kitchen.read_text().replace("kitchen:", "hooked:", 1))
    first = carry_out(warehouse, project, dataset=DATASET, version=NEWEST, folder=tmp_path / "first" / "run")
    assert first.by_dbt == {}

    def add_column() -> None:
        warehouse.query(f"alter table `{DATASET}`.orders add column added int64")

    second = carry_out(
        warehouse,
        project,
        dataset=DATASET,
        version=NEWEST,
        folder=tmp_path / "second" / "run",
        between=add_column,
    )

    steps = second.plan("orders").steps
    assert [step.subject for step in steps if isinstance(step, Guard) and step.early]
    assert list(second.by_dbt) == ["model.hooked.orders"]
    assert len(warehouse.query(f"select * from `{DATASET}`.audit")) == 2
    columns = warehouse.table(DATASET, "orders")["schema"]["fields"]
    assert [column["name"] for column in columns] == ["id", "amount", "added"]
