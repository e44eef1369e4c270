{{ config(incremental_strategy='insert_overwrite', partition_by={'field': 'day', 'data_type': 'date', 'copy_partitions': true},
          partitions=["date '2024-01-04'", "date '2024-01-05'"]) }}
select id, day, {{ var('day') }} as built from {{ ref('numbers') }}
{% if is_incremental() %}where day in (date '2024-01-04', date '2024-01-05'){% endif %}
