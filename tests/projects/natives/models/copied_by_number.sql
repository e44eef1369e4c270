{{
    config(
        materialized='incremental',
        incremental_strategy='insert_overwrite',
        on_schema_change='append_new_columns',
        partition_by={
            'field': 'id', 'data_type': 'int64', 'copy_partitions': true,
            'range': {'start': 0, 'end': 100, 'interval': 3},
        },
    )
}}

select id, {{ var('day') }} as built
from {{ ref('numbers') }}
