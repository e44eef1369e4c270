{{ config(materialized='view', grant_access_to=[{'project': target.project, 'dataset': target.schema}]) }}
select id from {{ ref('numbers') }}
