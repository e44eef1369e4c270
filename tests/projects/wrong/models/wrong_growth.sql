{{ config(materialized='incremental', unique_key='id', on_schema_change='fail') }}
select id{{ ", name" if var('day') | int == 2 }} from {{ ref('good') }}
