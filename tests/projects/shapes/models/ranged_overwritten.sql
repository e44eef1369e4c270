{{ config(incremental_strategy='insert_overwrite', partition_by={'field': 'id', 'data_type': 'int64', 'range': {'start': 0, 'end': 20, 'interval': 4}}) }}
select id, name from {{ ref('numbers') }}
