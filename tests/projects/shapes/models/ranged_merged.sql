{{ config(unique_key='id', partition_by={'field': 'id', 'data_type': 'int64', 'range': {'start': 0, 'end': 20, 'interval': 4}}, cluster_by=['name']) }}
select id, name from {{ ref('numbers') }}
