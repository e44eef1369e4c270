select product_id, name as product, category, price
from {{ ref('raw_products') }}
