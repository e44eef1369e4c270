select item_id, kind from {{ ref('items') }} where {{ var('broken') }} and kind = 'tea'
