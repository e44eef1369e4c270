{{ config(materialized='view') }}
select id, from_nowhere from {{ ref('good') }}
