{{
    config(
        incremental_strategy='insert_overwrite',
        partition_by={'field': 'ordered_on', 'data_type': 'date'},
    )
}}

select ordered_on, count(*) as orders, sum(amount) as amount
from {{ ref('orders') }}
{% if is_incremental() %}
where ordered_on >= (select max(ordered_on) from {{ this }})
{% endif %}
group by ordered_on
