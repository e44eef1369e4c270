{{ config(materialized='table', hours_to_expiration=48) }}
select id from {{ ref('numbers') }}
