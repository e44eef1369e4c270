{{ config(unique_key=['id', 'kind'], merge_update_columns=['name'], incremental_predicates=['DBT_INTERNAL_DEST.id > 2'], cluster_by=['id']) }}
select id, kind, name, {{ var('day') }} as built from {{ ref('numbers') }}
