{{ config(partition_by={'field': 'd', 'data_type': 'date'}) }} select id, name, d from {{ ref('as_view') }}
