{# Fields come within a record of a record and within an array of records. #}
{{ config(unique_key='id', on_schema_change='append_new_columns') }}
select
    id,
    struct(struct(name as street{{ ", kind as number" if var('model') | int == 2 }}) as home) as person,
    [struct(kind as kind{{ ", name as comment" if var('model') | int == 2 }})] as orders
from {{ ref('numbers') }}
