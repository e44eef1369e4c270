{{ config(incremental_strategy='insert_overwrite', on_schema_change='sync_all_columns', partition_by={'field': 'day', 'data_type': 'date'}) }}
select id, day{{ ", name" if var('model') | int == 2 }} from {{ ref('numbers') }}
