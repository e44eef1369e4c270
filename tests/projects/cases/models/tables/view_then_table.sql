{{ config(materialized='view' if var('model') | int == 1 else 'table') }}
select id, name from {{ ref('numbers') }}
