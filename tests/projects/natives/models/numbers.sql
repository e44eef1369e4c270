{{ config(materialized='table') }}

select
    n as id,
    date_add(date '2024-01-01', interval n day) as day,
    timestamp_add(timestamp '2024-01-01 00:30:00', interval n hour) as at,
    concat('name ', cast(n as string)) as name
from unnest(generate_array({{ 1 if var('day') | int == 1 else 4 }}, {{ 5 + var('day') | int }})) as n
