{{ config(materialized='table') }}
select id, name{{ ", kind" if var('model') | int == 2 }} from {{ ref('numbers') }}
