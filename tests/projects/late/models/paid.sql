{{ config(materialized='table') }}
select * from {{ ref('payments') }} where amount > {{ var('least', 0) }}
