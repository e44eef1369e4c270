{{ config(alias='two words é', unique_key='id') }}
select id, name from {{ ref('numbers') }}
