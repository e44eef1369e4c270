{{ config(materialized='table') }}
{# The data: two more rows on the second day, and another name for the third. #}
select
    n as id,
    mod(n, 3) as kind,
    date_add(date '2024-01-01', interval n day) as day,
    timestamp_add(timestamp '2024-01-01 00:30:00+00', interval n hour) as at,
    date_sub(current_date(), interval mod(n, 3) day) as recent_day,
    concat('name ', cast(n as string), if(n = 3, ' of day {{ var("day") }}', '')) as name
from unnest(generate_array(1, {{ 3 + 2 * var('day') | int }})) as n
