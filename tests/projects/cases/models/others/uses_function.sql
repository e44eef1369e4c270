{{ config(materialized='table') }}
select id, {{ function('doubled') }}(id) as twice from {{ ref('numbers') }}
