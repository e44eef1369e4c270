select
    products.category,
    products.product,
    sum(items.quantity) as pieces,
    sum(items.quantity * products.price) as amount
from {{ ref('raw_order_items') }} as items
join {{ ref('stg_orders') }} as orders using (order_id)
join {{ ref('stg_products') }} as products using (product_id)
where orders.status != 'returned'
group by products.category, products.product
