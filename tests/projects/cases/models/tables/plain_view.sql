{{ config(materialized='view', labels={'team': 'cases'}) }}
select id, name from {{ ref('numbers') }} {{ "where id > 1" if var('model') | int == 2 }}
