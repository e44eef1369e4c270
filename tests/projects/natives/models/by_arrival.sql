{{
    config(
        materialized='incremental',
        incremental_strategy='insert_overwrite',
        partition_by={'field': 'day', 'data_type': 'date', 'time_ingestion_partitioning': true, 'copy_partitions': true},
    )
}}

select id, day, {{ var('day') }} as built
from {{ ref('numbers') }}
