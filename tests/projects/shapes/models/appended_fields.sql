{# Two columns and, within a record, two fields come, the later letters first. #}
{{ config(unique_key='id', on_schema_change='append_new_columns') }}
select id, struct(name as name{{ ", kind as zone, id as age" if var('model') | int == 2 }}) as person
    {{- ", name as zeal, kind as aim" if var('model') | int == 2 }}
from {{ ref('numbers') }}
