{{ config(materialized='once') }}
select id, name from {{ ref('numbers') }}
