{{ config(materialized='incremental', unique_key='id', on_schema_change='append_new_columns') }}
select id, day {{ ', day as again' if var('day') | int > 1 }} from {{ ref('orders', v=2) }}
