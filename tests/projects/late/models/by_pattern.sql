-- depends_on: {{ ref('paid') }}
{%- set names = [] -%}
{%- if execute -%}
    {%- set found = run_query(
        "select table_name from " ~ target.schema ~ ".INFORMATION_SCHEMA.TABLES where table_name like 'pai%' order by 1"
    ) -%}
    {%- set names = found.columns[0].values() -%}
{%- endif %}
{%- for name in names %}
select '{{ name }}' as name, count(*) as n from {{ target.schema }}.{{ name }}
union all
{%- endfor %}
select 'none' as name, 0 as n
