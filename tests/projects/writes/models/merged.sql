{{ config(materialized='incremental', unique_key='id') }}
select id, name, d from {{ ref('as_view') }}
{% if is_incremental() %}where d > (select max(d) from {{ this }}){% endif %}
