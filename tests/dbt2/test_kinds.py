"""
Kinds of nodes and their settings that the shop and the kitchen lack, built on two days by real dbt 2 and as it is planned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cosmos_async.plan.model import Level
from tests.dbt2.carried import carry_out, profile
from tests.dbt2.test_planned import told
from tests.warehouse.dbt2 import Bench
from tests.warehouse.fixture import TIMES_OF_A_RUN

pytestmark = [pytest.mark.slow, pytest.mark.dbt, pytest.mark.warehouse]

PROJECT = {"name": "kinds", "version": "1.0.0", "profile": "kinds", "flags": {}}
#: Rows that are others on the second day, with a new column.
ROWS = """
select 1 as id, 'a' as name {% if var('day') > 1 %}, 7 as more {% endif %}
union all select 2, {% if var('day') > 1 %}'c', 8 {% else %}'b' {% endif %}
{% if var('day') == 1 %} union all select 3, 'gone' {% endif %}
"""
#: Rows of what the run builds first: as they were on the day before, or others.
_ASKS = (
    "{{% set rows = run_query('select {name} from ' ~ ref('{of}') ~ ' order by 1').rows if execute else [] %}}"
    "select '{{% for row in rows %}}{{{{ row[0] }}}},{{% endfor %}}' as found -- {{{{ ref('{of}') }}}}"
)
FILES = {
    "profiles.yml": profile("kinds"),
    "dbt_project.yml": yaml.safe_dump(PROJECT),
    "seeds/plain.csv": 'id,name,day,ok,x\n1,"a, b",2024-01-01,true,1.5\n2,,2024-01-02,false,2\n',
    "seeds/typed.csv": "id,amount\n1,1.10\n2,2.20\n",
    "seeds/semi.csv": "id;name\n1;a\n",
    "seeds/empty.csv": "id,name\n",
    "seeds/seeds.yml": """
seeds:
  - name: plain
    description: All that is inferred.
    config: {persist_docs: {relation: true, columns: true}}
    columns: [{name: id, description: Its number.}, {name: nosuch, description: It is not there.}]
  - {name: typed, config: {column_types: {id: string, amount: numeric}, schema: more}}
  - {name: semi, config: {delimiter: ";"}}
""",
    "snapshots/checked.sql": "{% snapshot checked %}"
    "{{ config(strategy='check', check_cols='all', unique_key='id', hard_deletes='invalidate') }}"
    "select * from {{ ref('rows_of_the_day') }}{% endsnapshot %}",
    "models/rows_of_the_day.sql": "{{ config(materialized='table') }}" + ROWS,
    "models/growing.sql": "{{ config(materialized='incremental', on_schema_change='append_new_columns') }}"
    "select * from {{ ref('rows_of_the_day') }}",
    "models/described.sql": "{{ config(materialized='incremental', unique_key='id') }}"
    "select id, name, struct(1 as a, 'x' as b) as inner_one from {{ ref('rows_of_the_day') }}",
    "models/seen.sql": "select id, name from {{ ref('plain') }}",
    "models/granted.sql": "{{ config(materialized='table', grants={'roles/bigquery.dataViewer': ['user:a@example.com']}) }}"
    "select 1 as x",
    "models/granted_view.sql": "{{ config(schema='other', grants={'roles/bigquery.dataViewer': ['user:b@example.com']}) }}"
    "select 1 as x",
    "models/columns_of_a_seed.sql": "select {{ adapter.get_columns_in_relation(ref('typed')) | map(attribute='name') | join(', ') }}"
    " from {{ ref('typed') }}",
    "models/pivot.sql": _ASKS.format(name="amount", of="typed"),
    "models/pivot_of_the_day.sql": _ASKS.format(name="name", of="rows_of_the_day"),
    "models/models.yml": """
models:
  - name: described
    description: Rows with a record.
    config: {persist_docs: {relation: true, columns: true}}
    columns:
      - {name: id, description: 'Its "number", it''s said.'}
      - {name: inner_one, description: A record.}
      - {name: inner_one.a, description: A part of it.}
  - name: seen
    config: {persist_docs: {relation: true, columns: true}}
    columns: [{name: name, description: Its name.}]
