{{ config(materialized='ephemeral') }}

select
    items.order_id,
    sum(items.quantity) as pieces,
    sum(items.quantity * products.price) as amount
from {{ ref('raw_order_items') }} as items
join {{ ref('stg_products') }} as products using (product_id)
group by items.order_id
