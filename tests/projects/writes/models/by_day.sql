{{
    config(
        materialized='incremental',
        incremental_strategy='insert_overwrite',
        partition_by={'field': 'd', 'data_type': 'date', 'granularity': 'month', 'copy_partitions': true},
    )
}}
select id, name, d from raw.events
