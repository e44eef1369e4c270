{{ config(unique_key='id', partition_by={'field': 'id', 'data_type': 'int64', 'range': {'start': 0, 'end': 100, 'interval': 10}}) }}
select id, name from {{ ref('numbers') }}
