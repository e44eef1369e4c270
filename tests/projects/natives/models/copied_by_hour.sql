{{
    config(
        materialized='incremental',
        incremental_strategy='insert_overwrite',
        partition_by={'field': 'at', 'data_type': 'timestamp', 'granularity': 'hour', 'copy_partitions': true},
    )
}}

select id, at, {{ var('day') }} as built
from {{ ref('numbers') }}
