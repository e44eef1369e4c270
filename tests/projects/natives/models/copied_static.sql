{{
    config(
        materialized='incremental',
        incremental_strategy='insert_overwrite',
        partitions=["date '2024-01-05'", "date '2024-01-06'"],
        partition_by={'field': 'day', 'data_type': 'date', 'copy_partitions': true},
    )
}}

select id, day, {{ var('day') }} as built
from {{ ref('numbers') }}
