select order_id, order_date
from {{ ref('orders') }}
where order_date < date '2024-01-01'
