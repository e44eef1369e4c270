{{ config(materialized='incremental', unique_key='id') }} select o.* from {{ ref('orders') }} as o join {{ ref('customers') }} as c on o.customer_id = c.id
