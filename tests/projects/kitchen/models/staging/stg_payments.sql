{{ config(tags=['payments']) }}

select
    payment_id,
    order_id,
    method,
    cast(amount as numeric) as amount
from {{ ref('raw_payments') }}
where loaded_day <= {{ var('day') }}
