select
    customer_id,
    name,
    email,
    city,
    cast(updated_at as timestamp) as updated_at,
    loaded_day
from ({{ latest_version(ref('raw_customers'), 'customer_id') }})
