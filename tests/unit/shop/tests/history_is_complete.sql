select * from {{ ref('orders_over_time') }} where id not in (select id from {{ ref('order_history') }})
