{# BigQuery replaces no table by one that is laid out otherwise. #}
{{ config(materialized='table', cluster_by=['id'] if var('model') | int == 1 else ['kind', 'id']) }}
select id, kind, name from {{ ref('numbers') }}
