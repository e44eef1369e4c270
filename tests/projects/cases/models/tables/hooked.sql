{{ config(
    materialized='table',
    pre_hook="insert into {{ target.schema }}.log values ('hooked', 'before')",
    post_hook=["insert into {{ target.schema }}.log select 'hooked', concat('rows: ', cast(count(*) as string)) from {{ this }}",
               "drop table if exists {{ target.schema }}.nothing"],
) }}
select id from {{ ref('numbers') }}
