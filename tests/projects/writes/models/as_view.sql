{{ config(materialized='view') }} select id, name, d from {{ source('raw', 'events') }}
