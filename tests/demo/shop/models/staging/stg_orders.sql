with orders as ({{ as_known(ref('raw_orders'), 'order_id') }})

select order_id, customer_id, ordered_on, status, known_day
from orders
