{{ config(materialized='copy') }}
select * from {{ ref('plain_table') }}
