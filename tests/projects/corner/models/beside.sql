select count(*) as items from {{ ref('raw_items') }}
