{{
    config(
        partition_by={'field': 'ordered_on', 'data_type': 'date'},
        cluster_by=['customer_id', 'status'],
    )
}}

select
    orders.order_id,
    orders.customer_id,
    orders.ordered_on,
    orders.status,
    amounts.pieces,
    amounts.amount
from {{ ref('stg_orders') }} as orders
join {{ ref('order_amounts') }} as amounts using (order_id)
