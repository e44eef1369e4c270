{{ config(materialized='table') }}
{% call set_sql_header(config) %}
create temp function twice(x int64) as (x * 2);
{% endcall %}
select id, twice(id) as doubled from {{ ref('numbers') }}
