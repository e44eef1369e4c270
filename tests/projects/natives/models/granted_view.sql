{{
    config(
        materialized='view',
        grants={('roles/bigquery.dataViewer' if var('day') | int == 1 else 'roles/bigquery.dataEditor'): ['user:one@example.com']},
    )
}}

select id from {{ ref('numbers') }}
