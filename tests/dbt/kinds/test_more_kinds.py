"""
What else a project may have, in one: each node ends as real dbt leaves it, on the first run and on a later one.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.dbt.kinds.conftest import told

pytestmark = [pytest.mark.warehouse, pytest.mark.dbt]

DELETES = ("ignore", "invalidate", "new_record")
FILES = {
    "seeds/typed.csv": 'id;amount;code;quoted\n1;1.50;007;"a;b"\n2;;08;c\n',
    "seeds/seeds.yml": """
        seeds:
          - name: typed
            config:
              delimiter: ";"
              quote_columns: true
              column_types: {id: int64, amount: numeric, code: string}
        """,
    "models/numbers.sql": """
        {{ config(materialized="table", labels={"team": "kinds"}, hours_to_expiration=48) }}
        select 1 as id, 'a' as name, current_timestamp() as at
        union all select {{ var("day", 1) }} + 1, 'b', current_timestamp()
        """,
    "models/inlined.sql": '{{ config(materialized="ephemeral") }} select id, name from {{ ref("numbers") }}',
    "models/headed.sql": """
        {{ config(materialized="table") }}
        {% call set_sql_header(config) %} create temp function one() as (1); {% endcall %}
        select id + one() as id from {{ ref("inlined") }}
        """,
    "models/expiring.sql": """
        {{ config(materialized="incremental", incremental_strategy="insert_overwrite", partition_expiration_days=7,
            partition_by={"field": "at", "data_type": "timestamp", "granularity": "day"}) }}
        select id, at from {{ ref("numbers") }}
        """,
    "models/contracted.sql": "select id, name from {{ ref('inlined') }}",
    "models/own.sql": '{{ config(materialized="stamped") }} select id from {{ ref("numbers") }}',
    "macros/stamped.sql": """
        {% materialization stamped, adapter="bigquery" %}
        {% set target_relation = this.incorporate(type="table") %}
        {% call statement("main") %} create or replace table {{ this }} as ({{ sql }}) {% endcall %}
        {% do run_query("insert into " ~ this ~ " values (-1)") %}
        {{ return({"relations": [target_relation]}) }}
        {% endmaterialization %}
        """,
    "models/taken_over.sql": '{{ config(materialized="copy") }} {{ ref("numbers") }}',
    "models/schema.yml": """
        models:
          - name: contracted
            config: {materialized: table, contract: {enforced: true}}
            constraints: [{type: primary_key, columns: [id]}]
            columns:
              - {name: id, data_type: int64, constraints: [{type: not_null}]}
              - {name: name, data_type: string}
        exposures:
          - {name: board, type: dashboard, owner: {name: someone, email: s@example.com}, depends_on: [ref('own')]}
        """,
    **{
        f"snapshots/kept_{deletes}.sql": f"""
        {{% snapshot kept_{deletes} %}}
        {{{{ config(unique_key="id", strategy="check", check_cols=["name"], hard_deletes="{deletes}") }}}}
        select id, name from {{{{ ref("numbers") }}}}
        {{% endsnapshot %}}
        """
        for deletes in DELETES
    },
}
FUNCTIONS = {
    "functions/doubled.sql": "x * 2",
    "functions/functions.yml": """
        functions:
          - name: doubled
            arguments: [{name: x, data_type: int64}]
            returns: {data_type: int64}
        """,
    "models/calling.sql": "select {{ function('doubled') }}(id) as id from {{ ref('numbers') }}",
}
TIMES = ("at", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to", "dbt_scd_id")


@pytest.mark.slow
def test_every_other_kind_ends_as_dbt_leaves_it(pair: Any) -> None:
    """On the first run and on a later one, without a worker."""
    both = pair({**FILES, **(FUNCTIONS if pair.version != "1.9" else {})})

    for day in (1, 2):
        ours = both.ours(f"day{day}", vars={"day": day})
        theirs = both.theirs(f"day{day}", "--vars", f"{{day: {day}}}")

        assert ours.by_dbt == {}
        assert told(ours) == told(theirs)
        mine, dbts = both.dumps(without=TIMES)
        assert mine == dbts

    assert [len(mine[f"kept_{deletes}"]["rows"]) for deletes in DELETES] == [3, 3, 4]
    closed = f"select id from `{both.name}_ours`.kept_invalidate where dbt_valid_to is not null"
    assert both.warehouse.query(closed) == [{"id": "2"}]
    assert mine["own"]["rows"] == [{"id": "-1"}, {"id": "1"}, {"id": "3"}]
    assert [column["type"] for column in mine["typed"]["columns"]] == [
        "INTEGER",
        "NUMERIC",
        "STRING",
        "STRING",
    ]


@pytest.mark.slow
def test_a_post_hook_may_ask_for_the_rows_of_a_table_made_without_rows(pair: Any) -> None:
    """What it finds is known before the run: nothing where the table is new, and later what was there already."""
    both = pair(
        {
            "models/filled.sql": """
                {{ config(materialized="incremental", unique_key="id", on_schema_change="sync_all_columns",
                    post_hook="{{ fill(this) }}") }}
                select * from (select 0 as id) as nothing where 1 = 0
                """,
            "macros/fill.sql": """
                {% macro fill(relation) %}
                {% if execute %}
                {% set there = run_query("select id from " ~ relation ~ " order by id").columns[0].values() | list %}
                {% if var("day", 1) not in there %}
                {% do run_query("insert into " ~ relation ~ " values (" ~ var("day", 1) ~ ")") %}
                {% endif %}
                {% endif %}
                {% endmacro %}
                """,
        }
    )

    for day in (1, 2):
        ours = both.ours(f"day{day}", vars={"day": day})
        theirs = both.theirs(f"day{day}", "--vars", f"{{day: {day}}}")

        assert ours.by_dbt == {}
        assert told(ours) == told(theirs)
        mine, dbts = both.dumps()
        assert mine == dbts

    assert mine["filled"]["rows"] == [{"id": "1"}, {"id": "2"}]


def test_a_contract_that_fails_is_told_by_dbt(pair: Any) -> None:
    """In dbt's own words, and nothing is written for its model."""
    both = pair(
        {
            "models/broken.sql": "select 1 as id, 'a' as name",
            "models/schema.yml": """
                models:
                  - name: broken
                    config: {materialized: table, contract: {enforced: true}}
                    columns:
                      - {name: id, data_type: string}
                """,
        }
    )

    ours, theirs = both.ours("first"), both.theirs("first")

    assert list(ours.by_dbt) == ["model.kinds.broken"]
    assert told(ours) == told(theirs)
    assert "This model has an enforced contract that failed" in str(ours.states["model.kinds.broken"][1])
    assert both.dumps() == ({}, {})
