{{ config(unique_key='customer_id', on_schema_change='append_new_columns') }}

select
    customer_id,
    name,
    {%- if var('day') | int >= 2 %}
    city,
    {%- endif %}
    loaded_day
from {{ ref('stg_customers') }}
