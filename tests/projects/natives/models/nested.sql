{{ config(materialized='incremental', unique_key='id', on_schema_change='append_new_columns') }}

select id, {% if var('day') | int == 1 %}struct(name as first){% else %}struct(name as first, id as number){% endif %} as person
from {{ ref('numbers') }}
