{{ config(incremental_strategy='insert_overwrite', partition_by={'field': 'day', 'data_type': 'date', 'time_ingestion_partitioning': true}) }}
select id, day from {{ ref('numbers') }}
