{{ config(materialized='table') }}
select n as id, mod(n, 3) as kind, concat('name ', cast(n as string), ' of day {{ var("day") }}') as name
from unnest(generate_array({{ 2 * var('day') | int - 1 }}, {{ 10 + 5 * var('day') | int }})) as n
