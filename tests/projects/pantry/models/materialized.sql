{{ config(materialized='materialized_view', enable_refresh=true, refresh_interval_minutes=60) }}
select day, count(*) as c from {{ ref('numbers') }} group by day
