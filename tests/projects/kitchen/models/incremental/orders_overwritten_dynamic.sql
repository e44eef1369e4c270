{{
    config(
        incremental_strategy='insert_overwrite',
        partition_by={'field': 'order_date', 'data_type': 'date'},
        cluster_by=['status'],
    )
}}

select order_id, order_date, status, amount
from {{ ref('stg_orders') }}
{% if is_incremental() %}
where order_date in (select order_date from {{ ref('stg_orders') }} where loaded_day = {{ var('day') }})
{% endif %}
