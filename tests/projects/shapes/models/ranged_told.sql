{{ config(incremental_strategy='insert_overwrite', partitions=['4', '8'], partition_by={'field': 'id', 'data_type': 'int64', 'range': {'start': 0, 'end': 20, 'interval': 4}}) }}
select id, name from {{ ref('numbers') }} where id between 4 and 11
