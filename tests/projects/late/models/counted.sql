{{ config(materialized='counted') }}
select * from {{ ref('paid') }}
