{{
    config(
        partition_by={'field': 'order_date', 'data_type': 'date', 'granularity': 'day'},
        cluster_by=['customer_id', 'status'],
    )
}}

select
    orders.order_id,
    orders.customer_id,
    orders.order_date,
    orders.status,
    orders.amount,
    coalesce(payments.paid, 0) as paid,
    coalesce(payments.payments, 0) as payments,
    orders.amount <= coalesce(payments.paid, 0) as is_settled
from {{ ref('stg_orders') }} as orders
left join {{ ref('int_order_payments') }} as payments using (order_id)
