with customers as ({{ as_known(ref('raw_customers'), 'customer_id') }})

select customer_id, name, email, city, updated_at
from customers
