{#- No unique key: every run appends what is new. -#}
{{ config(incremental_strategy='merge') }}

select order_id, status, known_day
from {{ ref('raw_orders') }}
where known_day <= {{ var('day') }}
{% if is_incremental() %}
  and known_day > (select max(known_day) from {{ this }})
{% endif %}
