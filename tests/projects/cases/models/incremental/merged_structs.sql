{{ config(unique_key='id', on_schema_change='append_new_columns') }}
select id, struct(name as name{{ ", kind as kind" if var('model') | int == 2 }}) as pair from {{ ref('numbers') }}
