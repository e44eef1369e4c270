{#- Without a unique key BigQuery's merge only inserts. -#}
select order_id, status, loaded_day
from {{ ref('stg_orders') }}
{% if is_incremental() %}
where loaded_day > (select max(loaded_day) from {{ this }})
{% endif %}
