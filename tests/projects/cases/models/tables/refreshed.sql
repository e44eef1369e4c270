{{ config(materialized='materialized_view', enable_refresh=true, refresh_interval_minutes=60 if var('model') | int == 1 else 90) }}
select day, count(*) as c from {{ ref('numbers') }} group by day
