{{
    config(
        cluster_by='customer_id',
        labels={'team': 'kitchen'},
        persist_docs={'relation': true, 'columns': true},
        pre_hook="insert into {{ target.schema }}.audit_log select 'customers', 'before', {{ var('day') }}",
        post_hook=[
            "insert into {{ target.schema }}.audit_log select 'customers', 'after', {{ var('day') }}",
            "insert into {{ target.schema }}.audit_log select 'customers', concat('rows: ', cast(count(*) as string)), {{ var('day') }} from {{ this }}",
        ],
    )
}}

select
    customers.customer_id,
    customers.name,
    customers.email,
    customers.city,
    count(orders.order_id) as orders,
    coalesce(sum(orders.amount), 0) as spent,
    min(orders.order_date) as first_order,
    max(orders.order_date) as last_order
from {{ ref('stg_customers') }} as customers
left join {{ ref('orders') }} as orders using (customer_id)
group by customers.customer_id, customers.name, customers.email, customers.city
