{{ config(materialized='incremental', unique_key='id', on_schema_change='fail') }}
select id, name, d from {{ ref('as_view') }}
