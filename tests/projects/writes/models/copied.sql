{{ config(materialized='copy') }} select * from {{ ref('merged') }}
