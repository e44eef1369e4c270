{{
    config(
        materialized='incremental',
        incremental_strategy='insert_overwrite',
        partition_by={'field': 'day', 'data_type': 'date', 'granularity': 'month'},
        partition_expiration_days=36500,
    )
}}

select id, day from {{ ref('numbers') }}
