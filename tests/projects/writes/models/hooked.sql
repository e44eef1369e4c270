{{ config(pre_hook="insert into {{ target.schema }}.audit select 'before'", post_hook=["insert into {{ target.schema }}.audit select 'after'", "drop table if exists {{ target.schema }}.leftover"]) }}
select id from {{ ref('codes') }}
