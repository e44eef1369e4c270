{{ config(store_failures=true) }}

select orders.order_id
from {{ ref('orders') }} as orders
join {{ ref('payment_methods') }} as methods using (order_id)
where orders.paid != methods.total
