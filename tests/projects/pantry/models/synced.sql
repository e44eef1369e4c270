{{
    config(
        materialized='incremental',
        on_schema_change='sync_all_columns',
        unique_key='id',
        merge_update_columns=['name'],
        incremental_predicates=['DBT_INTERNAL_DEST.id > 2'],
        persist_docs={'relation': true, 'columns': true},
    )
}}

select
    id,
    name,
    {% if var('day') | int == 1 %}'x' as gone{% else %}2.5 as came{% endif %}
from {{ ref('numbers') }}
