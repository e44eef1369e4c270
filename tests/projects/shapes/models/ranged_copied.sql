{{ config(incremental_strategy='insert_overwrite', partition_by={'field': 'id', 'data_type': 'int64', 'range': {'start': 0, 'end': 20, 'interval': 4}, 'copy_partitions': true}) }}
select id, name from {{ ref('numbers') }} where id < 20
