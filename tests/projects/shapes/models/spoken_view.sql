{{ config(materialized='view', alias='view with-dash') }}
select id, name from {{ ref('spoken_table') }}
