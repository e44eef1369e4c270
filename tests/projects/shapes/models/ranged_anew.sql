{{ config(
    materialized='table',
    partition_by={'field': 'id', 'data_type': 'int64', 'range': {'start': 0, 'end': 20, 'interval': 4 * var('model') | int}},
) }}
select id, kind, name from {{ ref('numbers') }}
