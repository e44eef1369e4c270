{{ config(materialized='table') }}
select id from {{ ref('ranged_filtered') }} where id > 3
