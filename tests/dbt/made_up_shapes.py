"""
Small models that use, or only hand on, what nobody knows before the run: row counts, job ids, results of scripts.
"""

from __future__ import annotations

AUDIT = "create table if not exists {{ target.schema }}.audit (what string, n int64)"


def _hooked(value: str, *, materialized: str = "table", before: str = "") -> str:
    """Return a model whose post-hook writes down a value."""
    return f"""
        {{{{ config(materialized="{materialized}", unique_key="id",
            pre_hook="insert into {{{{ target.schema }}}}.audit values ('before', 1)",
            post_hook="{before}insert into {{{{ target.schema }}}}.audit values ('{{{{ this.name }}}}', {value})") }}}}
        select id from {{{{ ref("ids") }}}}
        """


#: Models that use what is not known, by name.
USING = {
    "rows_affected": _hooked("{{ load_result('main').response.rows_affected }}"),
    "rows_merged": _hooked(
        "{{ load_result('main')['response']['rows_affected'] }}", materialized="incremental"
    ),
    "by_filter": _hooked("{{ load_result('main').response | attr('rows_affected') }}"),
    "said": _hooked("{{ (load_result('main').response | string | length) }}"),
    "code": _hooked("{{ load_result('main').response.code | length }}"),
    "compared": _hooked("{{ 1 if load_result('main').response.rows_affected == 0 else 2 }}"),
    "as_dictionary": _hooked("{{ load_result('main').response.to_dict()['rows_affected'] }}"),
    "of_dml": """
        {{ config(materialized="table") }}
        {% if execute %}
        {% set response, rows = adapter.execute("insert into " ~ target.schema ~ ".audit values ('of_dml', 0)") %}
        {% endif %}
        select {{ response.rows_affected if execute else 0 }} as id
        """,
    "branching": """
        {{ config(materialized="table", post_hook="{{ drop_where_nothing() }}") }}
        select id from {{ ref("ids") }}
        """,
    "immediate": """
        {{ config(materialized="table") }}
        select {{ first("execute immediate 'select 7 as n'") }} as id
        """,
    "block": """
        {{ config(materialized="table") }}
        select {{ first("begin select 7 as n; end") }} as id
        """,
    "conditional": """
        {{ config(materialized="table") }}
        select {{ first("if true then select 7 as n; end if") }} as id
        """,
    "declared": """
        {{ config(materialized="table") }}
        select {{ first("declare x int64 default 7; select x as n") }} as id
        """,
    "counted_rows": """
        {{ config(materialized="table") }}
        {% if execute %}{% set found = run_query("begin select 7 as n; end") %}{% endif %}
        select {{ found.rows | length if execute else 0 }} as id
        """,
    "any_rows": """
        {{ config(materialized="table") }}
        {% if execute %}{% set found = run_query("begin select 7 as n; end") %}{% endif %}
        select {{ 1 if found else 2 }} as id
        """,
    "as_data": """
        {{ config(materialized="table") }}
        {% call statement("asked", fetch_result=true) %} begin select 7 as n; end {% endcall %}
        select {{ load_result("asked").data[0][0] if execute else 0 }} as id
        """,
    "as_json": """
        {{ config(materialized="table") }}
        {% call statement("asked", fetch_result=true) %} begin select 7 as n; end {% endcall %}
        select '{{ tojson(load_result("asked").data, "no") if execute else 0 }}' as id
        """,
    "as_yaml": """
        {{ config(materialized="table") }}
        {% call statement("asked", fetch_result=true) %} begin select 7 as n; end {% endcall %}
        select '{{ toyaml(load_result("asked").data, "no") | length if execute else 0 }}' as id
        """,
    "of_a_query": """
        {{ config(materialized="table") }}
        {% call statement("asked", fetch_result=true) %} select 7 as n {% endcall %}
        select {{ (load_result("asked").response | string | length) if execute else 0 }} as id
        """,
    "where_they_are": """
        {{ config(materialized="table") }}
        {% if execute %}{% set found = run_query("create or replace view " ~ target.schema ~ ".v as select 1 as x") %}{% endif %}
        select {{ found.columns | length if execute else 0 }} as id
        """,
}
#: Models that use only what is certain, or nothing.
PLANNED = {
    "handed_on": """
        {{ config(materialized="table", post_hook=["{{ handing_on() }}"]) }}
        {% if execute %}{% set found = run_query("begin select 7 as n; end") %}{% endif %}
        select {{ 1 if found is not none else 2 }} as id
        """,
    "no_rows": """
        {{ config(materialized="table") }}
        {% if execute %}
        {% set found = run_query("insert into " ~ target.schema ~ ".audit values ('no_rows', 0)") %}
        {% endif %}
        select {{ found.rows | length if execute else 0 }} as id {% if found %}, 1 as some {% endif %}
        """,
    "of_a_read": """
        {{ config(materialized="table") }}
        {% call statement("asked", fetch_result=true) %} select 7 as n {% endcall %}
        {% if execute %}{% set asked = load_result("asked") %}{% endif %}
        select {{ asked.response.rows_affected if execute else 0 }} as id, {{ asked.data[0][0] if execute else 0 }} as n
        """,
}
MACROS = {
    "macros/first.sql": """
        {% macro first(query) %}
        {% if execute %}{{ return(run_query(query).columns[0].values()[0]) }}{% else %}{{ return(0) }}{% endif %}
        {% endmacro %}
        """,
    "macros/drop_where_nothing.sql": """
        {% macro drop_where_nothing() %}
        {% if execute and load_result("main").response.rows_affected == 0 %} drop table {{ this }} {% endif %}
        {% endmacro %}
        """,
    "macros/handing_on.sql": """
        {% macro handing_on() %}
        {% set kept = load_result("main") %}
        {% set asked = run_query("begin select 7 as n; end") %}
        {% if kept and kept.response and asked is not none %} insert into {{ target.schema }}.audit values ('handed on', 1) {% endif %}
        {% endmacro %}
        """,
}
FILES = {
    "dbt_project.yml": f"""
        name: kinds
        version: "1.0"
        profile: kinds
        flags: {{send_anonymous_usage_stats: false}}
        on-run-start: ["{AUDIT}"]
        """,
    "seeds/ids.csv": "id\n1\n2\n3\n",
    **MACROS,
}


def models(*names: str) -> dict[str, str]:
    """Return the files of these models."""
    return {f"models/{name}.sql": {**USING, **PLANNED}[name] for name in names}
