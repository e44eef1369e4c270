-- depends_on: {{ ref('paid') }}
{{ config(materialized='table', enabled=var('outside', false)) }}
select '{{ values_of(target.schema ~ ".outside", "method") | join(",") }}' as methods
