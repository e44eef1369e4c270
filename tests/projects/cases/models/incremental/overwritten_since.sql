{{ config(incremental_strategy='insert_overwrite', partition_by={'field': 'at', 'data_type': 'timestamp', 'granularity': 'hour'}) }}
select id, at from {{ ref('numbers') }}
{% if is_incremental() %}where at >= _dbt_max_partition{% endif %}
