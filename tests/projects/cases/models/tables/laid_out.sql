{{ config(
    materialized='table',
    partition_by={'field': 'day', 'data_type': 'date', 'granularity': 'day' if var('model') | int == 1 else 'month'},
    cluster_by=['kind'],
    require_partition_filter=false,
    partition_expiration_days=36500,
    labels={'team': 'cases', 'kind': 'table'},
) }}
select id, kind, day from {{ ref('numbers') }}
