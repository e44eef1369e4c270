{{ config(alias=var('city') ~ '_orders') }}
select '{{ var('city') }}' as city, {{ var('orders') }} as orders
