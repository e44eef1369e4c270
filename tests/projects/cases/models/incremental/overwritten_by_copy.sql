{{ config(incremental_strategy='insert_overwrite', partition_by={'field': 'day', 'data_type': 'date', 'copy_partitions': true}) }}
select id, day, {{ var('day') }} as built from {{ ref('numbers') }}
{% if is_incremental() %}where day >= '2024-01-05'{% endif %}
