select id, format_date('%Y-%m', day) as month, safe_divide(id, 0) as nothing, if(id > 3, 'big', 'small') as size,
 array(select x from unnest([1,2,3]) as x where x > 1) as xs, struct(id as a, name as b) as pair, parse_date('%Y%m%d', '20240101') as parsed,
 date_diff(day, date '2024-01-01', week) as weeks, extract(dayofweek from day) as dow, regexp_extract(name, r'(\d+)') as digits,
 lag(id) over (order by id) as before, string_agg(name, ',') over () as names, to_json_string(struct(1 as a)) as js, cast(id as numeric) / 3 as third,
 timestamp_diff(at, timestamp '2024-01-01', minute) as minutes, last_day(day) as ld, initcap(name) as ic, generate_date_array(day, date_add(day, interval 2 day)) as days
from {{ ref('numbers') }}
