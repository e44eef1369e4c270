{# The same, while a column goes. #}
{{ config(unique_key='id', on_schema_change='sync_all_columns') }}
select id, struct(name as name{{ ", kind as zone, id as age" if var('model') | int == 2 }}) as person
    {{- ", name as zeal, kind as aim" if var('model') | int == 2 else ", kind as gone" }}
from {{ ref('numbers') }}
