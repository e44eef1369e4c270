{% set readers = ['user:one@example.com', 'user:two@example.com'] %}
{{
    config(
        materialized='table',
        grants={'roles/bigquery.dataViewer': readers if var('day') | int == 1 else ['USER:two@example.com', 'group:three@example.com']},
    )
}}

select id from {{ ref('numbers') }}