unit_tests:
  - name: names_are_kept
    model: seen
    given: [{input: ref('plain'), rows: [{id: 1, name: a}, {id: 2}]}]
    expect: {rows: [{id: 2, name: null}, {id: 1, name: a}]}
  - name: rows_are_merged
    model: described
    config: {enabled: "{{ var('day') > 1 }}"}  # dbt 2 refuses it where the model is not there yet
    overrides: {macros: {is_incremental: true}}
    given: [{input: ref('rows_of_the_day'), format: sql, rows: "select 5 as id, 'e' as name"}]
    expect: {rows: [{id: 5, name: e}]}
""",
}
#: What is left to real dbt 2: what asks for rows that are not there yet, and which grants there are of an object that the run
#: replaces.
REAL = {
    1: {"model.kinds.pivot", "model.kinds.pivot_of_the_day"},
    2: {"model.kinds.granted", "model.kinds.granted_view"},
}


def project(folder: Path, files: dict[str, str] = FILES) -> Path:
    """Write a project."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def grants(bench: Bench, dataset: str) -> list[tuple[str, str, str]]:
    """Return who may do what with what in a dataset, and in those beside it."""
    rows = bench.warehouse.query(
        "select object_schema, object_name, privilege_type, grantee from `region-US`.INFORMATION_SCHEMA.OBJECT_PRIVILEGES "
        f"where starts_with(object_schema, '{dataset}') and object_name like 'granted%'"
    )
    return sorted(
        (
            row["object_schema"].replace(dataset, ""),
            row["object_name"],
            f"{row['privilege_type']} {row['grantee']}",
        )
        for row in rows
    )


def test_two_days_are_built_as_by_dbt_2(bench: Bench, tmp_path: Path) -> None:
    """The warehouse, and what is told of each node."""
    theirs, ours = "kinds_theirs", "kinds_ours"
    for day in (1, 2):
        real = bench.dbt(
            "build",
            "--vars",
            f"{{day: {day}}}",
            project=project(tmp_path / f"theirs{day}" / "kinds"),
            dataset=theirs,
        )
        assert real.status == 0, real.output

        folder = project(tmp_path / f"ours{day}" / "kinds")
        carried, failure = carry_out(
            bench, folder, dataset=ours, folder=tmp_path / f"day{day}", vars={"day": day}
        )

        assert failure is None
        left: dict[str, Any] = bench.warehouse.dump_all(theirs, without=TIMES_OF_A_RUN)
        assert bench.warehouse.dump_all(ours, without=TIMES_OF_A_RUN) == left
        assert len(grants(bench, theirs)) == 2
        assert grants(bench, ours) == grants(bench, theirs)
        assert told(carried.results, ours) == told(real.results, theirs)
        plans = carried.plans.items()
        assert {unique_id for unique_id, plan in plans if plan.level is Level.DBT} == REAL[day]
        assert {unique_id for unique_id, plan in plans if plan.assumed} == (REAL[1] if day > 1 else set())


#: A unit test that fails.
WRONG = {
    "profiles.yml": profile("kinds"),
    "dbt_project.yml": yaml.safe_dump(PROJECT),
    "models/a.sql": "select 1 as x, 'a' as y",
    "models/b.sql": "select x + 1 as x, y from {{ ref('a') }}",
    "models/models.yml": """
unit_tests:
  - name: one_is_two
    model: b
    given: [{input: ref('a'), rows: [{x: 1}, {x: 7}]}]
    expect: {rows: [{x: 1}, {x: 8}]}
""",
}


def test_a_unit_test_whose_rows_differ_is_judged_by_real_dbt_2(bench: Bench, tmp_path: Path) -> None:
    """In its own words."""
    theirs, ours = "wrong_theirs", "wrong_ours"
    real = bench.dbt("build", project=project(tmp_path / "theirs" / "kinds", WRONG), dataset=theirs)
    assert real.status == 1

    carried, _ = carry_out(
        bench, project(tmp_path / "ours" / "kinds", WRONG), dataset=ours, folder=tmp_path / "run"
    )

    unit_test = "unit_test.kinds.b.one_is_two"
    assert carried.plans[unit_test].level is not Level.DBT
    assert told(carried.results, ours)[unit_test] == told(real.results, theirs)[unit_test]
