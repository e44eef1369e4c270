{{ config(unique_key='id', merge_exclude_columns=['built'], persist_docs={'relation': true, 'columns': true}) }}
select id, name, {{ var('day') }} as built from {{ ref('numbers') }}
