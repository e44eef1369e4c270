{{ config(materialized='table', persist_docs={'relation': true, 'columns': true}) }}
select id, name, struct(kind as inner_kind, name as inner_name) as pair from {{ ref('numbers') }}
