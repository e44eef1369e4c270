{{
    config(
        incremental_strategy='merge',
        unique_key='order_id',
        cluster_by=['customer_id'],
    )
}}

select order_id, customer_id, order_date, status, amount, loaded_day
from {{ ref('stg_orders') }}
{% if is_incremental() %}
where loaded_day > (select max(loaded_day) from {{ this }})
{% endif %}
