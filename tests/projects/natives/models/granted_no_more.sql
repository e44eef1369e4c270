{{
    config(
        materialized='incremental',
        grants={'roles/bigquery.dataViewer': ['user:one@example.com'] if var('day') | int == 1 else []},
    )
}}

select id from {{ ref('numbers') }}
