-- Every day's revenue is the sum of its orders.
select revenue.ordered_on
from {{ ref('revenue_by_day') }} as revenue
join (
    select ordered_on, sum(amount) as amount from {{ ref('orders') }} group by ordered_on
) as orders using (ordered_on)
where revenue.amount != orders.amount
