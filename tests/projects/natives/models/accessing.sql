{{ config(materialized='view', grant_access_to=[{'project': target.project, 'dataset': target.dataset}]) }}

select id from {{ ref('numbers') }}
