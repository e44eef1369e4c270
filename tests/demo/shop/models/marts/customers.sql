{{
    config(
        cluster_by='city',
        pre_hook="insert into {{ target.schema }}.audit_log values ({{ var('day') }}, 'customers begin')",
        post_hook="insert into {{ target.schema }}.audit_log select {{ var('day') }}, concat('customers: ', cast(count(*) as string)) from {{ this }}",
    )
}}

select
    customers.customer_id,
    customers.name,
    customers.city,
    count(orders.order_id) as orders,
    coalesce(sum(orders.amount), 0) as spent,
    max(orders.ordered_on) as last_order
from {{ ref('stg_customers') }} as customers
left join {{ ref('orders') }} as orders using (customer_id)
group by customers.customer_id, customers.name, customers.city
