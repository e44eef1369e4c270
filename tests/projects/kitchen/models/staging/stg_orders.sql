select
    order_id,
    customer_id,
    order_date,
    status,
    amount,
    loaded_day
from ({{ latest_version(ref('raw_orders'), 'order_id') }})
