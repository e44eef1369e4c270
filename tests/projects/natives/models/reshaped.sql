{{ config(materialized='incremental', unique_key='id', on_schema_change='sync_all_columns') }}

select id, {% if var('day') | int == 1 %}name as gone, id as number{% else %}at as came, cast(id as float64) as number{% endif %}
from {{ ref('numbers') }}
