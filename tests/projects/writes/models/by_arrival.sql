{{
    config(
        materialized='incremental',
        incremental_strategy='insert_overwrite',
        partition_by={
            'field': 'at', 'data_type': 'timestamp', 'granularity': 'hour',
            'time_ingestion_partitioning': true, 'copy_partitions': true,
        },
    )
}}
select id, name, at from raw.events
