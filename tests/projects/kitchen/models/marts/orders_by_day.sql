{{ config(partition_by={'field': 'order_date', 'data_type': 'date'}) }}

select
    order_date,
    count(*) as orders,
    sum(amount) as amount,
    array_agg(distinct status order by status) as statuses
from {{ ref('orders') }}
group by order_date
