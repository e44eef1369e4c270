select * from {{ ref('raw_orders') }} union all select * from {{ source('till', 'orders') }}
