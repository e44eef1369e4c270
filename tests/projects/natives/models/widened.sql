{{ config(materialized='incremental', unique_key='id', on_schema_change='append_new_columns') }}

select id, name{% if var('day') | int == 2 %}, 2.5 as more, [1, 2] as several{% endif %}
from {{ ref('numbers') }}
