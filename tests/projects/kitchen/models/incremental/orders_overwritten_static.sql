{% set replaced = ["date '2024-01-03'", "date '2024-01-04'"] %}
{{
    config(
        incremental_strategy='insert_overwrite',
        partition_by={'field': 'order_date', 'data_type': 'date'},
        partitions=replaced,
    )
}}

select order_id, order_date, status, amount
from {{ ref('stg_orders') }}
{% if is_incremental() %}
where order_date in ({{ replaced | join(', ') }})
{% endif %}
