{{ config(materialized='no_such_kind') if var('day') | int == 3 }}
select id from {{ ref('good') }}
