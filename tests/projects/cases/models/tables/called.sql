{{ config(materialized='table', alias='called_otherwise', schema='other') }}
select id, '{{ invocation_id }}' as invocation, '{{ run_started_at }}' as started from {{ ref('numbers') }}
