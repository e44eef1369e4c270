{{ config(materialized='table', require_partition_filter=true, partition_by={'field': 'id', 'data_type': 'int64', 'range': {'start': 0, 'end': 20, 'interval': 4}}) }}
select id, name from {{ ref('numbers') }}
