{{ config(materialized='table', post_hook="select 1") }}
select 1 as id, {{ var('day') }} as day
