{{ config(materialized='ephemeral') }}
select '{{ values_of(ref('paid'), 'method') | join(',') }}' as methods
