{{ config(incremental_strategy='merge', unique_key='order_id', cluster_by=['status']) }}

select order_id, customer_id, ordered_on, status, known_day
from {{ ref('stg_orders') }}
{% if is_incremental() %}
where known_day > (select max(known_day) from {{ this }})
{% endif %}
