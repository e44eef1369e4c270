{{ config(materialized='view') }}

select name, city, orders, spent
from {{ ref('customers') }}
where spent >= 30
