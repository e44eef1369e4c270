{{ config(alias=var('city') ~ '_totals') }}
select city, sum(orders) as orders from {{ ref('orders') }} group by city
