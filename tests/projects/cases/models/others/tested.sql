{{ config(materialized='table') }}
select id, nullif(name, 'name 1') as name, mod(id, 2) as pair from {{ ref('numbers') }}
