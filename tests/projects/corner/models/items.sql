select item_id, kind, amount from {{ ref('raw_items') }}
